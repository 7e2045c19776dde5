import { keccak256, toHex0x, uint256, utf8, type Address, type Hex } from "../../src/evidence/bytes.ts";
import {
  BATCH_SETTLEMENT_TOPIC,
  buildInclusionTree,
  inclusionPath,
  type InclusionLeaf,
} from "../../src/evidence/inclusion.ts";
import type { InclusionEvidence, Receipt } from "../../src/receipts/schema.ts";
import { inclusionLeafOf } from "../../src/verify/layers/inclusion.ts";
import type { AppraisalPolicy } from "../../src/verify/policy.ts";
import { makeFixture, type Fixture } from "./fixture-receipt.ts";

const RELAY: Address = `0x${"f6".repeat(20)}`;
const NETWORK = "eip155:31337";

/** Somebody else's results, to be in a batch with. */
export const neighbours = (count: number): InclusionLeaf[] =>
  Array.from({ length: count }, (_, index) => ({
    teeId: toHex0x(keccak256(utf8("neighbour"))),
    inputHash: toHex0x(keccak256(utf8(`input ${index}`))),
    outputHash: toHex0x(keccak256(utf8(`output ${index}`))),
    signature: `0x${"cd".repeat(256)}`,
    timestamp: 1_770_918_963 + index,
  }));

/** The log that anchors a batch, without a blob id. */
export const settlementLog = (root: Hex, count: number, address = RELAY): InclusionEvidence["log"] => ({
  address,
  topics: [BATCH_SETTLEMENT_TOPIC, root],
  data: `0x${[count, 64, 0].map((value) => toHex0x(uint256(value)).slice(2)).join("")}`,
  logIndex: 0,
});

/** Evidence that a leaf is in a batch with `others`, as an honest chain and seller would give it. */
export function inclusionOf(leaf: InclusionLeaf, others: readonly InclusionLeaf[]): InclusionEvidence {
  const tree = buildInclusionTree([leaf, ...others]);
  return {
    kind: "inclusion.merkle",
    leaf,
    path: inclusionPath(tree, tree.treeIndices[0]!),
    root: tree.root,
    count: others.length + 1,
    network: NETWORK,
    transaction: `0x${"d7".repeat(32)}`,
    blockNumber: "9",
    blockHash: `0x${"e8".repeat(32)}`,
    blockTime: leaf.timestamp + 5,
    log: settlementLog(tree.root, others.length + 1),
  };
}

/** The fixture's policy with its seller's relay contract pinned. */
export const withRelay = (
  policy: AppraisalPolicy,
  relays = [{ network: NETWORK, contract: RELAY }],
): AppraisalPolicy => ({
  ...policy,
  sellers: Object.fromEntries(Object.entries(policy.sellers).map(([id, values]) => [id, { ...values, relays }])),
});

/** The receipt with one more piece of later evidence. */
export const withLater = (receipt: Receipt, evidence: InclusionEvidence): Receipt => ({
  ...receipt,
  later: [...receipt.later, { at: "2026-11-23T12:00:00.000Z", evidence }],
});

/** A complete receipt whose answer is anchored in a batch of `size`, under a policy that requires it. */
export async function makeIncluded(size = 6): Promise<Fixture & { evidence: InclusionEvidence; bare: Receipt }> {
  const { receipt, policy, evaluateAt } = await makeFixture();
  const evidence = inclusionOf(inclusionLeafOf(receipt)!, neighbours(size - 1));
  const required = [
    "platform",
    "code",
    "key",
    "freshness",
    "request",
    "response",
    "model",
    "payment",
    "settlement",
    "inclusion",
  ];
  return {
    receipt: withLater(receipt, evidence),
    bare: receipt,
    evidence,
    policy: { ...withRelay(policy), requiredLayers: required as NonNullable<AppraisalPolicy["requiredLayers"]> },
    evaluateAt,
  };
}
