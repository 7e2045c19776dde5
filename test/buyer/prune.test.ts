import { beforeAll, expect, test } from "vitest";
import { importJudged } from "../../src/buyer/import.ts";
import { judgeAgain, type JudgeContext } from "../../src/buyer/judge.ts";
import { pruneReceipts } from "../../src/buyer/prune.ts";
import { fromUtf8 } from "../../src/evidence/bytes.ts";
import { auditLog } from "../../src/receipts/log.ts";
import { newestAppraisal } from "../../src/receipts/newest.ts";
import { prunedOf } from "../../src/receipts/pruned.ts";
import { createReceipt, parseReceipt, redactReceipt, serializeReceipt } from "../../src/receipts/receipt.ts";
import type { Receipt } from "../../src/receipts/schema.ts";
import { pruneBodies, requireReceipt } from "../../src/receipts/store.ts";
import { immediate } from "../../src/storage/migrations.ts";
import { makeFixture, type Fixture } from "../support/fixture-receipt.ts";
import { receiptCore } from "../support/receipt-core.ts";
import { strangerTo } from "../support/stranger.ts";

const LONG = "x".repeat(4000);
let short: Fixture;
let long: Fixture;
beforeAll(async () => {
  short = await makeFixture({ signed: true });
  // Its request lies beside its row.
  long = await makeFixture({ signed: true, request: (nonce) => JSON.stringify({ id: nonce, inputs: [], more: LONG }) });
});

const BOTH = { request: true, response: true };
const inStore = <T>(fixture: Fixture, run: (ctx: JudgeContext, stored: Receipt) => Promise<T>): Promise<T> =>
  strangerTo(fixture, { assurance: "attested" }, async (ctx) => run(ctx, await importJudged(ctx, fixture.receipt)));
const later = (ctx: JudgeContext): Date => new Date(ctx.clock().getTime() + 1);
const prune = (ctx: JudgeContext) => pruneReceipts(ctx, { before: later(ctx) });
const contents = async ({ db }: JudgeContext): Promise<number> =>
  (await db.selectFrom("contents").select("hash").execute()).length;

test("pruned bodies are gone, and nothing that needs them is verified any more", async () => {
  for (const fixture of [short, long])
    await inStore(fixture, async (ctx, stored) => {
      expect(newestAppraisal(stored).verdict).toBe("verified");
      const [before, audit] = [await contents(ctx), await auditLog(ctx.db)];
      const looked = await pruneReceipts(ctx, { before: later(ctx), look: true });
      expect(looked).toMatchObject({ receipts: 1, unverified: 0 });
      expect(await auditLog(ctx.db)).toEqual(audit);
      expect(await prune(ctx)).toEqual({ ...looked, unverified: 1 });
      const receipt = await requireReceipt(ctx.db, stored.id);
      expect(receipt.core).toEqual(redactReceipt(stored, BOTH).core);
      expect(receipt.later).toEqual(stored.later);
      expect(receipt.appraisals.slice(0, -1)).toEqual(stored.appraisals);
      expect(newestAppraisal(receipt)).toMatchObject({ verdict: "unverified" });
      expect(newestAppraisal(receipt).layers.payment).toMatchObject({ status: "skip", code: "bodies_redacted" });
      expect((await judgeAgain(ctx, receipt, {})).verdict).toBe("unverified");
      expect(await contents(ctx)).toBe(fixture === long ? before - 1 : before);
      expect(await prunedOf(ctx.db, stored.id)).toMatchObject({ parts: ["request", "response"] });
      expect(await auditLog(ctx.db)).toMatchObject({ ok: true, receipts: 1, pruned: 1 });
      // Its file is that of a redacted receipt, of the same id.
      const file = parseReceipt(serializeReceipt(receipt));
      expect(file.ok && file.receipt.id).toBe(stored.id);
      expect(fromUtf8(serializeReceipt(receipt))).not.toContain(String(stored.core.request.body).slice(0, 40));
      expect(await prune(ctx)).toMatchObject({ receipts: 0 });
    });
});

test("a file gives pruned bodies back, and they can be pruned again", async () => {
  await inStore(long, async (ctx, stored) => {
    await prune(ctx);
    const again = await importJudged(ctx, long.receipt);
    expect(again.core).toEqual(stored.core);
    expect(newestAppraisal(again).verdict).toBe("verified");
    expect(await prunedOf(ctx.db, stored.id)).toBeNull();
    expect(await auditLog(ctx.db)).toMatchObject({ ok: true, pruned: 0 });
    expect(await prune(ctx)).toMatchObject({ receipts: 1, unverified: 1 });
    expect(await auditLog(ctx.db)).toMatchObject({ ok: true, pruned: 1 });
  });
});

test("T73: bytes that another receipt's evidence repeats stay with it, and a damaged one stops no pruning", async () => {
  await inStore(long, async (ctx, stored) => {
    const { id, core } = stored;
    const copied = { kind: "zk.of-tomorrow", one: [id, core.request.body], two: `body ${id} ${core.request.body}` };
    const other = createReceipt({ ...receiptCore("other"), evidence: [copied] });
    await importJudged(ctx, other);
    expect(await prune(ctx)).toMatchObject({ receipts: 2 });
    expect((await requireReceipt(ctx.db, other.id)).core.evidence).toEqual([copied]);
    expect(await auditLog(ctx.db)).toMatchObject({ ok: true, pruned: 2 });
    await importJudged(ctx, long.receipt);
    await ctx.db
      .updateTable("receipts")
      .set({ packed: new Uint8Array(3) })
      .where("id", "=", other.id)
      .execute();
    await ctx.db.deleteFrom("log").where("receipt_id", "=", other.id).where("kind", "=", "prune").execute();
    expect(await prune(ctx)).toMatchObject({ receipts: 1, left: [other.id] });
  });
});

test("a receipt of one purchase with another keeps its bodies, and one that failed", async () => {
  await inStore(short, async (ctx, { core }) => {
    const rival = createReceipt({ ...core, response: { ...core.response, receivedAt: "2026-01-01T00:00:00.000Z" } });
    await importJudged(ctx, rival);
    const { receipts, kept } = await prune(ctx);
    expect([receipts, kept.rival + kept.failed]).toEqual([0, 2]);
  });
});

test("an audit tells pruned bodies from lost ones", async () => {
  await inStore(long, async (ctx, stored) => {
    const codeOf = async (): Promise<string> => {
      const result = await auditLog(ctx.db);
      return result.ok ? `ok, ${result.pruned} pruned` : result.code;
    };
    const packed = () => ctx.db.selectFrom("receipts").select(["json", "packed"]).executeTakeFirstOrThrow();
    const whole = await packed();
    await immediate(ctx.db, (tx) => pruneBodies(tx, stored.id, later(ctx)));
    expect(await codeOf()).toBe("ok, 1 pruned");
    const bare = await packed();
    // The row of before names bytes that are deleted.
    await ctx.db.updateTable("receipts").set(whole).execute();
    expect(await codeOf()).toBe("content_missing");
    await ctx.db.updateTable("receipts").set(bare).execute();
    // Bodies that are gone without a word in the log are no pruned ones.
    await ctx.db.deleteFrom("log").where("kind", "=", "prune").execute();
    expect(await codeOf()).toBe("receipt_altered");
  });
});

test("pruning that ends in the middle of a batch leaves each receipt whole", async () => {
  await inStore(long, async (ctx, stored) => {
    const [before, audit] = [await contents(ctx), await auditLog(ctx.db)];
    const work = immediate(ctx.db, async (tx) => {
      await pruneBodies(tx, stored.id, later(ctx));
      throw new Error("the power went out");
    });
    await expect(work).rejects.toThrow("the power went out");
    expect(await requireReceipt(ctx.db, stored.id)).toEqual(stored);
    expect([await contents(ctx), await auditLog(ctx.db)]).toEqual([before, audit]);
  });
});

test("a receipt without a final verdict, under an open action or too new keeps its bodies", async () => {
  const chainless = { ...short, receipt: { ...short.receipt, later: [] } };
  await inStore(chainless, async (ctx, stored) => {
    expect(newestAppraisal(stored).verdict).toBe("pending");
    expect(await prune(ctx)).toMatchObject({ receipts: 0, kept: { pending: 1, action: 0, payment: 0 } });
  });
  await inStore(short, async (ctx, stored) => {
    expect(await pruneReceipts(ctx, { before: ctx.clock() })).toMatchObject({ receipts: 0, kept: { action: 0 } });
    const claim = {
      receipt_id: stored.id,
      purpose: "act",
      at: 1,
      purchase: "p",
      arguments: null,
      arguments_sha256: null,
    };
    await ctx.db
      .insertInto("receipt_claims")
      .values({ ...claim, outcome: null, ended_at: null, tool: "act", idempotency_key: "k", state: "claimed" })
      .execute();
    expect(await prune(ctx)).toMatchObject({ receipts: 0, kept: { action: 1 } });
    await ctx.db.updateTable("receipt_claims").set({ state: "done", ended_at: 2 }).execute();
    expect(await prune(ctx)).toMatchObject({ receipts: 1 });
  });
});
