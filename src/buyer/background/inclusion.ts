import { readAnchor } from "../../chain/anchor.ts";
import { chainOf, type Chain } from "../../chain/chain.ts";
import { buildInclusionTree, inclusionIdOf, inclusionPath, type InclusionLeaf } from "../../evidence/inclusion.ts";
import type { Provider, PublishedInclusion, Seller } from "../../market/types.ts";
import { inclusionEvidence, type InclusionEvidence, type Receipt } from "../../receipts/schema.ts";
import type { BatchContradiction } from "../../verify/contradiction-codes.ts";
import { inclusionLeafOf } from "../../verify/layers/inclusion.ts";

/** What became of an answer's anchoring, as the seller publishes it and the chain shows it. */
export type InclusionView =
  | { state: "included"; evidence: InclusionEvidence }
  /** The seller has not anchored it, keeps it no longer, or the chain has not confirmed it. */
  | { state: "pending" }
  /** There is nothing to look for. */
  | { state: "absent"; code: "not_signed" | "relay_not_pinned" }
  /** Published batch, event and answer do not agree: the seller's word about its own batch is false. */
  | { state: "contradicted"; code: BatchContradiction };

/**
 * Looks once for an answer's inclusion. Fetches the batch named by the seller, rebuilds its tree, and finds exactly the
 * leaf made from the receipt's own bytes and signature. Reads the event from the chain itself, at the relay contract
 * pinned by this buyer. Only what the chain has confirmed counts.
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
  const published = await provider.fetchInclusion(seller, inclusionIdOf(leaf), signal, leaf.timestamp);
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
function placeIn(published: Published, ours: InclusionLeaf): { path: string[] } | BatchContradiction {
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

function whatStandsInstead(leaves: readonly InclusionLeaf[], ours: InclusionLeaf): BatchContradiction {
  if (leaves.some((leaf) => isSameAnswer(leaf, ours))) return "leaf_signature_mismatch";
  return leaves.some(({ inputHash }) => inputHash === ours.inputHash) ? "leaf_changed" : "leaf_missing";
}
