import { lowered } from "../evidence/bytes.ts";
import type { TransactionReceipt } from "./client.ts";

/** A log's hex in lower case, as evidence has it: RPCs differ in theirs. */
export const loweredLog = ({ address, topics, data, logIndex }: TransactionReceipt["logs"][number]) => ({
  address: lowered(address),
  topics: topics.map(lowered),
  data: lowered(data),
  logIndex,
});
