import type { Appraisal, Assurance, Receipt } from "./schema.ts";

/** The assurance a stored purchase was asked for: that of its first appraisal. */
export const wantedAssurance = (receipt: Receipt, fallback: Assurance): Assurance =>
  receipt.appraisals[0]?.wanted ?? fallback;

/** The newest appraisal, which a stored receipt always has. Throws if there is none. */
export function newestAppraisal(receipt: Receipt): Appraisal {
  const newest = receipt.appraisals.at(-1);
  if (newest === undefined) throw new Error(`receipt ${receipt.id} has no appraisal`);
  return newest;
}

/** What a verdict says of another receipt of the purchase that took its pass away, or null. It names that receipt. */
export function aboutRival({ layers }: Appraisal): string | null {
  const { code, note } = layers.payment;
  return code === "purchase_differs" || code === "purchase_contested" ? note : null;
}
