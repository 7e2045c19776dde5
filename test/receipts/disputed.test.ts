import { expect, test } from "vitest";
import { withOnly, withoutDisputed } from "../../src/receipts/disputed.ts";
import { createReceipt } from "../../src/receipts/receipt.ts";
import type { Evidence, Receipt } from "../../src/receipts/schema.ts";
import { isOwnAmong } from "../../src/verify/find-evidence.ts";
import { receiptCore, settlement } from "../support/receipt-core.ts";

const [one, other, third] = ["one", "other", "third"].map(settlement) as [Evidence, Evidence, Evidence];
const note: Evidence = { kind: "note.any" };
const disputed: Evidence = { kind: "disputed", of: "settlement.x402" };

/** A receipt with evidence of its delivery and later evidence. */
function told(atDelivery: readonly Evidence[], later: readonly Evidence[]): Receipt {
  const receipt = createReceipt(receiptCore("one", { evidence: [...atDelivery] }));
  const at = receipt.core.response.receivedAt;
  return { ...receipt, later: later.map((evidence) => ({ at, evidence })) };
}
const evidenceOf = ({ core, later }: Receipt): Evidence[][] => [core.evidence, later.map(({ evidence }) => evidence)];

test("a piece alone of its kind takes the place of the others, from delivery and later, and of nothing else", () => {
  const receipt = told([note, one], [other, note, third]);
  for (const piece of [one, other, third])
    expect(evidenceOf(withOnly(receipt, "settlement.x402", piece))).toEqual([[note], [note, piece]]);
});

test("without what is disputed a receipt has the rest, from delivery and later, and what is one's own", () => {
  const receipt = told([note, one], [other, note, disputed]);
  expect(evidenceOf(withoutDisputed(receipt))).toEqual([[note], [note, disputed]]);
  expect(evidenceOf(withoutDisputed(receipt, isOwnAmong([one])))).toEqual([
    [note, one],
    [note, disputed],
  ]);
  const undisputed = told([note, one], [other]);
  expect(evidenceOf(withoutDisputed(undisputed))).toEqual([[note, one], [other]]);
  expect(withoutDisputed(undisputed), "the very receipt, not a copy").toBe(undisputed);
});
