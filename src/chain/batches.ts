import { fromHex0x, lowered, textOf, type Address, type Hex } from "../evidence/bytes.ts";
import { BATCH_SETTLEMENT_TOPIC, readBatchSettlement, type AnchoredBatch } from "../evidence/inclusion.ts";
import type { Chain } from "./chain.ts";
import type { ChainClient } from "./client.ts";
import { loweredLog } from "./mined.ts";

/** Blocks asked about at once, spans of them in one look, and transactions read of what they hold. */
const SPAN = 2000n;
const MAX_SPANS = 10;
const MAX_TRANSACTIONS = 256;
const WORD = 32;
/** An id as Walrus writes it: base64url of 32 bytes. */
const BLOB_ID = /^[A-Za-z0-9_-]{1,64}$/;

/**
 * Reads the batches that a contract anchored from a time on (unix seconds), in the chain's order. Throws the chain's
 * Proof402Error.
 */
export const readBatches = (
  chain: Chain,
  contract: Address,
  since: number,
  signal?: AbortSignal,
): Promise<AnchoredBatch[]> =>
  chain.read(
    async (client) => {
      const head = await client.getBlock();
      const found = new Set<Hex>();
      let from = await firstBlockSince(client, BigInt(since), head.number);
      for (let span = 0; span < MAX_SPANS && from <= head.number; span += 1) {
        const end = from + SPAN - 1n;
        const toBlock = end < head.number ? end : head.number;
        const topics = [BATCH_SETTLEMENT_TOPIC];
        for (const log of await client.getLogs({ address: contract, topics, fromBlock: from, toBlock }))
          if (log.transactionHash != null) found.add(log.transactionHash);
        from = toBlock + 1n;
      }
      const batches: AnchoredBatch[] = [];
      for (const hash of [...found].slice(0, MAX_TRANSACTIONS)) {
        const receipt = await client.getTransactionReceipt(hash);
        for (const log of receipt?.status === "success" ? receipt.logs.map(loweredLog) : []) {
          const batch = log.address === contract ? readBatchSettlement(log) : null;
          const blobId = batch === null ? null : blobIdIn(log.data);
          if (batch !== null && blobId !== null)
            batches.push({
              root: lowered(`0x${batch.root.slice(2)}`),
              count: batch.count,
              transaction: lowered(hash),
              blobId,
            });
        }
      }
      return batches;
    },
    { signal },
  );

/** The first block of that time or later: half of what is left at each step. */
async function firstBlockSince(client: ChainClient, since: bigint, head: bigint): Promise<bigint> {
  let [low, high] = [0n, head];
  while (low < high) {
    const middle = (low + high) / 2n;
    const { timestamp } = await client.getBlock(middle);
    if (timestamp < since) low = middle + 1n;
    else high = middle;
  }
  return low;
}

/** The blob's id in an event's data, whose layout was read before: text in the bytes. */
function blobIdIn(data: Hex): string | null {
  const bytes = fromHex0x(data);
  const length = Number(BigInt(lowered(`0x${data.slice(2 + 4 * WORD, 2 + 6 * WORD)}`)));
  const id = textOf(bytes.subarray(3 * WORD, 3 * WORD + length));
  return id !== undefined && BLOB_ID.test(id) ? id : null;
}
