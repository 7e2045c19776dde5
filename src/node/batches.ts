import {
  buildInclusionTree,
  inclusionIdOf,
  publishBatch,
  type InclusionLeaf,
  type InclusionTree,
  type PublishedBatch,
} from "../evidence/inclusion.ts";
import type * as z from "zod";
import type { Hex } from "../evidence/bytes.ts";
import { leafSchema, sealedSchema } from "./leaves.ts";
import type { Shelf, Shelves } from "./shelf.ts";

/** How a node has its answers anchored. It holds no client of a chain: its runner gives it `anchor`. */
export type NodeAnchoring = {
  /** Sends a batch's root to the relay contract and resolves with the transaction, 0x hex. Called again where it throws. */
  anchor: (batch: { root: Hex; count: number }) => Promise<Hex>;
  /** The contract named to buyers in the catalog. */
  relay?: { network: string; contract: string };
  /** Answers that fill a batch; 1 to 1024. */
  maxLeaves?: number | undefined;
  /** Longest time an answer waits for others, ms. */
  maxWaitMilliseconds?: number | undefined;
  /** How long after a failed `anchor` it is tried again, ms; doubled each time, up to a minute. */
  retryMilliseconds?: number;
  /** Answers kept for buyers to fetch, about 1 kB each: when there are more, the oldest batch is forgotten. */
  keepLeaves?: number;
};

/** Where an answer stands: in no anchored batch yet, or at a place in one. */
export type Inclusion =
  | { state: "pending" }
  | { state: "anchored"; root: string; index: number; count: number; transaction: string };

export type Batches = {
  /** Adds an answer once, however often it is handed in. */
  add(leaf: InclusionLeaf): Promise<void>;
  /** Null for an id that is not kept: never signed here, or too old. */
  inclusion(id: string): Inclusion | null;
  batch(root: string): PublishedBatch | null;
  close(): Promise<void>;
};

const MAX_LEAVES = 256;
const MOST_LEAVES = 1024;
const MAX_WAIT_MS = 60_000;
const KEPT_LEAVES = 50_000;
const RETRY_MS = 1_000;
const MAX_RETRY_MS = 60_000;

type Batch = { leaves: InclusionLeaf[]; tree: InclusionTree; transaction: Hex | null };
type Place = { batch: Batch | null; at: number; signature: string };

/** Answers in no batch yet, by their ids, and batches by their roots. */
export type BatchShelves = { open: Shelf<InclusionLeaf>; sealed: Shelf<z.infer<typeof sealedSchema>> };

/** The shelves of a node's file, for each key that it ever signed with. */
export const batchShelves = (shelves: Shelves): BatchShelves => ({
  open: shelves.named("leaf", leafSchema),
  sealed: shelves.named("batch", sealedSchema),
});

/**
 * Collects signed answers into batches, by number or by age, and anchors one after the other. What an earlier process on the
 * shelves left is shown again, and anchored if it was not. A batch whose process ended while it was sent is sent twice. So is
 * what waits in another process that still runs.
 */
export async function createBatches(options: NodeAnchoring, shelves: BatchShelves): Promise<Batches> {
  const maxLeaves = Math.min(Math.max(1, options.maxLeaves ?? MAX_LEAVES), MOST_LEAVES);
  const retryMs = options.retryMilliseconds ?? RETRY_MS;
  const places = new Map<string, Place>();
  const kept = new Map<string, Batch>();
  const waiting: Batch[] = [];
  let open: InclusionLeaf[] = [];
  let keptLeaves = 0;
  let closing = false;
  let sealTimer: NodeJS.Timeout | undefined;
  let working: Promise<void> | null = null;
  let endPause = (): void => {};

  const drop = (batch: Batch): void => {
    const at = waiting.indexOf(batch);
    if (at >= 0) waiting.splice(at, 1);
  };

  const save = ({ leaves, tree, transaction }: Batch): Promise<void> =>
    shelves.sealed.put(tree.root, { leaves, transaction }).catch(() => undefined);

  const seal = (): void => {
    clearTimeout(sealTimer);
    sealTimer = undefined;
    if (open.length === 0) return;
    const batch: Batch = { leaves: open, tree: buildInclusionTree(open), transaction: null };
    open = [];
    hold(batch);
    waiting.push(batch);
    working ??= work();
  };

  const hold = (batch: Batch): void => {
    for (const [at, leaf] of batch.leaves.entries()) {
      const id = inclusionIdOf(leaf);
      const place = places.get(id);
      // The same request, answer and second twice: the first keeps its place.
      if (place === undefined) places.set(id, { batch, at, signature: leaf.signature });
      else if (place.batch === null) Object.assign(place, { batch, at });
    }
    kept.set(batch.tree.root, batch);
    keptLeaves += batch.leaves.length;
    for (const [root, oldest] of kept) {
      if (oldest === batch || keptLeaves <= (options.keepLeaves ?? KEPT_LEAVES)) break;
      kept.delete(root);
      void shelves.sealed.drop([root]).catch(() => undefined);
      drop(oldest);
      keptLeaves -= oldest.leaves.length;
      for (const leaf of oldest.leaves) places.delete(inclusionIdOf(leaf));
    }
  };

  /** One root at a time, in order. While closing each is tried once more and no longer. */
  const work = async (): Promise<void> => {
    for (let failures = 0; waiting.length > 0;) {
      const [batch] = waiting;
      if (batch === undefined) break;
      const { root } = batch.tree;
      await save(batch);
      await shelves.open.drop(batch.leaves.map(inclusionIdOf)).catch(() => undefined);
      const sent = await Promise.resolve()
        .then(() => options.anchor({ root, count: batch.leaves.length }))
        .catch(() => null);
      batch.transaction = sent;
      if (sent !== null) await save(batch);
      if (sent !== null || closing) {
        drop(batch);
        failures = 0;
      } else {
        await pause(Math.min(retryMs * 2 ** failures, MAX_RETRY_MS));
        failures += 1;
      }
    }
    // In the same step in which nothing was found waiting: a batch sealed later starts afresh.
    working = null;
  };

  const pause = (ms: number): Promise<void> =>
    new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      timer.unref();
      endPause = () => {
        clearTimeout(timer);
        resolve();
      };
      if (closing) endPause();
    });

  const collect = (leaf: InclusionLeaf): void => {
    const id = inclusionIdOf(leaf);
    if (!places.has(id)) places.set(id, { batch: null, at: 0, signature: leaf.signature });
    open.push(leaf);
    if (open.length >= maxLeaves) seal();
    else if (sealTimer === undefined) {
      sealTimer = setTimeout(seal, options.maxWaitMilliseconds ?? MAX_WAIT_MS);
      sealTimer.unref();
    }
  };

  const left = { sealed: await shelves.sealed.load(), open: await shelves.open.load() };
  for (const [root, { leaves, transaction }] of left.sealed) {
    const batch: Batch = { leaves, tree: buildInclusionTree(leaves), transaction };
    if (batch.tree.root !== root) {
      await shelves.sealed.setAside(root);
      continue;
    }
    if (transaction === null) waiting.push(batch);
    hold(batch);
  }
  for (const [id, leaf] of left.open) {
    if (inclusionIdOf(leaf) !== id) await shelves.open.setAside(id);
    // A leaf whose process ended between the two shelves stands on both.
    else if (!places.has(id)) collect(leaf);
  }
  if (waiting.length > 0) working ??= work();

  return {
    async add(leaf) {
      const id = inclusionIdOf(leaf);
      if (places.get(id)?.signature === leaf.signature) return;
      const isFirst = !places.has(id);
      collect(leaf);
      // It waits in memory all the same: a database that fails now costs its place only if the process ends, too.
      if (isFirst) await shelves.open.put(id, leaf).catch(() => undefined);
    },

    inclusion(id) {
      const place = places.get(id);
      if (place === undefined) return null;
      const { batch, at } = place;
      if (batch === null || batch.transaction === null) return { state: "pending" };
      return {
        state: "anchored",
        root: batch.tree.root,
        index: batch.tree.treeIndices[at] ?? 0,
        count: batch.leaves.length,
        transaction: batch.transaction,
      };
    },

    batch(root) {
      const batch = kept.get(root);
      return batch === undefined ? null : publishBatch(batch.leaves, batch.tree);
    },

    async close() {
      closing = true;
      seal();
      endPause();
      await working;
    },
  };
}
