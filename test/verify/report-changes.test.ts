import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { hashEntry } from "../../src/evidence/log-chain.ts";
import { decisionDigest, decisionId, loggedValue, type Decision } from "../../src/receipts/decision-schema.ts";
import { digestOf } from "../../src/receipts/log-digest.ts";
import { receiptDigest } from "../../src/receipts/receipt.ts";
import { serializeReport, type Report } from "../../src/receipts/report-schema.ts";
import type { Receipt } from "../../src/receipts/schema.ts";
import { reachOf } from "../../src/pages/report-reach.ts";
import { appendLater } from "../../src/receipts/store.ts";
import { openDatabase } from "../../src/storage/database.ts";
import { immediate } from "../../src/storage/migrations.ts";
import { createVerificationCache } from "../../src/verify/verification-cache.ts";
import { verifyReport, type JudgedReport } from "../../src/verify/verify-report.ts";
import { leaves, otherThan, replaceAt, type Path } from "../receipts/json-edits.ts";
import { cases } from "../support/campaign.ts";
import { openDecisionWorld } from "../support/decision-buyer.ts";
import { at, openJanuary, TO, type January } from "../support/january.ts";

let world: January["world"];
let report: Report;
let heads: January["heads"];
beforeAll(async () => {
  ({ world, report, heads } = await openJanuary());
});
afterAll(() => world.close());

const session = createVerificationCache();
const bytesOf = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));
async function judge(value: unknown, given: readonly string[] = []): Promise<JudgedReport> {
  const judged = await verifyReport(bytesOf(value), world.policy, { session, heads: given });
  if (!judged.ok) throw new Error(`${judged.code}: ${judged.message}`);
  return judged;
}
/** The report after a change, with its digest made again. */
const resealed = (change: (copy: Report) => void, of = report): unknown => {
  const copy = structuredClone(of);
  change(copy);
  return JSON.parse(new TextDecoder().decode(serializeReport(copy)));
};
const codesOf = async (value: unknown, given: readonly string[] = []): Promise<string[]> => [
  ...new Set((await judge(value, given)).problems.map(({ code }) => code)),
];

describe("a changed report", () => {
  test("is failed for its digest alone, at whichever place", async () => {
    for (const path of sample(leaves(report).filter((one) => one.at(-1) !== "digest"))) {
      const judged = await verifyReport(bytesOf(replaceAt(report, path, otherThan)), world.policy, { session });
      expect([path, judged.ok && judged.verdict !== "failed"]).toEqual([path, false]);
    }
  });

  /** What its maker says of the making, and a period that the log shows as well. */
  const FREE = /^(?:made\.|period\.)/;
  test("with its digest made again is not verified for any field but the time and program of its making", async () => {
    const places = leaves({ ...report, receipts: [] }).filter((path) => path[0] !== "digest" && path[0] !== "receipts");
    const passed: string[] = [];
    for (const path of sample(places)) {
      const judged = await verifyReport(
        bytesOf(resealed((copy) => Object.assign(copy, replaceAt(copy, path, otherThan)))),
        world.policy,
        { session },
      );
      if (judged.ok && judged.verdict === "verified") passed.push(path.join("."));
    }
    expect(passed.filter((path) => !FREE.test(path))).toEqual([]);
  });

  test("with a receipt and both digests made again is not verified for any field of the receipt", async () => {
    // From before it was stored, so that every entry about it is in the report.
    const whole = await world.buyer.report({ from: new Date(0), to: TO });
    const [receipt] = whole.receipts as [Receipt];
    const passed: string[] = [];
    for (const path of sample(leaves(receipt).filter((one) => one[0] !== "digest"))) {
      const { digest: _digest, ...changed } = replaceAt(receipt, path, otherThan) as Receipt;
      let digest = "";
      try {
        digest = receiptDigest(changed);
      } catch {
        // No receipt at all.
      }
      const value = resealed((copy) => (copy.receipts[0] = { ...changed, digest }), whole);
      const judged = await verifyReport(bytesOf(value), world.policy, { session });
      if (judged.ok && judged.verdict === "verified") passed.push(path.join("."));
    }
    expect(passed).toEqual([]);
  });

  const entryOf = ({ chain }: Report, { id }: Decision): number =>
    chain.entries.findIndex(({ receiptId }) => receiptId === id);
  /** The log's part with every hash made again, as one does who owns the store. */
  const rehash = ({ chain }: Report): void => {
    let { seq, hash: prev } = chain.before ?? { seq: 0, hash: "0".repeat(64) };
    for (const entry of chain.entries) {
      seq += 1;
      const { hash: _hash, ...rest } = { ...entry, seq };
      Object.assign(entry, { seq, hash: hashEntry({ ...rest, prev }) });
      prev = entry.hash;
    }
  };

  /** A decision changed, with its id and its entry made again. */
  const relog = (copy: Report, one: Decision, change: (one: Decision) => void, place = entryOf(copy, one)): void => {
    change(one);
    one.id = decisionId(one);
    Object.assign(copy.chain.entries[place]!, {
      receiptId: one.id,
      at: Date.parse(one.at),
      digest: digestOf(loggedValue({ purpose: one.purpose, record: decisionDigest(one) })),
    });
  };
  /** A receipt of a report changed, with its digest made again. */
  const remade = (copy: Report, change: (receipt: Receipt) => void): void => {
    const { digest: _digest, ...receipt } = copy.receipts[0] as Receipt;
    change(receipt);
    copy.receipts[0] = { ...receipt, digest: receiptDigest(receipt) };
  };

  test.each<[string, (receipt: Receipt) => void, string]>([
    ["later evidence taken out", (receipt) => receipt.later.pop(), "taken out"],
    ["later evidence put in", (receipt) => receipt.later.push(receipt.later[0]!), "put in"],
    ["another place in the log", (receipt) => (receipt.log!.prev = "12".repeat(32)), "changed"],
    ["its answer left out", (receipt) => delete receipt.core.response.body, "the body of its response"],
    [
      "its question and its answer left out",
      ({ core }) => [core.request, core.response].forEach((part) => delete part.body),
      "the body of its request and response",
    ],
  ])("T160: names a receipt from before the report's part with %s", async (_name, change, words) => {
    const { verdict, problems, receipts } = await judge(resealed((copy) => remade(copy, change)));
    expect(verdict).toBe("failed");
    const { core } = receipts[0]!.receipt;
    const without = (["request", "response"] as const).filter((part) => core[part].body === undefined);
    expect(receipts[0]!.missing).toEqual(without);
    expect(problems[0]).toMatchObject({ code: "receipt_altered", message: expect.stringContaining(words) });
  });

  test("T160: with its first decision's entry before the receipt's own names that", async () => {
    const whole = await world.buyer.report({ from: new Date(0), to: TO });
    const forged = resealed((copy) => {
      const entries = copy.chain.entries;
      const decision = entries.splice(entryOf(copy, copy.decisions[0]!), 1);
      entries.unshift(...decision);
      rehash(copy);
    }, whole);
    expect(await codesOf(forged)).toContain("decision_before_receipt");
  });

  test("names no problem for evidence that came to a receipt after the decision", async () => {
    const other = await openDecisionWorld(1);
    const [receipt] = other.receipts as [Receipt];
    other.setTime(at("01-02T00:00:00"));
    const what = { purpose: "payroll", subject: "one", action: {}, outcome: "approved", receipts: [receipt.id] };
    await other.buyer.decide(what);
    const db = await openDatabase(other.database);
    const added = { kind: "contradiction", layer: "response", code: "found_since" } as const;
    await immediate(db, (tx) => appendLater(tx, receipt.id, added, at("01-02T00:00:01")));
    await db.destroy();
    other.setTime(at("01-03T00:00:00"));
    const made = await other.buyer.report({ from: at("01-01T00:00:00"), to: at("01-03T00:00:00") });
    const judged = await verifyReport(serializeReport(made), other.policy);
    expect(judged).toMatchObject({ problems: [], verdict: "failed" });
    await other.close();
  });

  test.each<[string, string[], (copy: Report) => void]>([
    ["a decision dropped", ["decision_dropped"], (copy) => copy.decisions.splice(1, 1)],
    [
      "a decision dropped with its entry",
      ["chain_gap"],
      (copy) => {
        copy.chain.entries.splice(entryOf(copy, copy.decisions[1]!), 1);
        copy.decisions.splice(1, 1);
      },
    ],
    [
      "the same with the numbers closed up",
      ["chain_altered"],
      (copy) => {
        const place = entryOf(copy, copy.decisions[1]!);
        copy.chain.entries.splice(place, 1);
        for (const entry of copy.chain.entries.slice(place)) entry.seq -= 1;
        copy.decisions.splice(1, 1);
      },
    ],
    [
      "two decisions exchanged",
      ["decision_misplaced"],
      ({ decisions }) => decisions.splice(0, 2, decisions[1]!, decisions[0]!),
    ],
    [
      "two entries of one decision",
      ["decision_repeated"],
      (copy) => {
        const { entries } = copy.chain;
        entries.push({ ...entries[entryOf(copy, copy.decisions[0]!)]!, at: entries.at(-1)!.at });
        rehash(copy);
      },
    ],
    ["a decision twice", ["decision_misplaced"], (copy) => copy.decisions.push(copy.decisions.at(-1)!)],
    [
      "two entries exchanged",
      ["chain_gap", "chain_time"],
      ({ chain: { entries } }) => entries.splice(0, 2, entries[1]!, entries[0]!),
    ],
    ["an altered outcome", ["decision_altered"], (copy) => (copy.decisions[0]!.outcome = "rejected")],
    [
      "an altered outcome under an id made again",
      ["decision_not_logged", "decision_dropped"],
      ({ decisions: [one] }) => {
        one!.outcome = "rejected";
        one!.id = decisionId(one!);
      },
    ],
    [
      "receipts exchanged between decisions",
      ["decision_altered"],
      ({ decisions: [one, two] }) => ([one!.receipts, two!.receipts] = [two!.receipts, one!.receipts]),
    ],
    ["a receipt left out", ["receipt_missing"], (copy) => copy.receipts.splice(1, 1)],
    ["a receipt twice", ["receipt_stray"], (copy) => copy.receipts.push(copy.receipts[0])],
    ["a receipt that is none", ["receipt_altered", "receipt_missing"], (copy) => (copy.receipts[0] = { id: "x" })],
    ["another purpose claimed", ["decision_outside"], (copy) => (copy.purpose = "payroll")],
    ["a longer period claimed", ["decision_dropped"], (copy) => (copy.period.to = copy.made.at)],
    [
      "a period past its making",
      ["period_open", "decision_dropped"],
      (copy) => (copy.period.to = at("12-01T00:00:00").toISOString()),
    ],
    [
      "a part of the log that begins later",
      ["chain_start"],
      (copy) => {
        const [first, ...rest] = copy.chain.entries;
        copy.chain = { before: { ...first!, prev: copy.chain.before!.hash }, entries: rest };
        copy.decisions.shift();
      },
    ],
    [
      "a decision passed off as one of another purpose",
      ["decision_dropped"],
      (copy) => {
        copy.purpose = "payroll";
        const [truck] = copy.decisions.splice(2, 1);
        copy.others = [
          { seq: copy.chain.entries[entryOf(copy, truck!)]!.seq, purpose: "other", record: decisionDigest(truck!) },
        ];
      },
    ],
    [
      "a decision older than the entry before it",
      ["chain_time"],
      (copy) => {
        relog(copy, copy.decisions[2]!, (one) => (one.at = copy.decisions[0]!.at));
        rehash(copy);
      },
    ],
    [
      "a decision before its receipt came",
      ["decision_before_receipt", "decision_outside", "chain_time"].toSorted(),
      (copy) => {
        relog(copy, copy.decisions[0]!, (one) => (one.at = "2020-01-01T00:00:00.000Z"));
        rehash(copy);
      },
    ],
  ])("T160: names %s", async (_name, codes, change) => {
    expect(await judge(resealed(change))).toMatchObject({ verdict: "failed" });
    expect((await codesOf(resealed(change))).toSorted()).toEqual(codes.toSorted());
  });

  test("T160: cut at its end, or with its log written again, is found by a head that was handed over, and by nothing else", async () => {
    const cut = resealed((copy) => {
      const place = entryOf(copy, copy.decisions.at(-1)!);
      copy.chain.entries.splice(place);
      copy.decisions.pop();
      copy.receipts.pop();
    });
    const again = resealed((copy) => {
      const [, one] = copy.decisions;
      copy.chain.entries[entryOf(copy, one!)]!.receiptId = "dec_".padEnd(56, "a");
      one!.outcome = "rejected";
      const id = decisionId(one!);
      const entry = copy.chain.entries.find(({ receiptId }) => receiptId === "dec_".padEnd(56, "a"))!;
      one!.id = id;
      Object.assign(entry, {
        receiptId: id,
        digest: digestOf(loggedValue({ purpose: one!.purpose, record: decisionDigest(one!) })),
      });
      rehash(copy);
    });
    for (const forged of [cut, again]) {
      expect(await codesOf(forged)).toEqual([]);
      expect(await judge(forged, [heads.january])).toMatchObject({
        verdict: "failed",
        problems: [{ code: "head_missing" }],
      });
    }
  });

  test("T160: written anew behind a head that was handed over does not hold that head", async () => {
    const forged = resealed((copy) => {
      const held = copy.chain.entries.find(({ hash }) => hash === heads.january)!;
      const hung = { ...held, seq: held.seq + 1, kind: "hold", receiptId: "x", at: Date.parse(copy.period.from) - 1 };
      const { hash: _hash, ...hashed } = { ...hung, prev: heads.january };
      copy.chain.before = { ...hashed, hash: hashEntry(hashed) };
      rehash(copy);
    });
    expect(await codesOf(forged, [heads.january])).toContain("head_missing");
  });

  test("T160: is told how far the newest head given reaches, and what lies beyond it", async () => {
    const [before] = [report.chain.before!];
    const beyond = reachOf(await judge(report, [before.hash]));
    expect(beyond).toEqual({
      newest: { seq: before.seq, at: new Date(before.at).toISOString() },
      decisionsBeyond: 4,
      endsBeyond: true,
    });
    const both = reachOf(await judge(report, [before.hash, heads.january]));
    expect(both).toMatchObject({ decisionsBeyond: 0, endsBeyond: true });
    expect(reachOf(await judge(report, [heads.february]))).toMatchObject({ decisionsBeyond: 0, endsBeyond: false });
    expect(await codesOf(report, ["0".repeat(64)])).toEqual(["head_missing"]);
  });

  test("T160: without a contradiction that was logged for a receipt is failed", async () => {
    const other = await openDecisionWorld(1);
    const [receipt] = other.receipts as [Receipt];
    const evidence = { kind: "contradiction", layer: "response", code: "found_since" } as const;
    await other.buyer.importReceipt({ ...receipt, later: [...receipt.later, { at: receipt.later[0]!.at, evidence }] });
    other.setTime(at("01-02T00:00:00"));
    const what = { purpose: "payroll", subject: "one", action: {}, outcome: "turned down" };
    await other.buyer.decide({ ...what, receipts: [receipt.id] });
    other.setTime(at("01-03T00:00:00"));
    // From before the contradiction on, so that its entry is in the report.
    const made = await other.buyer.report({ from: new Date(0), to: at("01-03T00:00:00") });
    const whole = await verifyReport(serializeReport(made), other.policy);
    expect(whole).toMatchObject({ verdict: "failed", problems: [], decisions: [{ differences: [] }] });
    const [stored] = made.receipts as [Receipt];
    const { digest: _digest, ...bare } = { ...stored, later: receipt.later, appraisals: [] };
    const without = { ...made, receipts: [{ ...bare, digest: receiptDigest(bare) }] };
    const judged = await verifyReport(serializeReport(without), other.policy);
    expect(judged).toMatchObject({ verdict: "failed", receipts: [{ appraisal: { verdict: "verified" } }] });
    expect(judged).toMatchObject({ problems: [{ code: "receipt_altered", receipt: receipt.id }] });
    await other.close();
  });

  test.each([
    ["no JSON", "{", "report_malformed"],
    ["a key twice", '{"type":"proof402/report","type":"proof402/report"}', "report_malformed"],
    ["no report", "{}", "report_malformed"],
    ["another version", '{"type":"proof402/report","version":2}', "report_version"],
  ])("that is %s cannot be read", async (_name, text, code) => {
    expect(await verifyReport(new TextEncoder().encode(text), world.policy)).toMatchObject({ ok: false, code });
  });

  test("with a field that its version does not know, or a key twice within, cannot be read", async () => {
    const more = { ...report, chain: { ...report.chain, more: 1 } };
    expect(await verifyReport(bytesOf(more), world.policy)).toMatchObject({ ok: false, code: "report_malformed" });
    const text = new TextDecoder().decode(serializeReport(report));
    const twice = text.replace('"outcome": "approved"', '"outcome": "rejected", "outcome": "approved"');
    expect(twice).not.toBe(text);
    expect(await verifyReport(new TextEncoder().encode(twice), world.policy)).toMatchObject({ ok: false });
  });
});

/** As many of the places as a run can try, spread over all of them. */
function sample(places: Path[]): Path[] {
  const count = cases(24, 400, 60);
  const step = Math.max(1, places.length / count);
  return Array.from({ length: Math.min(count, places.length) }, (_none, n) => places[Math.floor(n * step)]!);
}
