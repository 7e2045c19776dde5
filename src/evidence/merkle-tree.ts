import { concatBytes, sha256, type Bytes } from "./bytes.ts";

/** The domains of RFC 9162, section 2.1.1: no inner node can pass as a leaf. */
const LEAF = Uint8Array.of(0);
const NODE = Uint8Array.of(1);

/** A tree that grows leaf by leaf and keeps one hash for each bit of their number. */
export type MerkleTree = {
  /** Appends a leaf's bytes. */
  add(leaf: Bytes): void;
  /** The Merkle Tree Hash of all leaves so far, 32 bytes; SHA-256 of nothing where there is none. */
  root(): Bytes;
};

/** An empty Merkle tree over SHA-256 (RFC 9162, section 2.1.1). */
export function emptyTree(): MerkleTree {
  /** The roots of full trees that the leaves fall into, the largest first, each with its number of leaves. */
  const full: { leaves: number; hash: Bytes }[] = [];
  const node = (left: Bytes, right: Bytes): Bytes => sha256(concatBytes(NODE, left, right));
  return {
    add(leaf) {
      let grown = { leaves: 1, hash: sha256(concatBytes(LEAF, leaf)) };
      for (let last = full.at(-1); last?.leaves === grown.leaves; last = full.at(-1)) {
        full.pop();
        grown = { leaves: 2 * grown.leaves, hash: node(last.hash, grown.hash) };
      }
      full.push(grown);
    },
    root() {
      const hashes = full.map(({ hash }) => hash);
      return hashes.length === 0 ? sha256(new Uint8Array()) : hashes.reduceRight((right, left) => node(left, right));
    },
  };
}
