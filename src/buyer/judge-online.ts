import type { Appraisal, Assurance, Receipt } from "../receipts/schema.ts";
import { joinedWithStored } from "./join.ts";
import { judgeAgain, type JudgeContext } from "./judge.ts";
import type { ReadAgain } from "./online.ts";
import { keepContradictions } from "./verdicts.ts";

/**
 * Judges a receipt with its chain read again. `read` looks for its words about the chain and for the stored ones. With
 * `isStored` it is the stored receipt itself, and what contradicts it is kept. `isRead` is false for a file that cannot be
 * joined with the stored receipt: it is judged as it is told.
 */
export async function judgeOnline(
  ctx: JudgeContext,
  file: Receipt,
  {
    read,
    isStored,
    ...asked
  }: {
    read: (told: Receipt) => Promise<ReadAgain>;
    isStored: boolean;
    at?: Date | undefined;
    assurance?: Assurance | undefined;
  },
): Promise<{ receipt: Receipt; appraisal: Appraisal; isRead: boolean }> {
  const joined = await joinedWithStored(ctx, file);
  if (joined !== null && joined.refused !== null)
    return { receipt: file, appraisal: await judgeAgain(ctx, file, asked), isRead: false };
  const { receipt, own, awaited } = await read(joined?.receipt ?? file);
  if (isStored) await keepContradictions(ctx, file.id, own);
  return { receipt, appraisal: await judgeAgain(ctx, receipt, { ...asked, read: own, awaited, file }), isRead: true };
}
