import * as z from "zod";
import type { Hex } from "../evidence/bytes.ts";
import { RpcFault } from "./rpc.ts";

/** A number as an RPC writes it (Ethereum JSON-RPC, "quantity"). Leading zeros are let pass. */
export const quantity = z
  .string()
  .regex(/^0x[0-9a-fA-F]{1,64}$/)
  .transform(BigInt);
const index = quantity.refine((value) => value <= Number.MAX_SAFE_INTEGER).transform(Number);
/** Bytes as an RPC writes them, in either case. */
export const bytes = z
  .string()
  .regex(/^0x(?:[0-9a-fA-F]{2})*$/)
  .transform((text): Hex => `0x${text.slice(2)}`);
const sized = (size: number) => bytes.refine((text) => text.length === 2 + 2 * size);
const hash = sized(32);
const address = sized(20);

/** A block; an unknown one is null. Its time is in unix seconds. */
export const block = z.object({
  number: quantity,
  hash,
  timestamp: quantity,
  baseFeePerGas: quantity.nullish(),
  /** The hashes of its transactions. */
  transactions: z.array(hash).nullish(),
});
export const pendingBlock = z.object({ number: quantity.nullable(), timestamp: quantity });
export const transaction = z.object({ to: address.nullish().transform((to) => to ?? null), input: bytes });
export const receipt = z.object({
  transactionHash: hash,
  blockNumber: quantity,
  blockHash: hash,
  status: z.enum(["0x0", "0x1"]).transform((status) => (status === "0x1" ? "success" : "reverted")),
  /** In gas, and wei for each. */
  gasUsed: quantity.nullish(),
  effectiveGasPrice: quantity.nullish(),
  logs: z.array(z.object({ address, topics: z.array(hash), data: bytes, logIndex: index })),
});
/** Logs that were found, as far as they lead to their transactions. */
export const logs = z.array(z.object({ transactionHash: hash.nullish(), topics: z.array(hash) }));
export const count = index;

/** An answer in its form. Throws {@link RpcFault} `unusable`. */
export function readAs<Form extends z.ZodType>(form: Form, answer: unknown): z.output<Form> {
  const read = form.safeParse(answer);
  if (read.success) return read.data;
  throw new RpcFault("unusable");
}
