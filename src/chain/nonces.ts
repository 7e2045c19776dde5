import type { Address, Hex } from "../evidence/bytes.ts";
import { PERMIT2 } from "../evidence/permit2.ts";
import type { ChainClient } from "./client.ts";

/**
 * `authorizationState(address,bytes32)` returns (bool) (EIP-3009), and `nonceBitmap(address,uint256)`: bit `nonce & 0xff` of
 * word `nonce >> 8` (Permit2 SignatureTransfer.sol, `_useUnorderedNonce`).
 */
export const NONCES_ABI = [
  {
    type: "function",
    name: "authorizationState",
    stateMutability: "view",
    inputs: [
      { name: "authorizer", type: "address" },
      { name: "nonce", type: "bytes32" },
    ],
    outputs: [{ name: "", type: "bool" }],
  },
  {
    type: "function",
    name: "nonceBitmap",
    stateMutability: "view",
    inputs: [
      { name: "owner", type: "address" },
      { name: "wordPos", type: "uint256" },
    ],
    outputs: [{ name: "", type: "uint256" }],
  },
] as const;

/** The word of Permit2's bitmap that holds a nonce's bit. */
export const wordOf = (nonce: string): bigint => BigInt(nonce) >> 8n;

/** Whether that word has the nonce's bit set. */
export const hasBit = (word: bigint, nonce: string): boolean => ((word >> (BigInt(nonce) & 0xffn)) & 1n) === 1n;

/** Of an authorization: addresses and nonce are 0x hex. */
type Spent = { asset: Address; payer: Address; nonce: Hex };

/**
 * Whether the nonce is used or canceled in Permit2: in the state of exactly that block (a lagging RPC node fails instead), or
 * of the newest where none is named.
 */
export async function isBitSet(
  client: ChainClient,
  { payer, nonce }: Omit<Spent, "asset">,
  blockNumber?: bigint,
): Promise<boolean> {
  const args = [payer, wordOf(nonce)] as const;
  const call = { address: PERMIT2, abi: NONCES_ABI, functionName: "nonceBitmap", args } as const;
  const word = await client.readContract(call, blockNumber);
  return hasBit(word, nonce);
}

/** The same in the token. */
export function isAuthorizationSpent(
  client: ChainClient,
  { asset, payer, nonce }: Spent,
  blockNumber?: bigint,
): Promise<boolean> {
  const args = [payer, nonce] as const;
  const call = { abi: NONCES_ABI, functionName: "authorizationState", args } as const;
  return client.readContract({ address: asset, ...call }, blockNumber);
}
