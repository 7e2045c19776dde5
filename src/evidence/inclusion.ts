import { concatBytes, fromHex0x, keccak256, toHex, toHex0x, uint256, utf8, type Bytes, type Hex } from "./bytes.ts";
import { teeMessageHash } from "./tee-signature.ts";

/**
 * One result as it stands in a batch, in OpenGradient's layout (inference-facilitator, `all_networks_shared.ts`): what the
 * seller's key signed, and its signature. Hex is lower case with 0x.
 */
export type InclusionLeaf = {
  /** keccak256 of the signing key's SubjectPublicKeyInfo, 32 bytes. */
  teeId: Hex;
  /** keccak256 of the request's and the answer's bytes, 32 bytes each. */
  inputHash: Hex;
  outputHash: Hex;
  /** The raw signature. PSS is randomised, so a leaf names one answer of one moment. */
  signature: Hex;
  /** Unix seconds, as signed. */
  timestamp: number;
};

/** ABI types of a leaf's values, in order: the `leafEncoding` of a published batch. */
export const LEAF_ENCODING = ["bytes32", "bytes32", "bytes32", "bytes", "uint256"] as const;

/** keccak256("BatchSettlement(bytes32,uint256,bytes)"), the root indexed: the event of OpenGradient's InferenceSettlementRelay. */
export const BATCH_SETTLEMENT_TOPIC = toHex0x(keccak256(utf8("BatchSettlement(bytes32,uint256,bytes)")));

const WORD = 32;

/**
 * keccak256(keccak256(abi.encode(values))): a leaf of OpenZeppelin's StandardMerkleTree (merkle-tree 1.0.8, `hashes.ts`).
 * Hashed twice over more than 64 bytes, so that no inner node can pass as a leaf. Throws on hex of another length.
 */
export function leafHash(leaf: InclusionLeaf): Bytes {
  const fixed = [leaf.teeId, leaf.inputHash, leaf.outputHash].map(fromHex0x);
  if (fixed.some((word) => word.length !== WORD)) throw new TypeError("a leaf's ids and hashes have 32 bytes");
  const signature = fromHex0x(leaf.signature);
  const padding = new Uint8Array((WORD - (signature.length % WORD)) % WORD);
  const encoded = concatBytes(
    ...fixed,
    uint256(LEAF_ENCODING.length * WORD),
    uint256(leaf.timestamp),
    uint256(signature.length),
    signature,
    padding,
  );
  return keccak256(keccak256(encoded));
}

/**
 * A leaf's id in requests for its inclusion: the hash its seller signed, hex. It depends on request, answer and time,
 * so a repeated request cannot take the first one's place.
 */
export const inclusionIdOf = (leaf: InclusionLeaf): string =>
  toHex(
    teeMessageHash({
      requestHash: fromHex0x(leaf.inputHash),
      outputHash: fromHex0x(leaf.outputHash),
      timestamp: leaf.timestamp,
    }),
  );

/** keccak256 of both nodes in byte order: an inner node does not say which child is left. */
const join = (a: Uint8Array, b: Uint8Array): Bytes =>
  compare(a, b) <= 0 ? keccak256(concatBytes(a, b)) : keccak256(concatBytes(b, a));

function compare(a: Uint8Array, b: Uint8Array): number {
  for (const [index, byte] of a.entries()) {
    const other = b[index] ?? 0;
    if (byte !== other) return byte - other;
  }
  return 0;
}

/** A batch's tree: node 0 is the root, node i has children 2i+1 and 2i+2, and the leaves stand at the end. 0x hex. */
export type InclusionTree = {
  root: Hex;
  nodes: Hex[];
  /** Where each leaf stands in `nodes`, in the order the leaves were given. */
  treeIndices: number[];
};

/**
 * The tree of OpenZeppelin's StandardMerkleTree: leaves sorted by hash and laid out from the end backwards. One leaf is
 * its own root. Throws RangeError without leaves.
 */
export function buildInclusionTree(leaves: readonly InclusionLeaf[]): InclusionTree {
  if (leaves.length === 0) throw new RangeError("a batch has at least one leaf");
  const sorted = leaves.map((leaf, at) => ({ at, hash: leafHash(leaf) })).toSorted((a, b) => compare(a.hash, b.hash));
  const size = 2 * leaves.length - 1;
  const nodes: Bytes[] = Array.from({ length: size }, () => new Uint8Array(WORD));
  const treeIndices = leaves.map(() => 0);
  for (const [position, { at, hash }] of sorted.entries()) {
    nodes[size - 1 - position] = hash;
    treeIndices[at] = size - 1 - position;
  }
  for (let index = size - 1 - leaves.length; index >= 0; index -= 1) {
    const [left, right] = [nodes[2 * index + 1], nodes[2 * index + 2]];
    if (left !== undefined && right !== undefined) nodes[index] = join(left, right);
  }
  const hexed = nodes.map(toHex0x);
  return { root: hexed[0] ?? "0x", nodes: hexed, treeIndices };
}

/** The siblings from a node up to the root, 0x hex. */
export function inclusionPath(tree: InclusionTree, treeIndex: number): Hex[] {
  const path: Hex[] = [];
  for (let index = treeIndex; index > 0; index = (index - 1) >> 1) {
    const sibling = tree.nodes[index % 2 === 1 ? index + 1 : index - 1];
    if (sibling !== undefined) path.push(sibling);
  }
  return path;
}

/**
 * The root that a leaf's hash and path lead to, 0x hex, or null where no tree of `count` different leaves has such a path:
 * leaves stand at two depths at most, and no node is its own sibling.
 */
export function rootOfPath(hash: Uint8Array, path: readonly string[], count: number): Hex | null {
  const depths = [Math.floor(Math.log2(count)), Math.floor(Math.log2(2 * count - 1))];
  if (!depths.includes(path.length)) return null;
  let node = toHex0x(hash);
  for (const sibling of path) {
    if (sibling === node) return null;
    node = toHex0x(join(fromHex0x(node), fromHex0x(sibling)));
  }
  return node;
}

/** A log as a chain returns it, hex lower case. */
type Log = { address: string; topics: readonly string[]; data: string };

/**
 * The batch in a log, null for any other log. Accepts only the exact ABI encoding of `(uint256 batchSize, bytes
 * walrusBlobId)`: no bit but the blob id's can change unnoticed.
 */
export function readBatchSettlement(log: Log): { root: string; count: bigint } | null {
  const [topic, root] = log.topics;
  if (log.topics.length !== 2 || topic !== BATCH_SETTLEMENT_TOPIC || root === undefined) return null;
  const data = fromHex0x(log.data);
  if (data.length < 3 * WORD) return null;
  const word = (index: number): bigint => BigInt(toHex0x(data.subarray(index * WORD, (index + 1) * WORD)));
  const [count, offset, length] = [word(0), word(1), word(2)];
  if (offset !== BigInt(2 * WORD) || length > BigInt(data.length)) return null;
  const end = 3 * WORD + Number(length);
  const whole = data.length === end + ((WORD - (end % WORD)) % WORD);
  return whole && data.subarray(end).every((byte) => byte === 0) ? { root, count } : null;
}

/** A batch by its event on chain. */
export type AnchoredBatch = { root: Hex; count: bigint; transaction: Hex; blobId: string };

/** A batch as it is published: OpenZeppelin's `tree.dump()`. Timestamps are decimal texts. */
export type PublishedBatch = {
  format: "standard-v1";
  leafEncoding: readonly string[];
  tree: string[];
  values: { value: [Hex, Hex, Hex, Hex, string]; treeIndex: number }[];
};

/** A batch's published form. */
export const publishBatch = (leaves: readonly InclusionLeaf[], tree: InclusionTree): PublishedBatch => ({
  format: "standard-v1",
  leafEncoding: LEAF_ENCODING,
  tree: tree.nodes,
  values: leaves.map((leaf, at) => ({
    value: [leaf.teeId, leaf.inputHash, leaf.outputHash, leaf.signature, String(leaf.timestamp)],
    treeIndex: tree.treeIndices[at] ?? 0,
  })),
});
