import { readFile } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { keccak256, toHex0x, uint256, utf8, type Hex } from "../../src/evidence/bytes.ts";
import {
  BATCH_SETTLEMENT_TOPIC,
  buildInclusionTree,
  inclusionPath,
  leafHash,
  LEAF_ENCODING,
  publishBatch,
  readBatchSettlement,
  rootOfPath,
  type InclusionLeaf,
} from "../../src/evidence/inclusion.ts";
import { vectorsDirectory } from "../support/vectors.ts";

const shared = await vectorsDirectory();
const word = (seed: string): `0x${string}` => toHex0x(keccak256(utf8(seed)));
const leafOf = (seed: number): InclusionLeaf => ({
  teeId: word("tee"),
  inputHash: word(`input ${seed}`),
  outputHash: word(`output ${seed}`),
  signature: `0x${"ab".repeat(seed % 70)}`,
  timestamp: 1_770_918_963 + seed,
});
const leaves = (count: number): InclusionLeaf[] => Array.from({ length: count }, (_, index) => leafOf(index));

describe.skipIf(shared === null)("a batch made by @openzeppelin/merkle-tree 1.0.8 in OpenGradient's layout", () => {
  test("has the same leaf, tree, paths and published form here", async () => {
    type Values = [Hex, Hex, Hex, Hex, string];
    const file = join(shared ?? "", "opengradient", "opengradient-vectors.json");
    const { merkle } = JSON.parse(await readFile(file, "utf8")) as {
      merkle: {
        values: Values[];
        root: string;
        leaf0: string;
        proof0: string[];
        leafEncoding: string[];
        dump: unknown;
      };
    };
    const given = merkle.values.map(([teeId, inputHash, outputHash, signature, timestamp]): InclusionLeaf => ({
      teeId,
      inputHash,
      outputHash,
      signature,
      timestamp: Number(timestamp),
    }));
    const tree = buildInclusionTree(given);
    expect(LEAF_ENCODING).toEqual(merkle.leafEncoding);
    expect(toHex0x(leafHash(given[0]!))).toBe(merkle.leaf0);
    expect(tree.root).toBe(merkle.root);
    expect(inclusionPath(tree, tree.treeIndices[0]!)).toEqual(merkle.proof0);
    expect(publishBatch(given, tree)).toEqual(merkle.dump);
  });
});

describe("a tree", () => {
  test("of one leaf is that leaf, with an empty path", () => {
    const [only] = leaves(1);
    const tree = buildInclusionTree([only!]);
    expect(tree.root).toBe(toHex0x(leafHash(only!)));
    expect(inclusionPath(tree, 0)).toEqual([]);
    expect(rootOfPath(leafHash(only!), [], 1)).toBe(tree.root);
    expect(() => buildInclusionTree([])).toThrow(RangeError);
  });

  test("leads from each leaf to its root, whatever its size, and the order of leaves changes nothing", () => {
    for (let count = 1; count <= 40; count += 1) {
      const all = leaves(count);
      const tree = buildInclusionTree(all);
      expect(tree.nodes).toHaveLength(2 * count - 1);
      expect(buildInclusionTree(all.toReversed()).nodes).toEqual(tree.nodes);
      for (const [at, leaf] of all.entries()) {
        expect(tree.nodes[tree.treeIndices[at]!]).toBe(toHex0x(leafHash(leaf)));
        expect(rootOfPath(leafHash(leaf), inclusionPath(tree, tree.treeIndices[at]!), count)).toBe(tree.root);
      }
    }
  });

  test("leads nowhere from another leaf, along another path, or from an inner node", () => {
    const count = 11;
    const all = leaves(count);
    const tree = buildInclusionTree(all);
    const path = inclusionPath(tree, tree.treeIndices[3]!);
    for (const [at, leaf] of all.entries())
      expect(rootOfPath(leafHash(leaf), path, count) === tree.root).toBe(at === 3);
    // Depth 4 in a tree of 11: a path that begins one node higher names no leaf of it.
    expect(path).toHaveLength(4);
    expect(rootOfPath(keccak256(utf8("any")), path.slice(2), count)).toBeNull();
    expect(rootOfPath(leafHash(all[3]!), path, 100)).toBeNull();
    expect(rootOfPath(leafHash(all[3]!), [...path, word("more")], count)).toBeNull();
  });

  test("has no node that is its own sibling", () => {
    const [leaf] = leaves(1);
    const twice = buildInclusionTree([leaf!, leaf!]);
    expect(rootOfPath(leafHash(leaf!), inclusionPath(twice, 1), 2)).toBeNull();
  });

  test("every value of a leaf is in its hash, and no two splits of the same bytes hash alike", () => {
    fc.assert(
      fc.property(
        fc.nat(69),
        fc.constantFrom("teeId", "inputHash", "outputHash", "signature", "timestamp"),
        (seed, field) => {
          const leaf = leafOf(seed);
          const changed = {
            ...leaf,
            [field]:
              field === "timestamp"
                ? leaf.timestamp + 1
                : field === "signature"
                  ? `${leaf.signature}00`
                  : word("other"),
          };
          expect(leafHash(changed)).not.toEqual(leafHash(leaf));
        },
      ),
    );
    expect(() => leafHash({ ...leafOf(1), teeId: "0x12" })).toThrow(TypeError);
  });
});

describe("the event of an anchored batch", () => {
  const root = word("root");
  const data = (words: (number | bigint)[], tail = ""): string =>
    `0x${words.map((value) => toHex0x(uint256(value)).slice(2)).join("")}${tail}`;
  const read = (text: string, topics: string[] = [BATCH_SETTLEMENT_TOPIC, root]) =>
    readBatchSettlement({ address: "0x", topics, data: text });

  test("has the topic that OpenGradient's relay emits", () => {
    expect(BATCH_SETTLEMENT_TOPIC).toBe("0xc2aff8d8a10a4543baabf39bd9ff45e7fc3881d19098df350a3b7f339e911127");
  });

  test("is read with and without a blob id", () => {
    expect(read(data([20, 64, 0]))).toEqual({ root, count: 20n });
    expect(read(data([1, 64, 5], `68656c6c6f${"00".repeat(27)}`))).toEqual({ root, count: 1n });
    expect(read(data([1, 64, 32], "11".repeat(32)))).toEqual({ root, count: 1n });
  });

  test.each([
    ["another event", data([20, 64, 0]), [root, root]],
    ["a topic too few", data([20, 64, 0]), [BATCH_SETTLEMENT_TOPIC]],
    ["a topic too many", data([20, 64, 0]), [BATCH_SETTLEMENT_TOPIC, root, root]],
    ["no data", "0x", [BATCH_SETTLEMENT_TOPIC, root]],
    ["another offset", data([20, 96, 0]), [BATCH_SETTLEMENT_TOPIC, root]],
    ["a length past the end", data([20, 64, 1]), [BATCH_SETTLEMENT_TOPIC, root]],
    ["a length past every number", data([20, 64, 2n ** 255n]), [BATCH_SETTLEMENT_TOPIC, root]],
    ["more than its length says", data([20, 64, 0, 0]), [BATCH_SETTLEMENT_TOPIC, root]],
    ["padding that is not zero", data([1, 64, 1], `68${"00".repeat(30)}01`), [BATCH_SETTLEMENT_TOPIC, root]],
  ])("is not read from %s", (_what, text, topics) => {
    expect(read(text, topics)).toBeNull();
  });
});
