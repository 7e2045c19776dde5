import type { Hex, PublicClient, TransactionReceipt } from "viem";

/** What a chain shows of a transaction in a block, null while it shows none. Throws what else the client throws. */
export const minedReceipt = (client: PublicClient, hash: Hex): Promise<TransactionReceipt | null> =>
  client.getTransactionReceipt({ hash }).catch((error: unknown) => {
    if (error instanceof Error && error.name === "TransactionReceiptNotFoundError") return null;
    throw error;
  });

/** A log's hex in lower case, as evidence has it: RPCs differ in theirs. */
export const loweredLog = (
  log: Pick<TransactionReceipt["logs"][number], "address" | "topics" | "data" | "logIndex">,
) => ({
  address: log.address.toLowerCase(),
  topics: log.topics.map((topic) => topic.toLowerCase()),
  data: log.data.toLowerCase(),
  logIndex: log.logIndex,
});
