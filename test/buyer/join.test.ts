import { beforeAll, expect, test } from "vitest";
import type { Address } from "../../src/evidence/bytes.ts";
import { importJudged } from "../../src/buyer/import.ts";
import { judgeAgain, type JudgeContext } from "../../src/buyer/judge.ts";
import { judgeOnline } from "../../src/buyer/judge-online.ts";
import { signingHash } from "../../src/evidence/methods/methods.ts";
import { newestAppraisal } from "../../src/receipts/newest.ts";
import { createReceipt } from "../../src/receipts/receipt.ts";
import type {
  Appraisal,
  Evidence,
  InclusionEvidence,
  Receipt,
  ReplayEvidence,
  SettlementEvidence,
} from "../../src/receipts/schema.ts";
import { readReceipt } from "../../src/receipts/store.ts";
import { inclusionLeafOf } from "../../src/verify/layers/inclusion.ts";
import { makeFixture, MODEL, type Fixture } from "../support/fixture-receipt.ts";
import { inclusionOf, neighbours, withRelay } from "../support/inclusion.ts";
import { readerOf } from "../support/shown-on-chain.ts";
import { strangerTo } from "../support/stranger.ts";

let fixture: Fixture;
let bare: Receipt;
let settlement: SettlementEvidence;
let anchoring: InclusionEvidence;
beforeAll(async () => {
  const made = await makeFixture({ signed: true });
  fixture = { ...made, policy: withRelay(made.policy) };
  bare = { ...made.receipt, later: [] };
  settlement = made.receipt.later[0]!.evidence as SettlementEvidence;
  anchoring = inclusionOf(inclusionLeafOf(bare)!, neighbours(2));
});

const fileOf = (receipt: Receipt, ...pieces: readonly Evidence[]): Receipt => ({
  ...receipt,
  later: pieces.map((evidence) => ({ at: receipt.core.response.receivedAt, evidence })),
});
const replayOf = (answer: number): ReplayEvidence => ({
  kind: "replay.onnx",
  modelSha256: fixture.policy.sellers["fixture"]!.models[MODEL]!,
  runtime: { name: "onnxruntime-node", version: "1" },
  outputs: [{ name: "class", shape: [1], datatype: "INT64", data: [answer] }],
});
const otherSettlement = (n: number): SettlementEvidence => ({
  ...settlement,
  transaction: `0x${String(n).repeat(64)}`,
});
const storedOf = async (ctx: JudgeContext, id: string): Promise<Receipt> => (await readReceipt(ctx.db, id))!;

/** What verifying a file with its chain read again says. The chain shows the genuine settlement and anchoring. */
async function online(ctx: JudgeContext, { policy }: Fixture, file: Receipt): Promise<Appraisal> {
  const read = readerOf({ "settlement.x402": settlement, "inclusion.merkle": anchoring }, policy);
  return (await judgeOnline(ctx, file, { read, isStored: false })).appraisal;
}

test("T98: a file of a stored receipt is judged as importing it would judge it, with nothing stored", async () => {
  const first = fileOf(bare, settlement);
  const cases: [string, Receipt, string, string][] = [
    ["a re-execution that contradicts", fileOf(bare, settlement, replayOf(2)), "failed", "failed"],
    ["another settlement", fileOf(bare, otherSettlement(1)), "pending", "verified"],
    ["a contradiction", fileOf(bare, { kind: "contradiction", layer: "response", code: "x" }), "failed", "failed"],
  ];
  for (const [name, second, verdict, onChain] of cases)
    await strangerTo(fixture, { assurance: "attested" }, async (ctx) => {
      expect(newestAppraisal(await importJudged(ctx, first)).verdict, name).toBe("verified");
      const before = await storedOf(ctx, bare.id);
      expect((await judgeAgain(ctx, second, {})).verdict, name).toBe(verdict);
      expect(await storedOf(ctx, bare.id)).toEqual(before);
      expect(newestAppraisal(await importJudged(ctx, second)).verdict, name).toBe(verdict);
      for (const file of [first, second, await storedOf(ctx, bare.id)]) {
        expect((await judgeAgain(ctx, file, {})).verdict, name).toBe(verdict);
        expect((await online(ctx, fixture, file)).verdict, name).toBe(onChain);
      }
    });
});

test("T98: a file that a stored receipt has no room for is judged no better than that receipt", async () => {
  const notes = Array.from({ length: 49 }, (_none, n): Evidence => ({ kind: "x.note", n }));
  const crowded = [1, 2, 3, 4].map(otherSettlement);
  for (const [stored, file] of [
    // It could be no import itself.
    [bare, fileOf(bare, settlement, ...notes)],
    [fileOf(bare, { ...settlement, logs: [] }), fileOf(bare, settlement, ...notes)],
    [fileOf(bare, ...crowded, { kind: "disputed", of: "settlement.x402" }), fileOf(bare, settlement)],
  ] as const)
    await strangerTo(fixture, { assurance: "attested" }, async (ctx) => {
      expect(newestAppraisal(await importJudged(ctx, stored)).verdict).not.toBe("verified");
      await expect(importJudged(ctx, file)).rejects.toMatchObject({ code: "receipt_full" });
      expect((await judgeAgain(ctx, file, {})).verdict).not.toBe("verified");
      expect((await online(ctx, fixture, file)).verdict).not.toBe("verified");
    });
});

test("T67: this buyer's own failed appraisal of an import is no word of its maker, in a file of it or on the chain", async () => {
  await strangerTo(fixture, { assurance: "attested" }, async (ctx) => {
    const stricter = { ...ctx.config, verification: { ...ctx.config.verification, simulatedRoots: [] } };
    const file = fileOf(bare, settlement);
    expect(newestAppraisal(await importJudged({ ...ctx, config: stricter }, file)).verdict).toBe("failed");
    const exported = await storedOf(ctx, bare.id);
    for (const one of [exported, file]) {
      expect((await judgeAgain(ctx, one, {})).verdict).toBe("verified");
      expect((await online(ctx, fixture, one)).verdict).toBe("verified");
      await importJudged(ctx, one);
    }
    expect((await storedOf(ctx, bare.id)).later).toEqual(exported.later);
  });
});

test("T97: of a format that signs no payer, two receipts of one nonce contest each other, whatever else they name", async () => {
  const made = await makeFixture({ format: 1 });
  const core = structuredClone(made.receipt.core);
  const { payer } = core.payment;
  const other: Address = `0x${"d4".repeat(20)}`;
  core.payment.payer = other;
  core.payment.authorizationHash = signingHash(core.payment, { name: "USD Coin", version: "2" });
  const later = JSON.parse(JSON.stringify(made.receipt.later).replaceAll(payer.slice(2), other.slice(2))) as unknown;
  const copy: Receipt = { ...createReceipt(core), later: later as Receipt["later"] };
  for (const files of [
    [made.receipt, copy],
    [copy, made.receipt],
  ])
    await strangerTo(made, { assurance: "attested" }, async (ctx) => {
      for (const file of files) await importJudged(ctx, file);
      for (const { id } of files) {
        const stored = await storedOf(ctx, id);
        for (const one of [newestAppraisal(stored), await judgeAgain(ctx, stored, {})])
          expect(one).toMatchObject({ verdict: "unverified", layers: { payment: { code: "purchase_contested" } } });
      }
    });
});
