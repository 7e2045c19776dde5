/** Why sellers are put on hold, besides the layers that failed of a receipt. */
export const HOLD_REASONS = {
  paid_not_served: "A payment was taken and never answered.",
  paid_and_refused: "A payment was taken and answered with an error.",
  payments_in_doubt: "Several payments were sent that brought no answer and may still be taken.",
  answer_empty: "A payment was taken and answered with nothing.",
  answer_undecoded: "A paid answer came in a content coding that cannot be decoded.",
  answers_cut: "Of several paid answers only the beginning came.",
  moved_more_than_told: "Calls on one authorization were settled for more than the seller told of all of them.",
  evidence_withheld: "Evidence that the seller promises did not come.",
} as const;

/** A code of those, and the case in words. */
export type HoldReason = `${keyof typeof HOLD_REASONS}: ${string}`;
