import type { ErrorCode } from "../../../errors.ts";

/** Why a piece of late evidence does not come, besides the error that ended the look for it. A layer's note shows the code. */
export const ABSENCES = {
  deadline_passed: "It did not come in time.",
  not_offered: "The seller knows of no proof of this answer.",
  not_proved: "The seller says that it cannot prove this answer.",
  not_signed: "No signature was read, so there is nothing to anchor.",
  relay_not_pinned: "The configuration names no relay contract for the seller.",
  not_published: "The configuration keeps the seller from publishing it, or names no place to read what is published.",
  model_not_held: "The configuration holds no file of this model, or the policy no digest of it.",
  share_not_charged: "Nothing of the settlement of the authorization that it shared was for it.",
  inputs_unreadable: "The runtime cannot be given the request's inputs exactly.",
  outputs_unreadable: "The runtime's outputs cannot be kept in a receipt.",
} as const;

export type AbsenceCode = keyof typeof ABSENCES | ErrorCode;
