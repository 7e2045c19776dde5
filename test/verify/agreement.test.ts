import { describe, expect, test } from "vitest";
import type { Hex } from "../../src/evidence/bytes.ts";
import { factList } from "../../src/cli/fact-list.ts";
import { signingHash } from "../../src/evidence/methods/methods.ts";
import { signerOf } from "../../src/evidence/signer.ts";
import { readFacts, type Facts } from "../../src/verify/facts.ts";
import { receiptId } from "../../src/receipts/receipt.ts";
import type { Receipt, SettlementEvidence } from "../../src/receipts/schema.ts";
import { summarize, summaryText } from "../../src/tools/summary.ts";
import { appraise } from "../../src/verify/appraise.ts";
import { makeFixture } from "../support/fixture-receipt.ts";
import { resealed } from "../support/reseal.ts";

const isSettlement = (evidence: Receipt["later"][number]["evidence"]): evidence is SettlementEvidence =>
  evidence.kind === "settlement.x402";

const changed = (receipt: Receipt, change: (one: Receipt) => void): Receipt => {
  const copy = structuredClone(receipt);
  change(copy);
  return resealed(copy)!;
};
const agreementIn = async (receipt: Receipt): Promise<Facts["agreement"]> => (await readFacts(receipt)).agreement;

test.each(["eip3009", "permit2", "upto", "voucher"] as const)(
  "the facts say by themselves that the payer signed these terms: %s",
  async (method) => {
    const paid = method === "eip3009" ? {} : { method };
    const { receipt } = await makeFixture({ signed: true, ...paid });
    const { payer } = receipt.core.payment;
    expect(await agreementIn(receipt)).toEqual({ signer: payer, byPayer: true });
    expect(await agreementIn((await makeFixture(paid)).receipt)).toBeNull();
    // Of other terms, whose hash the forger made right, it is not the payer's.
    const other = changed(receipt, ({ core: { payment } }) => {
      if (payment.method === "voucher") payment.cumulative = "40001";
      else payment.payTo = payment.payer;
    });
    const agreement = await agreementIn(other);
    expect(agreement).toMatchObject({ byPayer: false });
    expect(agreement?.signer).not.toBe(payer);
  },
);

describe("T58: an address that a signature of other terms happens to recover to, named as the payer", () => {
  const MISSING = expect.stringContaining("That the payer agreed to these terms");
  /** The same purchase at another amount, of the payer that its signature then recovers to. */
  const forgedFrom = (receipt: Receipt): Receipt =>
    changed(receipt, ({ core, later }) => {
      core.offer.amount = core.payment.amount = "9000000000000";
      const settlement = later.map(({ evidence }) => evidence).find((one) => one.kind === "settlement.x402");
      const { name = "", version = "" } = core.offer.extra as Record<string, string>;
      const hash = signingHash(
        core.payment,
        core.payment.method === "eip3009" ? { name, version } : { name: "", version: "" },
      );
      core.payment.payer = signerOf((settlement as { signature: string }).signature, hash)!;
    });

  test.each<["permit2" | "upto", 1 | undefined]>([
    ["permit2", undefined],
    ["upto", undefined],
    ["permit2", 1],
    ["upto", 1],
  ])("has agreed to nothing: %s, format %s", async (method, format) => {
    const { receipt, policy, evaluateAt } = await makeFixture({ signed: true, method, ...(format ? { format } : {}) });
    const forged = forgedFrom(receipt);
    const facts = await readFacts(forged);
    expect(facts.agreement).toMatchObject({ signer: forged.core.payment.payer, byPayer: null });
    expect(factList(facts)).not.toContain("signed exactly these terms");
    const { notProven } = await appraise({ receipt: forged, policy, now: evaluateAt, evaluateAt });
    expect(notProven).toContainEqual(MISSING);
  });

  test("is no payer of a message that names its own", async () => {
    const { receipt } = await makeFixture({ signed: true });
    expect(await agreementIn(forgedFrom(receipt))).toMatchObject({ byPayer: false });
  });

  test.each(["permit2", "upto"] as const)("cannot be told from the true one in format 1: %s", async (method) => {
    const { receipt, policy, evaluateAt } = await makeFixture({ signed: true, method, format: 1 });
    expect(await agreementIn(receipt)).toMatchObject({ byPayer: null });
    const { notProven } = await appraise({ receipt, policy, now: evaluateAt, evaluateAt });
    expect(notProven).toContainEqual(MISSING);
  });

  test.each(["permit2", "upto"] as const)(
    "is not the true one, which the seller's key signed for: %s",
    async (method) => {
      const { receipt, policy, evaluateAt } = await makeFixture({ signed: true, method });
      expect(factList(await readFacts(receipt))).toContain("signed exactly these terms");
      const { notProven } = await appraise({ receipt, policy, now: evaluateAt, evaluateAt });
      expect(notProven).not.toContainEqual(MISSING);
      // With the attestation goes the key that fixed the payer.
      const without = changed(receipt, ({ core }) => {
        core.evidence = core.evidence.filter(({ kind }) => kind !== "tee.nitro");
      });
      expect(await agreementIn(without)).toMatchObject({ byPayer: null });
    },
  );
});

test("what was paid is the file's word where payment or settlement failed or are only told", async () => {
  const { receipt, policy, evaluateAt } = await makeFixture();
  const shown = async (one: Receipt, own: boolean) => {
    const seen = own ? { own: one.later.map(({ evidence }) => evidence) } : {};
    const summary = summarize(one, await appraise({ receipt: one, policy, now: evaluateAt, evaluateAt, ...seen }), []);
    return { reported: summary.paid.reported === true, text: summaryText(summary) };
  };
  expect(await shown(receipt, true)).toMatchObject({ reported: false, text: expect.stringContaining(" Paid: 0.01 ") });
  const told = "The file tells, and nothing here confirms: Paid: ";
  expect(await shown(receipt, false)).toMatchObject({ reported: true, text: expect.stringContaining(told) });
  const surcharged = changed(receipt, ({ later }) => {
    const settlement = later.map(({ evidence }) => evidence).find(isSettlement);
    const transfer = settlement?.logs.at(-1);
    const [topic, from] = transfer?.topics ?? [];
    if (transfer === undefined || topic === undefined || from === undefined) throw new Error("it settled");
    const topics: Hex[] = [topic, from, `0x${"ee".repeat(20).padStart(64, "0")}`];
    const data: Hex = `0x${(7000).toString(16).padStart(64, "0")}`;
    settlement?.logs.push({ ...transfer, topics, data, logIndex: transfer.logIndex + 1 });
  });
  const all = await shown(surcharged, true);
  expect(all).toMatchObject({ reported: false, text: expect.stringContaining(" Paid: 0.017 ") });
  expect(all.text).toContain("settlement: token_moved_more: The token took 17000 base units");
  expect(all.text).not.toContain("nothing here confirms");
  expect(await shown(surcharged, false)).toMatchObject({
    reported: true,
    text: expect.stringContaining(`${told}0.017 `),
  });
  const dearer = changed(receipt, ({ core }) => {
    core.payment.amount = core.offer.amount = "5000000000000";
  });
  expect(await shown(dearer, true)).toMatchObject({ reported: true, text: expect.stringContaining(told) });
});

/** Fits the schema of a receipt, and nothing on any chain. */
const BEYOND = "9".repeat(78);
test.each<[string, (core: Receipt["core"]) => void]>([
  ["an amount that no token has", ({ offer, payment }) => (offer.amount = payment.amount = BEYOND)],
  [
    "a chain that there cannot be",
    ({ offer, payment }) => (offer.network = payment.network = `eip155:${BEYOND.slice(0, 20)}`),
  ],
  ["a domain that is none", ({ offer }) => (offer.extra = { name: 1, version: {} })],
])("%s is read as what nobody signed, and nothing throws", async (_name, change) => {
  const agreements: Facts["agreement"][] = [];
  for (const method of [undefined, "permit2", "upto", "voucher"] as const) {
    const { receipt, policy, evaluateAt } = await makeFixture({
      signed: true,
      ...(method === undefined ? {} : { method }),
    });
    change(receipt.core);
    const forged = { ...receipt, id: receiptId(receipt.core) };
    const facts = await readFacts(forged);
    const judged = await appraise({ receipt: forged, policy, now: evaluateAt, evaluateAt });
    expect(judged.verdict).toBe("failed");
    expect(summaryText(summarize(forged, judged, []))).toContain("nothing here confirms");
    agreements.push(facts.agreement);
  }
  expect(agreements[0]).toEqual({ signer: null, byPayer: false });
});
