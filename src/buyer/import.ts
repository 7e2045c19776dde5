import { wantedAssurance } from "../receipts/newest.ts";
import { MAX_LATER, type Receipt } from "../receipts/schema.ts";
import { appendAppraisal, importReceipt } from "../receipts/store.ts";
import { immediate } from "../storage/migrations.ts";
import { failuresOfMaker } from "../verify/contradictions.ts";
import type { BuyerContext } from "./context.ts";
import { judgeReceipt } from "./judge.ts";

/**
 * Judges and stores a receipt that was made elsewhere. Its maker's appraisals are left out, and what they found wrong with it
 * is kept as evidence. One that gives a stored receipt its bodies has that judged anew.
 */
export async function importJudged(ctx: BuyerContext, file: Receipt): Promise<Receipt> {
  const at = ctx.clock().toISOString();
  const found = failuresOfMaker(file).map((evidence) => ({ at, evidence }));
  const receipt = { ...file, later: [...found, ...file.later].slice(0, MAX_LATER), appraisals: [] };
  const { assurance } = ctx.config.verification;
  const appraisal = await judgeReceipt(ctx, receipt, { assurance });
  const imported = await immediate(ctx.db, async (tx) => {
    const one = await importReceipt(tx, receipt, ctx.clock());
    return one.added ? { ...one, receipt: await appendAppraisal(tx, receipt.id, appraisal) } : one;
  });
  if (!imported.completed) return imported.receipt;
  const anew = await judgeReceipt(ctx, imported.receipt, { assurance: wantedAssurance(imported.receipt, assurance) });
  return immediate(ctx.db, (tx) => appendAppraisal(tx, receipt.id, anew));
}
