import type { PublicClient } from "viem";
import { fromHex0x, toHex0x } from "../evidence/bytes.ts";
import { PERMIT2 } from "../evidence/permit2.ts";
import type { Payment } from "../receipts/schema.ts";

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

/** Whether the nonce is used or canceled in Permit2, in the state of exactly that block (a lagging RPC node fails instead). */
export async function isBitSet(client: PublicClient, payment: Payment, blockNumber: bigint): Promise<boolean> {
  const nonce = BigInt(payment.nonce);
  const word = await client.readContract({
    address: toHex0x(fromHex0x(PERMIT2)),
    abi: NONCES_ABI,
    functionName: "nonceBitmap",
    args: [toHex0x(fromHex0x(payment.payer)), nonce >> 8n],
    blockNumber,
  });
  return ((word >> (nonce & 0xffn)) & 1n) === 1n;
}

/** The same in the token. */
export const isAuthorizationSpent = (client: PublicClient, payment: Payment, blockNumber: bigint): Promise<boolean> =>
  client.readContract({
    address: toHex0x(fromHex0x(payment.asset)),
    abi: NONCES_ABI,
    functionName: "authorizationState",
    args: [toHex0x(fromHex0x(payment.payer)), toHex0x(fromHex0x(payment.nonce))],
    blockNumber,
  });
