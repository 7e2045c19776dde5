import { canBeRead, KEPT_FREE } from "./budget.ts";
import { MAX_APPRAISALS, MAX_LATER, type Appraisal, type Receipt, type Verdict } from "./schema.ts";

/** Whether a receipt has room for its evidence. */
export const hasRoom = (receipt: Receipt): boolean => receipt.later.length <= MAX_LATER && canBeRead(receipt, 0);

/** Whether a receipt has room for one more piece. A contradiction or a dispute finds some in the fullest one. */
export function hasRoomFor(receipt: Receipt, item: Receipt["later"][number]): boolean {
  const grown = { ...receipt, later: [...receipt.later, item] };
  const { kind } = item.evidence;
  if (kind !== "contradiction" && kind !== "disputed") return hasRoom(grown);
  return grown.later.length <= MAX_LATER + KEPT_FREE.pieces && canBeRead(grown, 2);
}

/** How good a verdict is. */
const RANK: Readonly<Record<Verdict, number>> = { failed: 0, unverified: 1, pending: 2, verified: 3 };

/** Whether an appraisal is the first one, or says less for the receipt than the newest one. */
export function isWorse(appraisal: Appraisal, { appraisals }: Receipt): boolean {
  const newest = appraisals.at(-1);
  return newest === undefined || RANK[appraisal.verdict] < RANK[newest.verdict];
}

/** Whether a receipt has room for one more appraisal. A worse one finds some in the fullest receipt. */
export function hasRoomToJudge(receipt: Receipt, appraisal: Appraisal): boolean {
  const judged = { ...receipt, appraisals: [...receipt.appraisals, appraisal] };
  const worse = isWorse(appraisal, receipt);
  const most = MAX_APPRAISALS + (worse ? KEPT_FREE.appraisals : 0);
  return judged.appraisals.length <= most && canBeRead(judged, worse ? 2 : 1);
}
