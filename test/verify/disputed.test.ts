import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { paidAmount } from "../../src/receipts/paid.ts";
import type { Appraisal, Evidence, Groth16Evidence, Receipt, SettlementEvidence } from "../../src/receipts/schema.ts";
import { appraise } from "../../src/verify/appraise.ts";
import { readFacts } from "../../src/verify/facts.ts";
import { makeFixture, type Fixture } from "../support/fixture-receipt.ts";
import { openProvenMaker, type ProvenMaker } from "../support/proven-receipt.ts";

let prover: ProvenMaker;
let settled: Fixture;
let proven: Fixture;
beforeAll(async () => {
  prover = await openProvenMaker();
  [settled, proven] = await Promise.all([makeFixture({ signed: true }), prover.make({ signed: true })]);
});
afterAll(() => prover.close());

const judged = async (
  { receipt, policy, evaluateAt }: Fixture,
  pieces: Evidence[],
  own?: Evidence[],
): Promise<Appraisal> => {
  const later = pieces.map((evidence) => ({ at: receipt.core.response.receivedAt, evidence }));
  const more = own === undefined ? {} : { own };
  return appraise({ receipt: { ...receipt, later }, policy, now: evaluateAt, evaluateAt, ...more });
};
const settlementIn = ({ later }: Receipt): SettlementEvidence =>
  later.map(({ evidence }) => evidence).find((one): one is SettlementEvidence => one.kind === "settlement.x402")!;

describe("T98: evidence that files of one receipt tell differently", () => {
  test("of a settlement counts nothing by a file's word: it neither verifies, nor fails, nor names a payer", async () => {
    const genuine = settlementIn(settled.receipt);
    const invented: Evidence = { ...genuine, transaction: `0x${"00".repeat(32)}` };
    const disputed: Evidence = { kind: "disputed", of: "settlement.x402" };
    expect(await judged(settled, [genuine])).toMatchObject({ verdict: "verified" });
    expect(await judged(settled, [genuine, invented])).toMatchObject({ verdict: "failed" });
    for (const pieces of [
      [genuine, invented, disputed],
      [disputed, invented, genuine],
      [genuine, disputed],
    ]) {
      const { verdict, layers, notProven } = await judged(settled, pieces);
      expect(verdict).toBe("pending");
      expect(layers.settlement).toMatchObject({ status: "pending", code: "disputed" });
      expect(notProven.join()).toContain("That the payer agreed to these terms");
      const receipt = { ...settled.receipt, later: pieces.map((evidence) => ({ at: "", evidence })) };
      expect(paidAmount(receipt)).toMatchObject({ state: "authorized" });
      expect((await readFacts(receipt)).agreement).toBeNull();
    }
    // What the relying party saw itself is no file's word.
    expect((await judged(settled, [genuine, invented, disputed], [genuine])).layers.settlement.status).toBe("pass");
    expect(paidAmount(settled.receipt)).toMatchObject({ state: "settled" });
  });

  test("of a settlement hides no contradiction", async () => {
    const genuine = settlementIn(settled.receipt);
    const contradiction: Evidence = { kind: "contradiction", layer: "settlement", code: "settlement_not_on_chain" };
    const pieces: Evidence[] = [genuine, { kind: "disputed", of: "settlement.x402" }, contradiction];
    expect(await judged(settled, pieces)).toMatchObject({ verdict: "failed" });
  });

  test("of a proof counts what holds, and nothing else", async () => {
    const genuine = proven.receipt.later
      .map(({ evidence }) => evidence)
      .find((one): one is Groth16Evidence => one.kind === "zk.groth16")!;
    const settlement = settlementIn(proven.receipt);
    const junk: Evidence = { ...genuine, signals: genuine.signals.toReversed() };
    const disputed: Evidence = { kind: "disputed", of: "zk.groth16" };
    expect(await judged(proven, [settlement, junk, genuine])).toMatchObject({ verdict: "failed" });
    for (const pieces of [
      [junk, genuine],
      [genuine, junk],
    ])
      expect(await judged(proven, [settlement, ...pieces, disputed])).toMatchObject({
        verdict: "verified",
        assurance: "proven",
      });
    expect(await judged(proven, [settlement, junk, disputed])).toMatchObject({ verdict: "failed" });
  });

  test("stands in one order: of several contradictions of a layer the same is told, in whatever order they came", async () => {
    const codes = ["maker_failed", "b", "a"];
    const pieces = codes.map((code): Evidence => ({ kind: "contradiction", layer: "response", code }));
    for (const order of [pieces, pieces.toReversed()])
      expect((await judged(settled, order)).layers.response).toMatchObject({ status: "fail", code: "b" });
  });
});
