import { expect, test } from "vitest";
import { auditLog } from "../../src/receipts/log.ts";
import { createReceipt, parseReceipt, serializeReceipt } from "../../src/receipts/receipt.ts";
import { LAYERS, type Appraisal, type Evidence, type Receipt, type Verdict } from "../../src/receipts/schema.ts";
import { addReceipt, appendAppraisal, appendLater, requireReceipt } from "../../src/receipts/store.ts";
import { immediate } from "../../src/storage/migrations.ts";
import { isBrief } from "../support/campaign.ts";
import { filling } from "../support/full-receipt.ts";
import { appraisal, receiptCore } from "../support/receipt-core.ts";
import { database, time } from "./stores.ts";

const receipt = createReceipt(receiptCore());
const { id } = receipt;

const note = (n: number): Evidence => ({ kind: "x.note", n });
const values = (count: number): Evidence => ({ kind: "x.values", list: Array.from({ length: count }, () => "") });
const valuesIn = (value: unknown): number => JSON.stringify(value).match(/[{[,]/g)!.length;
const contradictions = Array.from({ length: 16 }, (_, n): Evidence => ({
  kind: "contradiction",
  layer: "settlement",
  code: String(n).padStart(64, "a"),
}));
/** An appraisal as long as one can be. */
const longest = (verdict: Verdict): Appraisal => ({
  ...appraisal({ verdict }),
  notProven: Array.from({ length: 32 }, () => "a".repeat(400)),
  layers: Object.fromEntries(
    LAYERS.map((layer) => [layer, { status: "skip", code: "a".repeat(64), note: "a".repeat(400) }]),
  ) as Appraisal["layers"],
});

type Filled = [string, Appraisal, (stored: Receipt) => Evidence[]];
const FILLED: Filled[] = [
  ["pieces and appraisals", appraisal({ verdict: "verified" }), () => Array.from({ length: 64 }, (_, n) => note(n))],
  ["bytes", longest("verified"), (stored) => [filling(stored)]],
  [
    "values",
    longest("verified"),
    (stored) => [values(100_000 - valuesIn({ ...stored, later: [{ at: "", evidence: values(0) }] }))],
  ],
];
test.each(isBrief ? FILLED.slice(2) : FILLED)(
  "T97: a receipt that is full in %s takes what says less for it, and stays readable",
  async (_what, first, evidence) => {
    const db = await database();
    await immediate(db, async (tx) => {
      const added = await addReceipt(tx, receipt, first, time(1));
      for (const one of evidence(added)) await appendLater(tx, id, one, time(2));
      // As often as there is room for it.
      for (let before = 0, now = 1; now > before;) {
        before = now;
        now = (await appendAppraisal(tx, id, first)).appraisals.length;
      }
    });
    const full = await requireReceipt(db, id);
    expect(full.appraisals.length).toBeGreaterThan(1);
    expect(full.appraisals.length).toBeLessThanOrEqual(256);
    await expect(immediate(db, (tx) => appendLater(tx, id, note(64), time(3)))).rejects.toMatchObject({
      code: "receipt_full",
    });
    expect(await requireReceipt(db, id)).toEqual(full);
    await immediate(db, async (tx) => {
      for (const verdict of ["pending", "verified", "unverified", "failed", "pending"] as const)
        await appendAppraisal(tx, id, longest(verdict));
      for (const one of contradictions) await appendLater(tx, id, one, time(4));
    });
    const stored = await requireReceipt(db, id);
    const since = stored.appraisals.slice(full.appraisals.length).map(({ verdict }) => verdict);
    expect(since).toEqual(["pending", "unverified", "failed"]);
    expect(stored.later.slice(-16).map(({ evidence: one }) => one)).toEqual(contradictions);
    expect(parseReceipt(serializeReceipt(stored))).toEqual({ ok: true, receipt: stored });
    expect((await auditLog(db)).ok).toBe(true);
  },
);
