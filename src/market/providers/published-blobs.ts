import { jsonOf, type Address } from "../../evidence/bytes.ts";
import { buildInclusionTree, inclusionIdOf, type AnchoredBatch, type InclusionLeaf } from "../../evidence/inclusion.ts";
import type { Http } from "../../http/client.ts";
import type { PublishedInclusion, Seller } from "../types.ts";
import { readPublishedBatch } from "./published-batch.ts";

/** Reads the batches that a relay anchored since a time, unix seconds. */
export type ReadBatches = (
  relay: { network: string; contract: Address },
  since: number,
  signal?: AbortSignal,
) => Promise<AnchoredBatch[]>;

const BLOB_BYTES = 4_000_000;
/** Batches kept in memory, so that answers waiting side by side fetch each blob once. */
const MAX_KEPT = 64;
/** How far a chain's clock may be behind the seller's, seconds. */
const SKEW_SECONDS = 120;

/**
 * Looks for an answer in the batches that a seller's pinned relays anchored since it was signed. Blobs come from the
 * configured aggregator alone, by the id in the event; a batch counts if the tree of its values has the event's root.
 */
export function createBlobs(http: Http, readBatches: ReadBatches) {
  const kept = new Map<string, InclusionLeaf[]>();

  const leavesOf = async (
    seller: Seller,
    batch: AnchoredBatch,
    signal?: AbortSignal,
  ): Promise<InclusionLeaf[] | null> => {
    const known = kept.get(batch.root);
    if (known !== undefined) return known;
    const url = `${seller.aggregator?.replace(/\/+$/, "")}/v1/blobs/${batch.blobId}`;
    const { status, body } = await http.request({ method: "GET", url, maxBytes: BLOB_BYTES, signal });
    // Blobs spread for a while, and expire: another look may find it.
    if (status !== 200) return null;
    const leaves = readPublishedBatch(jsonOf(body));
    const isWhole =
      leaves !== null && BigInt(leaves.length) === batch.count && buildInclusionTree(leaves).root === batch.root;
    if (!isWhole) return null;
    kept.set(batch.root, leaves);
    const [oldest] = kept.keys();
    if (kept.size > MAX_KEPT && oldest !== undefined) kept.delete(oldest);
    return leaves;
  };

  return async (
    seller: Seller,
    { id, signedAt }: { id: string; signedAt: number },
    signal?: AbortSignal,
  ): Promise<PublishedInclusion | null> => {
    if (seller.aggregator === undefined) return null;
    for (const relay of seller.reference.relays) {
      for (const batch of await readBatches(relay, signedAt - SKEW_SECONDS, signal)) {
        const leaves = await leavesOf(seller, batch, signal);
        const { root, transaction } = batch;
        if (leaves?.some((leaf) => inclusionIdOf(leaf) === id) === true)
          return { state: "anchored", root, transaction, leaves };
      }
    }
    return { state: "pending" };
  };
}
