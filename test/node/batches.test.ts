import * as z from "zod";
import { expect, test } from "vitest";
import { buildInclusionTree, inclusionIdOf } from "../../src/evidence/inclusion.ts";
import { batchShelves, createBatches, type BatchShelves, type NodeAnchoring } from "../../src/node/batches.ts";
import { openShelves } from "../../src/node/shelf.ts";
import { eventually } from "../support/eventually.ts";
import { neighbours } from "../support/inclusion.ts";

/** Shelves of their own, in memory. */
const shelvesIn = async (): Promise<BatchShelves> => batchShelves(await openShelves());

const never = { maxWaitMilliseconds: 3_600_000 };
const transactionOf = (n: number): `0x${string}` => `0x${String(n).padStart(64, "0")}`;
/** Notes what is anchored; the first `failures` attempts fail. */
function recorder(failures = 0) {
  const roots: { root: string; count: number }[] = [];
  let attempts = 0;
  const anchor: NodeAnchoring["anchor"] = (batch) => {
    attempts += 1;
    if (attempts <= failures) return Promise.reject(new Error("the chain is away"));
    roots.push(batch);
    return Promise.resolve(transactionOf(roots.length));
  };
  return { roots, anchor, attempts: () => attempts };
}

test("answers are anchored when the batch is full, each at its place in the published tree", async () => {
  const { roots, anchor } = recorder();
  const batches = await createBatches({ anchor, maxLeaves: 3, ...never }, await shelvesIn());
  const leaves = neighbours(4);
  for (const leaf of leaves) await batches.add(leaf);
  const [first] = leaves;
  await eventually(() => expect(batches.inclusion(inclusionIdOf(first!))).toMatchObject({ state: "anchored" }));
  const tree = buildInclusionTree(leaves.slice(0, 3));
  expect(roots).toEqual([{ root: tree.root, count: 3 }]);
  for (const [at, leaf] of leaves.slice(0, 3).entries()) {
    expect(batches.inclusion(inclusionIdOf(leaf))).toEqual({
      state: "anchored",
      root: tree.root,
      index: tree.treeIndices[at],
      count: 3,
      transaction: transactionOf(1),
    });
  }
  expect(batches.batch(tree.root)).toMatchObject({ format: "standard-v1", tree: tree.nodes });
  expect(batches.batch(tree.root)?.values.map(({ treeIndex }) => treeIndex)).toEqual(tree.treeIndices);
  expect(batches.inclusion(inclusionIdOf(leaves[3]!))).toEqual({ state: "pending" });
  expect(batches.inclusion("00".repeat(32))).toBeNull();
  expect(batches.batch(inclusionIdOf(leaves[3]!))).toBeNull();
  await batches.close();
  expect(batches.inclusion(inclusionIdOf(leaves[3]!))).toMatchObject({ state: "anchored", count: 1 });
});

test("an answer waits for others no longer than the limit", async () => {
  const { roots, anchor } = recorder();
  const batches = await createBatches({ anchor, maxWaitMilliseconds: 20 }, await shelvesIn());
  for (const leaf of neighbours(2)) await batches.add(leaf);
  await eventually(() => expect(roots).toHaveLength(1));
  expect(roots[0]).toMatchObject({ count: 2 });
  await batches.close();
  expect(roots).toHaveLength(1);
});

test("a root that could not be sent is tried again before the next, and says pending until then", async () => {
  const { roots, anchor, attempts } = recorder(3);
  const batches = await createBatches({ anchor, maxLeaves: 1, retryMilliseconds: 1 }, await shelvesIn());
  const [first, second] = neighbours(2);
  await batches.add(first!);
  await batches.add(second!);
  expect(batches.inclusion(inclusionIdOf(first!))).toEqual({ state: "pending" });
  await eventually(() => expect(roots).toHaveLength(2));
  expect(attempts()).toBe(5);
  expect(roots.map(({ root }) => root)).toEqual([first, second].map((leaf) => buildInclusionTree([leaf!]).root));
  await batches.close();
});

test("closing tries what is left once and does not wait for a chain that is away", async () => {
  const { roots, anchor, attempts } = recorder(1000);
  const batches = await createBatches({ anchor, maxLeaves: 1, retryMilliseconds: 3_600_000 }, await shelvesIn());
  const leaves = neighbours(2);
  for (const leaf of leaves) await batches.add(leaf);
  await eventually(() => expect(attempts()).toBe(1));
  await batches.close();
  expect(roots).toEqual([]);
  expect(batches.inclusion(inclusionIdOf(leaves[1]!))).toEqual({ state: "pending" });
});

test("nobody who has the same answer made again takes the place of the first", async () => {
  const { roots, anchor } = recorder();
  const batches = await createBatches({ anchor, maxLeaves: 1 }, await shelvesIn());
  const [leaf] = neighbours(1);
  await batches.add(leaf!);
  await batches.add({ ...leaf!, signature: `0x${"ee".repeat(256)}` });
  await eventually(() => expect(roots).toHaveLength(2));
  expect(batches.inclusion(inclusionIdOf(leaf!))).toMatchObject({ root: buildInclusionTree([leaf!]).root });
  await batches.close();
});

test("the oldest batches are forgotten, answers and all, when many are kept", async () => {
  const { roots, anchor } = recorder();
  const batches = await createBatches({ anchor, maxLeaves: 2, keepLeaves: 5 }, await shelvesIn());
  const leaves = neighbours(6);
  for (const leaf of leaves) await batches.add(leaf);
  await eventually(() => expect(roots).toHaveLength(3));
  expect(batches.inclusion(inclusionIdOf(leaves[0]!))).toBeNull();
  expect(batches.batch(roots[0]!.root)).toBeNull();
  expect(batches.inclusion(inclusionIdOf(leaves.at(-1)!))).toMatchObject({ state: "anchored" });
  await batches.close();
});

test("with the chain away for long, what is too old to keep is not sent when it comes back", async () => {
  const { roots, anchor, attempts } = recorder(1);
  const batches = await createBatches(
    { anchor, maxLeaves: 1, keepLeaves: 2, retryMilliseconds: 50 },
    await shelvesIn(),
  );
  const leaves = neighbours(5);
  for (const leaf of leaves) await batches.add(leaf);
  await eventually(() => expect(roots).toHaveLength(2));
  await batches.close();
  expect(attempts()).toBe(3);
  expect(roots.map(({ root }) => root)).toEqual(leaves.slice(3).map((leaf) => buildInclusionTree([leaf]).root));
});

test("T110: what a process left open, unsent or anchored is anchored once by the next, and shown by it", async () => {
  const shelves = await shelvesIn();
  const away = recorder(1000);
  const [sealed, unsent, open, late] = neighbours(4);
  const before = recorder();
  const first = await createBatches({ anchor: before.anchor, maxLeaves: 1 }, shelves);
  await first.add(sealed!);
  await eventually(() => expect(first.inclusion(inclusionIdOf(sealed!))).toMatchObject({ state: "anchored" }));
  await first.close();
  // Neither is closed: its process was killed.
  const stuck = await createBatches({ anchor: away.anchor, maxLeaves: 1, retryMilliseconds: 3_600_000 }, shelves);
  await stuck.add(unsent!);
  await eventually(() => expect(away.attempts()).toBe(1));
  const killed = await createBatches({ anchor: away.anchor, maxLeaves: 3, ...never }, shelves);
  await killed.add(open!);

  const after = recorder();
  const next = await createBatches({ anchor: after.anchor, maxLeaves: 2, ...never }, shelves);
  expect(next.inclusion(inclusionIdOf(sealed!))).toEqual(first.inclusion(inclusionIdOf(sealed!)));
  expect(next.inclusion(inclusionIdOf(open!))).toEqual({ state: "pending" });
  await next.add(open!);
  await next.add(late!);
  const roots = [[unsent!], [open!, late!]].map((leaves) => ({
    root: buildInclusionTree(leaves).root,
    count: leaves.length,
  }));
  await eventually(() => expect(after.roots).toEqual(roots));
  await next.close();
  const reader = await createBatches({ anchor: after.anchor }, shelves);
  for (const leaf of [sealed!, unsent!, open!, late!])
    expect(reader.inclusion(inclusionIdOf(leaf))).toMatchObject({ state: "anchored" });
  await reader.close();
  expect(after.roots).toEqual(roots);
});

test("T110: however many answers waited for a chain that was away, the next process anchors each", async () => {
  const shelves = await shelvesIn();
  const leaves = neighbours(1_100);
  const away = recorder(1000);
  const killed = await createBatches({ anchor: away.anchor, maxLeaves: 500, retryMilliseconds: 3_600_000 }, shelves);
  for (const leaf of leaves) await killed.add(leaf);

  const { roots, anchor } = recorder();
  const next = await createBatches({ anchor, maxLeaves: 500, ...never }, shelves);
  expect(leaves.filter((leaf) => next.inclusion(inclusionIdOf(leaf)) === null)).toEqual([]);
  await next.close();
  expect(roots.map(({ count }) => count)).toEqual([500, 500, 100]);
  for (const leaf of leaves) expect(next.inclusion(inclusionIdOf(leaf))).toMatchObject({ state: "anchored" });
});

test("T110: a row that cannot be read is named once and set aside, and the rest is anchored", async () => {
  const named: string[] = [];
  const all = await openShelves(":memory:", ({ kind, id }) => named.push(`${kind} ${id}`));
  const [good, other, sealed] = neighbours(3);
  const rows = { leaf: all.named("leaf", z.unknown()), batch: all.named("batch", z.unknown()) };
  // As an answer that was not signed would be, one under the id of another, and a batch under another root.
  await rows.leaf.put("unsigned", { ...good, inputHash: "0x", signature: "0x" });
  await rows.leaf.put("another", other);
  await rows.leaf.put(inclusionIdOf(good!), good);
  await rows.batch.put("root", { leaves: [sealed], transaction: null });
  await rows.batch.put("empty", { leaves: [], transaction: null });
  const { roots, anchor } = recorder();
  const batches = await createBatches({ anchor, ...never }, batchShelves(all));
  await batches.close();
  expect(roots).toEqual([{ root: buildInclusionTree([good!]).root, count: 1 }]);
  expect(named.toSorted()).toEqual(["batch empty", "batch root", "leaf another", "leaf unsigned"]);
  await (await createBatches({ anchor, ...never }, batchShelves(all))).close();
  expect([named.length, roots.length]).toEqual([4, 1]);
  expect(await all.named("unreadable leaf", z.unknown()).load()).toHaveLength(2);
});
