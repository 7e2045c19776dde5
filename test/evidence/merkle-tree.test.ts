import { createHash } from "node:crypto";
import fc from "fast-check";
import { expect, test } from "vitest";
import { fromHex, toHex } from "../../src/evidence/bytes.ts";
import { emptyTree } from "../../src/evidence/merkle-tree.ts";

const rootOf = (leaves: readonly Uint8Array<ArrayBuffer>[]): string => {
  const tree = emptyTree();
  for (const leaf of leaves) tree.add(leaf);
  return toHex(tree.root());
};
const sha = (...parts: Uint8Array[]): Uint8Array => createHash("sha256").update(Buffer.concat(parts)).digest();

test("roots are those of Certificate Transparency's reference implementation", () => {
  const leaves = [
    "",
    "00",
    "10",
    "2021",
    "3031",
    "40414243",
    "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
  ].map(fromHex);
  expect([0, 1, 2, 3, 4, 5, 6, 7, 8].map((count) => rootOf(leaves.slice(0, count)))).toEqual([
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
  ]);
});

test("a root grown leaf by leaf is the one that the RFC defines by halves", () => {
  const defined = (leaves: readonly Uint8Array[]): Uint8Array => {
    if (leaves.length <= 1) return leaves[0] === undefined ? sha() : sha(Uint8Array.of(0), leaves[0]);
    let half = 1;
    while (half * 2 < leaves.length) half *= 2;
    return sha(Uint8Array.of(1), defined(leaves.slice(0, half)), defined(leaves.slice(half)));
  };
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 70 }), (leaves) => {
      expect(rootOf(leaves)).toBe(toHex(defined(leaves)));
    }),
    { numRuns: 60 },
  );
});
