import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { agree, agreeingSet } from "../../src/buyer/quorum/agreement.ts";
import { quorumOutcome } from "../../src/buyer/quorum/outcome.ts";
import { readTerms } from "../../src/buyer/quorum/terms.ts";
import type { BuyResult } from "../../src/buyer/types.ts";
import { createReceipt } from "../../src/receipts/receipt.ts";
import type { Appraisal } from "../../src/receipts/schema.ts";
import { appraisal, receiptCore } from "../support/receipt-core.ts";

describe("two answers agree", () => {
  test.each<[string, Record<string, unknown>, Record<string, unknown>, boolean]>([
    ["on the same values", { a: [1, 2], c: ["x"] }, { c: ["x"], a: [1, 2] }, true],
    ["within a tensor's own tolerance", { near: [1, 2] }, { near: [1.01, 1.99] }, true],
    ["at the bound of a share", { share: [[100]] }, { share: [[101]] }, true],
    ["not beyond a share of the greater", { share: [100] }, { share: [101.1] }, false],
    ["by the bound for all others", { other: 5 }, { other: 5.5 }, true],
    ["not by another tensor's bound", { exact: [1] }, { exact: [1.001] }, false],
    ["not on NaN, not even with itself", { near: [Number.NaN] }, { near: [Number.NaN] }, false],
    ["not on an infinity and a number", { share: [Infinity] }, { share: [1e308] }, false],
    ["not on two infinities apart", { near: [Infinity] }, { near: [-Infinity] }, false],
    ["on one infinity", { near: [-Infinity] }, { near: [-Infinity] }, true],
    ["not in another shape", { near: [[1, 2]] }, { near: [1, 2] }, false],
    ["not with a value more", { near: [1] }, { near: [1, 1] }, false],
    ["not with a name more", { near: [1] }, { near: [1], more: [1] }, false],
    ["not across numbers and texts", { near: [1] }, { near: ["1"] }, false],
    ["on texts exactly", { text: "yes" }, { text: "yes " }, false],
    ["not by an inherited name", { constructor: 1 }, { toString: 1 }, false],
  ])("%s", (_name, one, other, expected) => {
    const tolerance = {
      near: { absolute: 0.02 },
      share: { relative: 0.01 },
      exact: { absolute: 0 },
      "*": { absolute: 0.5 },
    };
    expect(agree(one, other, tolerance)).toBe(expected);
    expect(agree(other, one, tolerance)).toBe(expected);
  });
});

describe("the agreeing set", () => {
  const within = { "*": { absolute: 1 } };
  const setOf = (...values: number[]): number[] =>
    agreeingSet(
      values.map((x) => ({ x })),
      within,
    );

  test("is the largest of which every two agree, and the earliest of several", () => {
    expect(setOf(0, 1, 2)).toEqual([0, 1]);
    expect(setOf(0, 5, 5.5, 4.6)).toEqual([1, 2, 3]);
    expect(setOf(0, 10, 20)).toEqual([0]);
    expect(setOf(Number.NaN, Number.NaN)).toEqual([]);
  });

  test("is mutual, and as large as any other that is", () => {
    const value = fc.oneof(fc.integer({ min: 0, max: 6 }), fc.constant(Number.NaN));
    fc.assert(
      fc.property(fc.array(value, { maxLength: 7 }), (values) => {
        const isMutual = (set: readonly number[]): boolean =>
          set.every((a) => set.every((b) => Math.abs((values[a] ?? 0) - (values[b] ?? 0)) <= 1));
        const set = setOf(...values);
        expect(isMutual(set)).toBe(true);
        for (let bits = 0; bits < 2 ** values.length; bits += 1) {
          const other = values.flatMap((_value, at) => ((bits >> at) & 1 ? [at] : []));
          expect(isMutual(other) && other.length > set.length).toBe(false);
        }
      }),
      { numRuns: 200 },
    );
  });
});

describe("a quorum's outcome", () => {
  const resultOf = (id: string, x: number, changes: Partial<Appraisal> = {}, seller: object = {}): BuyResult => {
    const core = receiptCore(id);
    const payTo: `0x${string}` = `0x${id.charCodeAt(0).toString(16).padStart(40, "0")}`;
    const keyId: `0x${string}` = `0x${id.charCodeAt(0).toString(16).padStart(64, "0")}`;
    const made = createReceipt({
      ...core,
      payment: { ...core.payment, payTo },
      seller: { ...core.seller, id, keyId, ...seller },
    });
    const judged = appraisal({ verdict: "verified", assurance: "attested", simulated: false, ...changes });
    const { verdict } = judged;
    const told = {
      readable: true,
      answer: { x },
      paidNow: true,
      stored: true,
      idempotencyKey: "key-of-member",
    } as const;
    return { ...told, receipt: made, appraisal: judged, verdict };
  };
  const outcomeOf = (...results: BuyResult[]) =>
    quorumOutcome(
      results.map((result) => ({ sellerId: result.receipt.core.seller.id, result })),
      { terms: readTerms({ of: 3, agree: 2 }), key: "key-of-quorum" },
    );

  test("has the worst verdict and the least assurance of those that agree, in any order", () => {
    const [a, b, c] = [
      resultOf("a", 1, { assurance: "proven" }),
      resultOf("b", 1, { verdict: "pending", assurance: "signed", simulated: true }),
      resultOf("c", 2, { verdict: "unverified", assurance: "none" }),
    ] as const;
    const outcome = outcomeOf(a, b, c);
    expect(outcome).toMatchObject({ verdict: "pending", assurance: "signed", simulated: true, code: null });
    expect(outcome.answer).toEqual({ x: 1 });
    expect(outcomeOf(c, b, a)).toEqual(outcome);
  });

  test("gives a failed receipt, an unreadable answer and a second voice of one key or wallet no voice", () => {
    const a = resultOf("a", 1);
    const sameKey = resultOf("b", 1, {}, { keyId: a.receipt.core.seller.keyId });
    const failed = resultOf("c", 1, { verdict: "failed", assurance: "none" });
    const unread = { ...resultOf("d", 1), readable: false, answer: { encoding: "utf8", body: "?" } } as BuyResult;
    for (const [other, why] of [
      [sameKey, "same_seller"],
      [failed, "failed"],
      [unread, "unreadable"],
    ] as const) {
      const outcome = outcomeOf(a, other);
      expect(outcome).toMatchObject({ verdict: "failed", code: "quorum_disagrees", answer: null, assurance: "none" });
      expect(outcome.dissenting.find(({ result }) => result === other)?.why).toBe(why);
      expect(outcome.receipts).toHaveLength(2);
    }
  });
});
