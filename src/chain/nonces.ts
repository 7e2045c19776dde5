import type { PublicClient } from "viem";
import { fromHex0x, toHex0x } from "../evidence/bytes.ts";
import { PERMIT2 } from "../evidence/permit2.ts";

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
type Spent = { asset: string; payer: string; nonce: string };

/**
 * Whether the nonce is used or canceled in Permit2: in the state of exactly that block (a lagging RPC node fails instead), or
 * of the newest where none is named.
 */
export async function isBitSet(
  client: PublicClient,
  { payer, nonce }: Omit<Spent, "asset">,
  blockNumber?: bigint,
): Promise<boolean> {
  const word = await client.readContract({
    address: toHex0x(fromHex0x(PERMIT2)),
    abi: NONCES_ABI,
    functionName: "nonceBitmap",
    args: [toHex0x(fromHex0x(payer)), wordOf(nonce)],
    ...(blockNumber === undefined ? {} : { blockNumber }),
  });
  return hasBit(word, nonce);
}

/** The same in the token. */
export const isAuthorizationSpent = (
  client: PublicClient,
  { asset, payer, nonce }: Spent,
  blockNumber?: bigint,
): Promise<boolean> =>
  client.readContract({
    address: toHex0x(fromHex0x(asset)),
    abi: NONCES_ABI,
    functionName: "authorizationState",
    args: [toHex0x(fromHex0x(payer)), toHex0x(fromHex0x(nonce))],
    ...(blockNumber === undefined ? {} : { blockNumber }),
  });
