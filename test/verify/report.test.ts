import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { hashEntry } from "../../src/evidence/log-chain.ts";
import { decisionDigest, decisionId, loggedValue } from "../../src/receipts/decision-schema.ts";
import { digestOf } from "../../src/receipts/log-digest.ts";
import { serializeReport, type Report } from "../../src/receipts/report-schema.ts";
import { verifyReport } from "../../src/verify/verify-report.ts";
import { at, FROM, openJanuary, TO, type January } from "../support/january.ts";

let world: January["world"];
let report: Report;
let heads: January["heads"];
let payroll: Report;
beforeAll(async () => {
  ({ world, report, heads, payroll } = await openJanuary());
});
afterAll(() => world.close());

const judge = (value: Report, given: readonly string[] = []) =>
  verifyReport(serializeReport(value), world.policy, { heads: given });
const codesOf = async (value: Report, given: readonly string[] = []): Promise<string[]> => {
  const judged = await judge(value, given);
  return judged.ok ? judged.problems.map(({ code }) => code) : [judged.code];
};

describe("a report as it was made", () => {
  test("is verified by another one's pins alone, and holds the decisions of its period only", async () => {
    const judged = await verifyReport(serializeReport(report), world.policy);
    expect(judged).toMatchObject({
      ok: true,
      verdict: "verified",
      simulated: true,
      problems: [],
      head: { hash: heads.february },
    });
    expect(report.decisions.map(({ subject }) => subject)).toEqual(["first", "second", "a truck", "third"]);
    expect(report.receipts).toHaveLength(3);
  });

  test("of one purpose shows of the decisions left out that they had another", async () => {
    expect(payroll.decisions.map(({ subject }) => subject)).toEqual(["first", "second", "third"]);
    expect(payroll.others).toEqual([expect.objectContaining({ purpose: "routing" })]);
    const leftOut = [{ purpose: "routing", decisions: 1 }];
    expect(await judge(payroll)).toMatchObject({ verdict: "verified", problems: [], leftOut });
    expect(await judge(report)).toMatchObject({ leftOut: [] });
    expect(JSON.stringify(payroll)).not.toContain("a truck");
  });

  test("holds every head of its time, and none of another log", async () => {
    expect(await codesOf(report, [heads.january, heads.february])).toEqual([]);
    expect(await codesOf(report, ["00".repeat(31) + "01"])).toEqual(["head_missing"]);
  });

  test("is the same bytes again, in any order of keys", () => {
    const turned = Object.fromEntries(Object.entries(report).toReversed()) as Report;
    expect(serializeReport(turned)).toEqual(serializeReport(report));
  });

  test("of no decision is not verified", async () => {
    world.setTime(at("03-02T00:00:00"));
    const empty = await world.buyer.report({ from: at("02-02T00:00:00"), to: at("03-01T00:00:00") });
    expect(await judge(empty)).toMatchObject({ verdict: "unverified", problems: [] });
  });

  test("reaches no further than its making, and has a length", async () => {
    world.setTime(at("01-20T00:00:00"));
    const { period, decisions } = await world.buyer.report({ from: FROM, to: TO });
    expect([period.to, decisions.length]).toEqual([at("01-20T00:00:00").toISOString(), 3]);
    await expect(world.buyer.report({ from: TO, to: FROM })).rejects.toMatchObject({ code: "invalid_input" });
  });
});

describe("an auditor with other pins", () => {
  test("does not verify what these do not show, and is told how the recorded verdicts differ", async () => {
    const policy = { ...world.policy, sellers: {} };
    const judged = await verifyReport(serializeReport(report), policy);
    expect(judged).toMatchObject({ ok: true, verdict: "unverified", problems: [] });
    const [first] = judged.ok ? judged.decisions : [];
    expect(first?.differences).toContainEqual({
      receipt: world.receipts[0]!.id,
      field: "verdict",
      recorded: "verified",
      found: "unverified",
      isNotice: false,
    });
  });

  test("who finds verified what was recorded otherwise does not call the report verified", async () => {
    const copy = structuredClone(report);
    const [one] = copy.decisions;
    const entry = copy.chain.entries.find(({ receiptId }) => receiptId === one!.id)!;
    one!.receipts[0]!.verdict = "pending";
    one!.id = decisionId(one!);
    Object.assign(entry, {
      receiptId: one!.id,
      digest: digestOf(loggedValue({ purpose: one!.purpose, record: decisionDigest(one!) })),
    });
    let prev = copy.chain.before!.hash;
    for (const each of copy.chain.entries) {
      const { hash: _hash, ...rest } = each;
      prev = each.hash = hashEntry({ ...rest, prev });
    }
    const judged = await verifyReport(serializeReport(copy), world.policy);
    expect(judged).toMatchObject({ verdict: "unverified", problems: [] });
  });
});
