import type { TransactionReceipt } from "./client.ts";

/** A log's hex in lower case, as evidence has it: RPCs differ in theirs. */
export const loweredLog = ({ address, topics, data, logIndex }: TransactionReceipt["logs"][number]) => ({
  address: address.toLowerCase(),
  topics: topics.map((topic) => topic.toLowerCase()),
  data: data.toLowerCase(),
  logIndex,
});
