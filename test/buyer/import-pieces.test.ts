import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { importJudged } from "../../src/buyer/import.ts";
import type { JudgeContext } from "../../src/buyer/judge.ts";
import { toBase64, utf8 } from "../../src/evidence/bytes.ts";
import { keepContradictions } from "../../src/buyer/verdicts.ts";
import { auditLog } from "../../src/receipts/log.ts";
import { newestAppraisal } from "../../src/receipts/newest.ts";
import { redactReceipt } from "../../src/receipts/receipt.ts";
import type {
  Appraisal,
  Assurance,
  Disputable,
  Evidence,
  EzklEvidence,
  Groth16Evidence,
  InclusionEvidence,
  Receipt,
  SettlementEvidence,
  Verdict,
} from "../../src/receipts/schema.ts";
import { readReceipt } from "../../src/receipts/store.ts";
import { inclusionLeafOf } from "../../src/verify/layers/inclusion.ts";
import { contradiction } from "../../src/verify/contradiction-codes.ts";
import { cases } from "../support/campaign.ts";
import { referenceOf } from "../support/ezkl.ts";
import { filled } from "../support/full-receipt.ts";
import type { Fixture } from "../support/fixture-receipt.ts";
import { inclusionOf, neighbours, withRelay } from "../support/inclusion.ts";
import { openProvenMaker, type ProvenMaker } from "../support/proven-receipt.ts";
import { strangerTo } from "../support/stranger.ts";
import { files as circuit, fixture as computed, genuine, policyWith, readProof } from "../verify/ezkl-proof.ts";

let maker: ProvenMaker;
let proven: Fixture;
let bare: Receipt;
let settlement: SettlementEvidence;
let anchoring: InclusionEvidence;
let proof: Groth16Evidence;

beforeAll(async () => {
  maker = await openProvenMaker();
  const made = await maker.make({ signed: true });
  proven = { ...made, policy: withRelay(made.policy) };
  bare = { ...made.receipt, later: [] };
  const pieces = made.receipt.later.map(({ evidence }) => evidence);
  settlement = pieces.find((one) => one.kind === "settlement.x402") as SettlementEvidence;
  proof = pieces.find((one) => one.kind === "zk.groth16") as Groth16Evidence;
  anchoring = inclusionOf(inclusionLeafOf(made.receipt)!, neighbours(2));
});
afterAll(() => maker.close());

const fileOf = (receipt: Receipt, ...pieces: readonly Evidence[]): Receipt => ({
  ...receipt,
  later: pieces.map((evidence) => ({ at: receipt.core.response.receivedAt, evidence })),
});
const without = (receipt: Receipt): Receipt => redactReceipt(receipt, { request: true, response: true });
const marker = (of: Disputable): Evidence => ({ kind: "disputed", of });
const junkProof = (n: number): Groth16Evidence => ({ ...proof, signals: [String(n), ...proof.signals.slice(1)] });
const junkAnchoring = (n: number): InclusionEvidence => ({ ...anchoring, transaction: `0x${String(n).repeat(64)}` });

/** How a receipt stands once its files were imported one after another. */
const afterAllOf = (files: readonly Receipt[], options: Parameters<typeof strangerTo>[1] = {}): Promise<Appraisal> =>
  strangerTo(proven, options, async (ctx) => {
    for (const file of files) await importJudged(ctx, file);
    return newestAppraisal((await readReceipt(ctx.db, proven.receipt.id))!);
  });
const kindsOf = ({ later }: Receipt): string[] => later.map(({ evidence }) => evidence.kind);

describe("T98: imported files", () => {
  test("of two anchorings that contradict themselves the second makes the receipt no better", async () => {
    const wrong = ["1", "2"].map((digit) => ({ ...anchoring, root: `0x${digit.repeat(64)}` }));
    const files = [fileOf(bare, settlement, wrong[0]!), fileOf(bare, wrong[1]!), fileOf(bare, settlement)];
    const marked = fileOf(bare, settlement, marker("inclusion.merkle"));
    for (const order of [files, files.toReversed(), [files[0]!, marked], [marked, files[0]!]])
      expect(await afterAllOf(order, { assurance: "attested" })).toMatchObject({
        verdict: "failed",
        layers: { inclusion: { status: "fail", code: "root_mismatch" } },
      });
  });

  test("a settlement or an anchoring told otherwise is heard by a receipt without room for it", async () => {
    const other = { ...settlement, transaction: `0x${"7".repeat(64)}` };
    const first = filled(fileOf(bare, settlement, anchoring, proof));
    for (const [piece, layer] of [
      [other, "settlement"],
      [junkAnchoring(1), "inclusion"],
    ] as const)
      await strangerTo(proven, {}, async (ctx) => {
        const stored = await importJudged(ctx, first);
        expect(newestAppraisal(stored).verdict).toBe("verified");
        // What it holds already is no other word, though there is no room.
        expect((await importJudged(ctx, first)).later).toEqual(stored.later);
        const disputed = await importJudged(ctx, fileOf(bare, piece));
        expect(newestAppraisal(disputed)).toMatchObject({
          verdict: "pending",
          layers: { [layer]: { code: "disputed" } },
        });
        expect((await auditLog(ctx.db)).ok).toBe(true);
      });
  });

  test("a contradiction that is found in a full receipt is kept", async () => {
    await strangerTo(proven, {}, async (ctx) => {
      await importJudged(ctx, filled(fileOf(bare, settlement, proof)));
      await keepContradictions(ctx, bare.id, [contradiction("settlement", "settlement_not_on_chain")]);
      expect(newestAppraisal((await readReceipt(ctx.db, bare.id))!).verdict).toBe("failed");
      expect((await auditLog(ctx.db)).ok).toBe(true);
    });
  });

  test("junk anchorings keep no genuine one out without a word, and hold the verdict", async () => {
    const junk = fileOf(bare, settlement, ...[1, 2, 3, 4].map(junkAnchoring), marker("inclusion.merkle"));
    await strangerTo(proven, { assurance: "attested" }, async (ctx) => {
      expect(newestAppraisal(await importJudged(ctx, junk)).verdict).toBe("pending");
      await expect(importJudged(ctx, fileOf(bare, settlement, anchoring))).rejects.toMatchObject({
        code: "receipt_full",
        message: expect.stringContaining("4 pieces of the kind inclusion.merkle"),
        next: expect.stringContaining("Verify the file as it is"),
      });
    });
    const crowded = fileOf(bare, ...[1, 2, 3, 4, 5].map(junkAnchoring));
    await strangerTo(proven, {}, (ctx) =>
      expect(importJudged(ctx, crowded)).rejects.toMatchObject({ code: "receipt_crowded" }),
    );
  });

  test("a proof that cannot be judged yet is kept, and decides once the bodies are there", async () => {
    const told = fileOf(bare, settlement);
    const redacted = [fileOf(without(bare), proof), fileOf(without(bare), junkProof(1))];
    for (const order of [
      [told, ...redacted],
      [told, ...redacted.toReversed()],
      [...redacted, told],
      [...redacted.toReversed(), told],
    ])
      expect(await afterAllOf(order)).toMatchObject({ verdict: "verified", assurance: "proven" });
  });

  test("a proof that cannot be judged yet and has no room is refused and not dropped", async () => {
    await strangerTo(proven, {}, async (ctx) => {
      for (const n of [1, 2, 3, 4]) await importJudged(ctx, fileOf(without(bare), junkProof(n)));
      await expect(importJudged(ctx, fileOf(without(bare), proof))).rejects.toMatchObject({
        code: "receipt_full",
        message: expect.stringContaining("4 pieces of the kind zk.groth16"),
      });
    });
  });

  test("junk proofs keep no genuine one out, however many a first file holds, and are not kept beside it", async () => {
    const junk = fileOf(bare, settlement, ...[1, 2, 3, 4].map(junkProof), marker("zk.groth16"));
    const good = fileOf(bare, settlement, proof);
    for (const [files, kept] of [
      [[junk, good], 2],
      [[good, junk], 1],
      [[good, fileOf(bare, junkProof(1))], 1],
      [[fileOf(bare, junkProof(1)), fileOf(bare, junkProof(2)), good], 2],
    ] as const) {
      expect(await afterAllOf(files)).toMatchObject({ verdict: "verified", assurance: "proven" });
      await strangerTo(proven, {}, async (ctx) => {
        let stored = bare;
        for (const file of files) stored = await importJudged(ctx, file);
        expect(kindsOf(stored).filter((kind) => kind === "zk.groth16")).toHaveLength(kept);
      });
    }
    expect(await afterAllOf([junk])).toMatchObject({ verdict: "failed" });
  });

  test("an import asks an engine about each proof once", async () => {
    const numbered = (n: number): EzklEvidence => {
      const read = readProof();
      return { ...genuine(), proof: toBase64(utf8(JSON.stringify({ ...read, proof: [...read.proof.slice(1), n] }))) };
    };
    const { receipt } = computed;
    const pieces = receipt.later.map(({ evidence }) => evidence);
    const fixture: Fixture = { ...computed, policy: policyWith(computed, referenceOf(circuit)) };
    await strangerTo(fixture, { assurance: "attested" }, async (judging) => {
      let asked = 0;
      const ctx: JudgeContext = { ...judging, ezkl: () => Promise.resolve(asked++ < 0 ? "valid" : "timeout") };
      const askedFor = async (...proofs: EzklEvidence[]): Promise<number> => {
        asked = 0;
        await importJudged(ctx, fileOf(receipt, ...pieces, ...proofs, marker("zk.ezkl")));
        return asked;
      };
      expect(await askedFor(numbered(1), numbered(2))).toBe(2);
      // Two of them are stored.
      expect(await askedFor(numbered(3), numbered(4))).toBe(4);
      expect(await askedFor(numbered(3))).toBe(4);
      const stored = await readReceipt(ctx.db, receipt.id);
      expect(kindsOf(stored!).filter((kind) => kind === "zk.ezkl")).toHaveLength(4);
    });
  });
});

/** Whether a verdict says more for a receipt. None of the middle ones lets anyone act on it. */
const RANKS: Record<Verdict, number> = { failed: 0, unverified: 1, pending: 1, verified: 2 };

test("T98: pieces shuffled, repeated and split among files come to one verdict in each order, and to no better one than the genuine file", async () => {
  const other = { ...settlement, transaction: `0x${"00".repeat(32)}` };
  const pieces: Evidence[] = [
    settlement,
    other,
    { ...settlement, logs: [] },
    { ...settlement, signature: `0x${"11".repeat(64)}1b` },
    anchoring,
    junkAnchoring(1),
    { ...anchoring, root: `0x${"11".repeat(32)}` },
    { ...anchoring, blockTime: 1 },
    proof,
    junkProof(1),
    junkProof(2),
    marker("settlement.x402"),
    marker("inclusion.merkle"),
    marker("zk.groth16"),
  ];
  const genuineFile = fileOf(bare, settlement, anchoring, proof);
  const options = fc.record({
    assurance: fc.constantFrom<Assurance>("attested", "proven"),
    reportedSuffices: fc.boolean(),
  });
  const split = fc.record({
    // More of one kind are refused as a file.
    told: fc.array(fc.nat({ max: pieces.length - 1 }), { minLength: 1, maxLength: 4 }),
    redacted: fc.boolean(),
  });
  type Split = { told: number[]; redacted: boolean } | "genuine";
  const made = (one: Split): Receipt =>
    one === "genuine"
      ? genuineFile
      : fileOf(one.redacted ? without(bare) : bare, ...one.told.map((index) => pieces[index]!));
  const orders = fc
    .array(split, { minLength: 1, maxLength: 4 })
    .map((files): Split[] => ["genuine", ...files])
    .chain((files) => fc.tuple(fc.constant(files), fc.shuffledSubarray(files, { minLength: files.length })));
  const counts: Record<string, number> = {};
  await fc.assert(
    fc.asyncProperty(orders, options, async ([one, another], asked) => {
      const [first, second] = [await afterAllOf(one.map(made), asked), await afterAllOf(another.map(made), asked)];
      const alone = await afterAllOf([genuineFile], asked);
      const { settlement: settled, inclusion } = first.layers;
      expect(second).toMatchObject({ verdict: first.verdict, layers: { settlement: settled, inclusion } });
      expect(second.layers.computation.status).toBe(first.layers.computation.status);
      expect(RANKS[first.verdict]).toBeLessThanOrEqual(RANKS[alone.verdict]);
      counts[first.verdict] = (counts[first.verdict] ?? 0) + 1;
    }),
    { numRuns: cases(8, 250, 12) },
  );
  for (const verdict of ["failed", "pending"]) expect(counts[verdict], verdict).toBeGreaterThan(0);
}, 120_000);
