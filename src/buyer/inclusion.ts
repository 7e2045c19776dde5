import type { PublicClient } from "viem";
import { fromHex0x, toHex0x } from "../evidence/bytes.ts";
import {
  BATCH_SETTLEMENT_TOPIC,
  buildInclusionTree,
  inclusionIdOf,
  inclusionPath,
  readBatchSettlement,
  type InclusionLeaf,
} from "../evidence/inclusion.ts";
import { Proof402Error } from "../errors.ts";
import type { Provider, PublishedInclusion, Seller } from "../market/types.ts";
import type { Chain } from "../payment/chain.ts";
import { inclusionEvidence, type InclusionEvidence, type Receipt } from "../receipts/schema.ts";
import type { BATCH_CONTRADICTIONS } from "../verify/contradictions.ts";
import { inclusionLeafOf } from "../verify/layers/inclusion.ts";

/** What became of an answer's anchoring, as the seller publishes it and the chain shows it. */
export type InclusionView =
  | { state: "included"; evidence: InclusionEvidence }
  /** The seller has not anchored it, keeps it no longer, or the chain has not confirmed it. */
  | { state: "pending" }
  /** There is nothing to look for: `not_signed` or `relay_not_pinned`. */
  | { state: "absent"; code: string }
  /** Published batch, event and answer do not agree: the seller's word about its own batch is false. */
  | { state: "contradicted"; code: Contradiction };

type Contradiction = keyof typeof BATCH_CONTRADICTIONS;

/**
 * Looks once for an answer's inclusion: fetches the batch that the seller says it is in, rebuilds its tree, finds exactly
 * the leaf that the receipt's own bytes and signature make, and reads the event from the chain itself, at the relay
 * contract that this buyer pinned. Only what the chain has confirmed counts.
 *
 * Throws Proof402Error: the seller's or the chain's that could not be read (`chain_unreachable`, `seller_error`,
 * `malformed_seller_data`), or `network_not_configured`.
 */
export async function observeInclusion(options: {
  receipt: Receipt;
  /** The seller as configured: its `reference.relays` say where its roots may stand. */
  seller: Seller;
  provider: Pick<Provider, "fetchInclusion">;
  chains: ReadonlyMap<string, Chain>;
  signal?: AbortSignal;
}): Promise<InclusionView> {
  const { receipt, seller, provider, chains, signal } = options;
  const leaf = inclusionLeafOf(receipt);
  if (leaf === null) return { state: "absent", code: "not_signed" };
  const { relays } = seller.reference;
  if (relays.length === 0) return { state: "absent", code: "relay_not_pinned" };
  const published = await provider.fetchInclusion(seller, inclusionIdOf(leaf), signal);
  if (published === null || published.state === "pending") return { state: "pending" };
  const place = placeIn(published, leaf);
  if (typeof place === "string") return { state: "contradicted", code: place };
  for (const network of new Set(relays.map((relay) => relay.network))) {
    const contracts = relays.filter((relay) => relay.network === network).map(({ contract }) => contract);
    const told = { root: published.root, transaction: published.transaction, count: published.leaves.length };
    const anchor = await readAnchor(chainOf(chains, network), contracts, told, signal);
    if (anchor.state === "contradicted") return anchor;
    if (anchor.state === "unknown") continue;
    if (anchor.state === "pending") return anchor;
    // Parsed by the receipt's own schema: a malformed answer of the RPC ends here and not in a receipt.
    const evidence = inclusionEvidence.parse({
      kind: "inclusion.merkle",
      leaf,
      path: place.path,
      root: published.root,
      count: published.leaves.length,
      network,
      ...anchor.record,
    });
    return { state: "included", evidence };
  }
  return { state: "pending" };
}

type Published = Extract<PublishedInclusion, { state: "anchored" }>;

/** Our leaf's path in the tree rebuilt from the batch, or what is wrong with the batch. */
function placeIn(published: Published, ours: InclusionLeaf): { path: string[] } | Contradiction {
  const { leaves } = published;
  const [at, second] = leaves.flatMap((leaf, index) => (isSame(leaf, ours) ? [index] : []));
  if (second !== undefined) return "leaf_duplicated";
  if (at === undefined) return whatStandsInstead(leaves, ours);
  const tree = buildInclusionTree(leaves);
  if (tree.root !== published.root) return "batch_root_mismatch";
  return { path: inclusionPath(tree, tree.treeIndices[at] ?? 0) };
}

const isSame = (a: InclusionLeaf, b: InclusionLeaf): boolean => isSameAnswer(a, b) && a.signature === b.signature;

const isSameAnswer = (a: InclusionLeaf, b: InclusionLeaf): boolean =>
  a.teeId === b.teeId && a.inputHash === b.inputHash && a.outputHash === b.outputHash && a.timestamp === b.timestamp;

function whatStandsInstead(leaves: readonly InclusionLeaf[], ours: InclusionLeaf): Contradiction {
  if (leaves.some((leaf) => isSameAnswer(leaf, ours))) return "leaf_signature_mismatch";
  return leaves.some(({ inputHash }) => inputHash === ours.inputHash) ? "leaf_changed" : "leaf_missing";
}

/** The chain of a network. Throws Proof402Error `network_not_configured`. */
export function chainOf(chains: ReadonlyMap<string, Chain>, network: string): Chain {
  const chain = chains.get(network);
  if (chain !== undefined) return chain;
  throw new Proof402Error("network_not_configured", `No RPC is configured for ${network}.`, {
    next: "Add it to networks.",
  });
}

/** A batch as somebody says it is anchored. */
type Anchored = { root: string; transaction: string; count: number };
type ChainRecord = Pick<InclusionEvidence, "transaction" | "blockNumber" | "blockHash" | "blockTime" | "log">;
type Anchor =
  | { state: "anchored"; record: ChainRecord }
  | { state: "pending" }
  /** This chain does not know the transaction, or not any more. */
  | { state: "unknown" }
  | { state: "contradicted"; code: Contradiction };

/** What the chain shows of a transaction that is said to anchor the root; nothing is concluded before it is confirmed. */
export function readAnchor(
  chain: Chain,
  contracts: readonly string[],
  published: Anchored,
  signal?: AbortSignal,
): Promise<Anchor> {
  return chain.read(
    async (client): Promise<Anchor> => {
      const hash = toHex0x(fromHex0x(published.transaction));
      const receipt = await client.getTransactionReceipt({ hash }).catch((error: unknown) => {
        if (error instanceof Error && error.name === "TransactionReceiptNotFoundError") return null;
        throw error;
      });
      if (receipt === null) return { state: "unknown" };
      const blockHash = receipt.blockHash.toLowerCase();
      const blockTime = await confirmedTime(client, chain, receipt.blockNumber, blockHash);
      if (blockTime === null) return { state: "pending" };
      const logs = receipt.status === "success" ? receipt.logs.map(lowered) : [];
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
async function confirmedTime(client: PublicClient, chain: Chain, number: bigint, hash: string): Promise<number | null> {
  const head = await client.getBlock({ blockTag: "latest" });
  if (head.number - number < BigInt(chain.confirmations)) return null;
  const block = head.number === number ? head : await client.getBlock({ blockNumber: number });
  return block.hash.toLowerCase() === hash ? Number(block.timestamp) : null;
}

type Log = InclusionEvidence["log"];

const lowered = (log: { address: string; topics: readonly string[]; data: string; logIndex: number }): Log => ({
  address: log.address.toLowerCase(),
  topics: log.topics.map((topic) => topic.toLowerCase()),
  data: log.data.toLowerCase(),
  logIndex: log.logIndex,
});

/** The pinned relay's event for the published root and size, or what the transaction did instead. */
function findEvent(logs: readonly Log[], contracts: readonly string[], published: Anchored): Log | Contradiction {
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
