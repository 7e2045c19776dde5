import fc from "fast-check";
import { isDeepStrictEqual } from "node:util";
import { beforeAll, expect, test } from "vitest";
import { importJudged } from "../../src/buyer/import.ts";
import { judgeAgain, type JudgeContext } from "../../src/buyer/judge.ts";
import { judgeOnline } from "../../src/buyer/judge-online.ts";
import { storeVerdict } from "../../src/buyer/verdicts.ts";
import { toRow } from "../../src/payment/journal-rows.ts";
import { newestAppraisal } from "../../src/receipts/newest.ts";
import { missingBodies } from "../../src/receipts/receipt.ts";
import type { Appraisal, Evidence, Receipt } from "../../src/receipts/schema.ts";
import { addReceipt, appendAppraisal, appendLater, listReceipts, readReceipt } from "../../src/receipts/store.ts";
import { immediate } from "../../src/storage/migrations.ts";
import { appraisal as someAppraisal } from "../support/receipt-core.ts";
import { cases } from "../support/campaign.ts";
import { readerOf } from "../support/shown-on-chain.ts";
import { strangerTo } from "../support/stranger.ts";
import {
  anyAsked,
  anyOwn,
  anySteps,
  anyTold,
  briefly,
  CONTRADICTION,
  differsFromChain,
  expectedOf,
  expectedOfOwn,
  fileOf,
  holdsUp,
  joined,
  makeWorld,
  NOTHING,
  onChain,
  type Asked,
  type Known,
  type Said,
  type Told,
  type World,
} from "../support/told-files.ts";

let world: World;
beforeAll(async () => {
  world = await makeWorld();
});

/** Verifies a receipt with its chain read again. */
const readAgain = async (
  ctx: JudgeContext,
  receipt: Receipt,
  { isConfirmed }: Asked,
  isStored = false,
): Promise<Appraisal> => {
  const read = readerOf(isConfirmed ? onChain(world) : null, world.fixture.policy);
  return (await judgeOnline(ctx, receipt, { read, isStored })).appraisal;
};
const storedOf = (ctx: JudgeContext): Promise<Receipt[]> => listReceipts(ctx.db, { limit: 9 });

/** Compares verdicts, and the layers unless a contradiction stands in one. */
function expectSaid(appraisal: Appraisal, said: Partial<Said>, isContradicted: boolean, by: string): void {
  expect(briefly(appraisal), by).toMatchObject(isContradicted ? { verdict: "failed" } : said);
}

/** Whether a file brings a spoilt proof to a stored receipt, and none that holds. Without its bodies none is judged. */
function hasSpoiltProofOnly(file: Receipt, stored: Receipt | null): boolean {
  const isAmong = (piece: Evidence, { later }: Receipt) =>
    later.some(({ evidence }) => isDeepStrictEqual(evidence, piece));
  const proofs = file.later.map(({ evidence }) => evidence).filter(({ kind }) => kind === "zk.groth16");
  return (
    stored !== null &&
    missingBodies(file).length === 0 &&
    proofs.some((proof) => !isAmong(proof, stored)) &&
    !isAmong(world.pieces["zk.groth16 true"], file)
  );
}

test("T98: a file, its chain read again, its import and the stored verdict say what a plain model says of an imported receipt", async () => {
  const reached: Record<string, number> = {};
  const reach = (what: string): void => void (reached[what] = (reached[what] ?? 0) + 1);
  const sequence = fc.asyncProperty(anySteps, anyAsked, (steps, asked) =>
    strangerTo(world.fixture, asked, async (ctx) => {
      const known = new Map<string, Known>();
      const rivalOf = (id: string): Known | null => [...known].find(([other]) => other !== id)?.[1] ?? null;
      const exported = new Map<string, Receipt>();
      const judge = async (file: Receipt, after: Known): Promise<void> => {
        const before = await storedOf(ctx);
        const stored = before.find(({ id }) => id === file.id) ?? null;
        for (const isRead of [false, true]) {
          const by = isRead ? "a file read again" : "a file";
          const said = isRead ? await readAgain(ctx, file, asked) : await judgeAgain(ctx, file, {});
          const expected = expectedOf(after, rivalOf(file.id), asked, isRead);
          const isLeftOut = expected.verdict === "verified" && hasSpoiltProofOnly(file, stored);
          if (isLeftOut) reach("a proof left out");
          const alone: Partial<Said> = { verdict: "failed", computation: "fail" };
          expectSaid(said, isLeftOut ? alone : expected, after.isContradicted, by);
        }
        expect(await storedOf(ctx)).toEqual(before);
      };
      for (const { does, isCopy, told } of steps) {
        const receipt = isCopy ? world.copy : world.fixture.receipt;
        const before = known.get(receipt.id);
        const file = does === "import again" ? exported.get(receipt.id) : fileOf(world, receipt, told);
        if (file === undefined) continue;
        if (does === "read") {
          if (before === undefined) continue;
          await readAgain(ctx, (await readReceipt(ctx.db, receipt.id))!, asked, true);
          const differs = asked.isConfirmed && differsFromChain(before);
          if (differs) reach("contradicted by its chain");
          known.set(receipt.id, { ...before, isContradicted: before.isContradicted || differs });
        } else {
          const after = does === "import again" ? before! : joined(before ?? NOTHING, told);
          await judge(file, after);
          if (does !== "judge") {
            await importJudged(ctx, file);
            known.set(receipt.id, after);
          }
        }
        for (const [id, one] of known) {
          const stored = (await readReceipt(ctx.db, id))!;
          if (!exported.has(id)) exported.set(id, stored);
          const rival = rivalOf(id);
          const [told, read] = [false, true].map((isRead) => expectedOf(one, rival, asked, isRead)) as [Said, Said];
          expectSaid(await judgeAgain(ctx, stored, {}), told, one.isContradicted, "a stored receipt");
          expectSaid(newestAppraisal(stored), told, one.isContradicted, "a stored verdict");
          expectSaid(await readAgain(ctx, stored, asked), read, one.isContradicted, "a stored receipt read again");
          reach(told.verdict);
          if (rival !== null && holdsUp(rival, asked)) reach("contested");
          if (told.verdict === "open" && read.verdict === "verified" && one.marked.length > 0) reach("disputed");
        }
      }
    }),
  );
  await fc.assert(sequence, { numRuns: cases(24, 600, 40), seed: 402 });
  for (const what of [
    "verified",
    "open",
    "failed",
    "disputed",
    "contested",
    "a proof left out",
    "contradicted by its chain",
  ])
    expect(reached[what], what).toBeGreaterThan(0);
}, 120_000);

test("T98: a file about an own purchase, and its chain read again, say what a plain model says, and nothing of it is stored", async () => {
  const reached: Record<string, number> = {};
  const reach = (what: string): void => void (reached[what] = (reached[what] ?? 0) + 1);
  const files = fc.array(anyTold, { minLength: 1, maxLength: 3 });
  const sequence = fc.asyncProperty(anyOwn, files, anyAsked, (own, all, asked) =>
    strangerTo(world.fixture, asked, async (ctx) => {
      const { id } = await buy(ctx, own);
      const stored = (await readReceipt(ctx.db, id))!;
      const nothing: Told = { pieces: own.pieces, marked: [], against: null, isRedacted: false };
      for (const told of [nothing, ...all]) {
        const file = told === nothing ? stored : fileOf(world, world.fixture.receipt, told);
        for (const isRead of [false, true]) {
          const by = `${told === nothing ? "a stored receipt" : "a file"}${isRead ? " read again" : ""}`;
          const said = isRead ? await readAgain(ctx, file, asked) : await judgeAgain(ctx, file, {});
          const expected = expectedOfOwn(own, told, asked, isRead);
          expectSaid(said, expected, own.isContradicted || told.against === "contradiction", by);
          reach(expected.verdict);
          const other = fileOf(world, world.copy, told);
          expect(isRead ? await readAgain(ctx, other, asked) : await judgeAgain(ctx, other, {})).toMatchObject({
            verdict: "failed",
          });
        }
        await importJudged(ctx, file);
        await expect(importJudged(ctx, fileOf(world, world.copy, told))).rejects.toMatchObject({
          code: "purchase_known",
        });
        expect(await storedOf(ctx)).toEqual([stored]);
      }
      expectSaid(newestAppraisal(stored), expectedOfOwn(own, nothing, asked, false), own.isContradicted, "a verdict");
    }),
  );
  await fc.assert(sequence, { numRuns: cases(12, 300, 20), seed: 402 });
  for (const verdict of ["verified", "open", "failed"]) expect(reached[verdict], verdict).toBeGreaterThan(9);
}, 120_000);

/** Makes the purchase one of this buyer's own, with what it saw of it. */
async function buy(ctx: JudgeContext, own: Known): Promise<Receipt> {
  const { receipt } = world.fixture;
  const { core } = receipt;
  const at = ctx.clock();
  const against = own.isReplayed ? "re-execution" : null;
  const seen = fileOf(world, receipt, { pieces: own.pieces, marked: [], against, isRedacted: false }).later;
  const pieces = [...seen.map(({ evidence }) => evidence), ...(own.isContradicted ? [CONTRADICTION] : [])];
  const purchase = toRow({
    id: crypto.randomUUID(),
    idempotencyKey: crypto.randomUUID(),
    attempt: 1,
    argsDigest: "00".repeat(32),
    state: "settled",
    sellerId: core.seller.id,
    client: null,
    model: core.request.model,
    offer: core.offer,
    accepted: {},
    listedPrice: null,
    payment: core.payment,
    request: { method: "POST", url: core.seller.origin, path: "/", headers: {}, body: "", nonce: core.request.nonce },
    receiptId: receipt.id,
    answeredAt: at.getTime(),
    transaction: null,
    reported: null,
    part: null,
    settledAmount: core.payment.amount,
    reason: null,
    createdAt: at.getTime(),
    updatedAt: at.getTime(),
  });
  await immediate(ctx.db, async (tx) => {
    await tx.insertInto("purchases").values(purchase).execute();
    await addReceipt(tx, receipt, someAppraisal({ wanted: ctx.config.verification.assurance, verdict: "pending" }), at);
    for (const evidence of pieces) await appendLater(tx, receipt.id, evidence, at);
  });
  return storeVerdict(ctx, receipt, (tx, appraisal) => appendAppraisal(tx, receipt.id, appraisal));
}
