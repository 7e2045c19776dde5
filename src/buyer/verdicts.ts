import type { Appraisal, Evidence, Receipt } from "../receipts/schema.ts";
import { appendAppraisal, appendLater, readReceipt } from "../receipts/store.ts";
import type { Db } from "../storage/database.ts";
import { immediate } from "../storage/migrations.ts";
import { isOwnAmong } from "../verify/find-evidence.ts";
import type { BuyerContext } from "./context.ts";
import { judgeReceipt, wantedOf, type JudgeContext } from "./judge.ts";
import { importedOf } from "./rivals.ts";

/**
 * Stores what `write` writes of a receipt and its new verdict. The same transaction appends the verdicts that change
 * with it on other imported receipts of its purchase, so no list shows one as verified beside another. Judges the stored
 * receipt where there is one.
 *
 * Judging takes a moment and the transaction must not, so it is done before. If a receipt of the purchase changes in
 * that moment, all of them are judged again.
 */
export async function storeVerdict<T>(
  ctx: JudgeContext & Partial<Pick<BuyerContext, "events">>,
  receipt: Receipt,
  write: (tx: Db, appraisal: Appraisal) => Promise<T>,
): Promise<T> {
  for (;;) {
    const known = await importedOf(ctx.db, receipt);
    const subject = known.find(({ id }) => id === receipt.id) ?? receipt;
    const judge = async (one: Receipt): Promise<Appraisal> =>
      judgeReceipt(ctx, one, { assurance: await wantedOf(ctx, one.id), beside: subject });
    const appraisal = await judge(subject);
    const changed: [string, Appraisal][] = [];
    for (const rival of known.filter(({ id }) => id !== subject.id)) {
      const again = await judge(rival);
      const { code, note } = again.layers.payment;
      const before = rival.appraisals.at(-1)?.layers.payment;
      if (code !== before?.code || note !== before.note) changed.push([rival.id, again]);
    }
    const stored = await immediate(ctx.db, async (tx) => {
      if (JSON.stringify(await importedOf(tx, receipt)) !== JSON.stringify(known)) return null;
      const written = await write(tx, appraisal);
      const rivals: Receipt[] = [];
      for (const [id, again] of changed) rivals.push(await appendAppraisal(tx, id, again));
      return { written, rivals };
    });
    if (stored === null) continue;
    for (const rival of stored.rivals) ctx.events?.emit(rival);
    return stored.written;
  }
}

/**
 * Keeps a contradiction between a stored receipt and the chain, with the verdict that follows. From then on every
 * surface heeds it. `read` is of what is stored, and not of some file about it.
 */
export async function keepContradictions(ctx: JudgeContext, id: string, read: readonly Evidence[]): Promise<void> {
  const stored = await readReceipt(ctx.db, id);
  const isKept = isOwnAmong(stored?.later.map(({ evidence }) => evidence));
  const found = read.filter((evidence) => evidence.kind === "contradiction" && !isKept(evidence));
  if (stored === null || found.length === 0) return;
  const at = ctx.clock();
  await immediate(ctx.db, async (tx) => {
    for (const evidence of found) await appendLater(tx, id, evidence, at);
  });
  await storeVerdict(ctx, stored, (tx, appraisal) => appendAppraisal(tx, id, appraisal));
}
