import type { PublicClient } from "viem";
import { evidenceOf } from "../evidence/methods/methods.ts";
import { permitOf } from "../evidence/methods/permits.ts";
import { fromHex0x, toHex0x } from "../evidence/bytes.ts";
import type { TokenLog } from "../evidence/eip3009.ts";
import { settlingInput } from "../evidence/permit2.ts";
import { usesAuthorization } from "../evidence/settlement.ts";
import type { Payment } from "../receipts/schema.ts";
import { payerOf } from "./methods/methods.ts";

export type Block = { number: bigint; hash: string; time: number };
/** A successful transaction as it touched the payment's token. */
export type TokenTransaction = {
  hash: string;
  blockNumber: bigint;
  blockHash: string;
  logs: (TokenLog & { logIndex: number })[];
  /** The call that it is, where only that shows which authorization it used. */
  to?: string;
  input?: string;
  /** It used the authorization. */
  used: boolean;
};

export async function readBlock(client: PublicClient, number?: bigint): Promise<Block> {
  const block = await client.getBlock(number === undefined ? { blockTag: "latest" } : { blockNumber: number });
  return { number: block.number, hash: block.hash.toLowerCase(), time: Number(block.timestamp) };
}

export async function readTransaction(
  client: PublicClient,
  payment: Payment,
  hash: string,
): Promise<TokenTransaction | null> {
  if (!/^0x[0-9a-f]{64}$/.test(hash)) return null;
  const receipt = await client.getTransactionReceipt({ hash: toHex0x(fromHex0x(hash)) }).catch((error: unknown) => {
    if (error instanceof Error && error.name === "TransactionReceiptNotFoundError") return null;
    throw error;
  });
  if (receipt === null || receipt.status !== "success") return null;
  const logs = receipt.logs
    .map((log) => ({
      address: log.address.toLowerCase(),
      topics: log.topics.map((topic) => topic.toLowerCase()),
      data: log.data.toLowerCase(),
      logIndex: log.logIndex,
    }))
    .filter((log) => log.address === payment.asset);
  const call = evidenceOf(payment).usedByCall ? await readCall(client, payment, receipt.transactionHash) : {};
  return {
    hash,
    blockNumber: receipt.blockNumber,
    blockHash: receipt.blockHash.toLowerCase(),
    logs,
    ...call,
    used: usesAuthorization({ logs, ...call }, payment),
  };
}

async function readCall(
  client: PublicClient,
  payment: Payment,
  hash: `0x${string}`,
): Promise<{ to: string; input: string } | {}> {
  const { to, input } = await client.getTransaction({ hash });
  // What trails the call's arguments, of whatever length, is no part of the evidence.
  return to === null ? {} : { to: to.toLowerCase(), input: settlingInput(input.toLowerCase(), permitOf(payment)) };
}

/** Whether the nonce is used or canceled, in the state of exactly that block (a lagging RPC node fails instead). */
export const isSpent = (client: PublicClient, payment: Payment, blockNumber: bigint): Promise<boolean> =>
  payerOf(payment).isSpent(client, payment, blockNumber);
