import { Proof402Error } from "../errors.ts";
import { wantedAssurance } from "../receipts/newest.ts";
import { MAX_LATER, type Receipt } from "../receipts/schema.ts";
import { appendAppraisal, appendLater, importReceipt } from "../receipts/store.ts";
import { immediate } from "../storage/migrations.ts";
import { failuresOfMaker } from "../verify/contradictions.ts";
import type { BuyerContext } from "./context.ts";
import { judgeReceipt } from "./judge.ts";

/**
 * Judges and stores a receipt that was made elsewhere. Its maker's appraisals are left out, and what they found wrong
 * with it is kept as evidence. If the file gives a stored receipt its bodies, or a contradiction, that receipt is
 * judged again.
 */
export async function importJudged(ctx: BuyerContext, file: Receipt): Promise<Receipt> {
  const at = ctx.clock().toISOString();
  const found = failuresOfMaker(file).map((evidence) => ({ at, evidence }));
  const receipt = { ...file, later: [...found, ...file.later], appraisals: [] };
  // Nothing is dropped for want of room: it may be what contradicts the rest.
  if (receipt.later.length > MAX_LATER)
    throw new Proof402Error(
      "receipt_full",
      `The file and its maker's failed layers are more than ${MAX_LATER} pieces.`,
      {
        next: "Verify the file as it is.",
      },
    );
  const { assurance } = ctx.config.verification;
  const appraisal = await judgeReceipt(ctx, receipt, { assurance });
  const imported = await immediate(ctx.db, async (tx) => {
    const one = await importReceipt(tx, receipt, ctx.clock());
    if (one.added) return { ...one, receipt: await appendAppraisal(tx, receipt.id, appraisal) };
    // A newer file of a stored receipt can take a verdict away: a contradiction is heeded, even one found by others.
    let stored = one.receipt;
    for (const { evidence } of receipt.later)
      if (evidence.kind === "contradiction") stored = await appendLater(tx, receipt.id, evidence, ctx.clock());
    return { ...one, receipt: stored, completed: one.completed || stored.later.length > one.receipt.later.length };
  });
  if (!imported.completed) return imported.receipt;
  const again = await judgeReceipt(ctx, imported.receipt, {
    assurance: wantedAssurance(imported.receipt, assurance),
  });
  return immediate(ctx.db, (tx) => appendAppraisal(tx, receipt.id, again));
}
