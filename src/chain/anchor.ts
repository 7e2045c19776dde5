import { lowered, type Hex } from "../evidence/bytes.ts";
import { BATCH_SETTLEMENT_TOPIC, readBatchSettlement } from "../evidence/inclusion.ts";
import type { InclusionEvidence } from "../receipts/schema.ts";
import type { BatchContradiction } from "../verify/contradiction-codes.ts";
import type { Chain } from "./chain.ts";
import { loweredLog } from "./mined.ts";
import type { ChainClient } from "./client.ts";

/** A batch as somebody says it is anchored. */
type Anchored = { root: Hex; transaction: Hex; count: number };
type ChainRecord = Pick<InclusionEvidence, "transaction" | "blockNumber" | "blockHash" | "blockTime" | "log">;
type Anchor =
  | { state: "anchored"; record: ChainRecord }
  | { state: "pending" }
  /** This node does not have the transaction, or not any more. */
  | { state: "unknown" }
  | { state: "contradicted"; code: BatchContradiction };

/** Reads from the chain a transaction said to anchor the root. Concludes nothing before its block is confirmed. */
export function readAnchor(
  chain: Chain,
  contracts: readonly string[],
  published: Anchored,
  signal?: AbortSignal,
): Promise<Anchor> {
  return chain.read(
    async (client): Promise<Anchor> => {
      const receipt = await client.getTransactionReceipt(published.transaction);
      if (receipt === null) return { state: "unknown" };
      const blockHash = lowered(receipt.blockHash);
      const blockTime = await confirmedTime(client, chain, receipt.blockNumber, blockHash);
      if (blockTime === null) return { state: "pending" };
      const logs = receipt.status === "success" ? receipt.logs.map(loweredLog) : [];
      const found = findEvent(logs, contracts, published);
      if (typeof found === "string") return { state: "contradicted", code: found };
      const { transaction } = published;
      const record = { transaction, blockNumber: receipt.blockNumber.toString(), blockHash, blockTime, log: found };
      return { state: "anchored", record };
    },
    { signal },
  );
}

/** The block's time where it is on the chain with the wanted confirmations, unix seconds; null before, or where it was replaced. */
async function confirmedTime(client: ChainClient, chain: Chain, number: bigint, hash: string): Promise<number | null> {
  const head = await client.getBlock();
  if (head.number - number < BigInt(chain.confirmations)) return null;
  const block = head.number === number ? head : await client.getBlock(number);
  return block.hash.toLowerCase() === hash ? Number(block.timestamp) : null;
}

type Log = InclusionEvidence["log"];

/** The pinned relay's event for the published root and size, or what the transaction did instead. */
function findEvent(logs: readonly Log[], contracts: readonly string[], published: Anchored): Log | BatchContradiction {
  const events = logs.flatMap((log) => {
    const batch = log.topics[0] === BATCH_SETTLEMENT_TOPIC ? readBatchSettlement(log) : null;
    return batch === null ? [] : [{ log, batch, pinned: contracts.includes(log.address) }];
  });
  const ours = events.filter(({ batch }) => batch.root === published.root);
  const pinned = ours.filter((event) => event.pinned);
  const exact = pinned.find(({ batch }) => batch.count === BigInt(published.count));
  if (exact !== undefined) return exact.log;
  if (pinned.length > 0) return "count_mismatch";
  if (ours.length > 0) return "contract_mismatch";
  return events.some((event) => event.pinned) ? "anchored_root_mismatch" : "not_anchored";
}
