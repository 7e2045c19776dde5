import type { Proof402Error, ErrorCode } from "../errors.ts";
import { aboutRival } from "../receipts/newest.ts";
import { ASSURANCES, type Appraisal, type Receipt } from "../receipts/schema.ts";
import type { Requirement } from "./requirement.ts";
import { signedAt } from "./signed-time.ts";

/** Why an action was not run: for a model as text, for a program as data. */
export type Refusal = {
  text: string;
  error: { code: ErrorCode; message: string; money: "not-moved"; next: string };
  /** The action's own error, if it did not happen. */
  thrown?: Proof402Error;
};

/** Text and data of one refusal. */
export const refusal = (code: ErrorCode, message: string, next: string): Refusal => ({
  text: `Refused (${code}): ${message} ${next}`,
  error: { code, message, money: "not-moved", next },
});

/** What to do where only another receipt will do. */
export const buyAgain = ({ assurance }: Requirement): string =>
  `Buy again with buy_inference and assurance "${assurance}", wait until it is verified, then use the new receipt.`;

/** Why a receipt does not meet a requirement, or null. Its answer and the arguments are compared after this. */
export function judge(required: Requirement, receipt: Receipt, appraisal: Appraisal): Refusal | null {
  if (appraisal.verdict === "pending") {
    return refusal(
      "receipt_pending",
      "The receipt is not verified yet.",
      `Call get_receipt with id ${receipt.id} and wait_seconds 30, then try again.`,
    );
  }
  const reached = ASSURANCES.indexOf(appraisal.assurance) >= ASSURANCES.indexOf(required.assurance);
  if (appraisal.verdict !== "verified" || !reached) {
    // Which one of several receipts is this buyer's own is what helps a caller that named another.
    const rival = aboutRival(appraisal);
    return refusal(
      "receipt_not_verified",
      `The receipt's verdict is ${appraisal.verdict} with assurance ${appraisal.assurance}.${rival === null ? "" : ` ${rival}`}`,
      buyAgain(required),
    );
  }
  if (appraisal.simulated && !required.allowSimulated) {
    return refusal("receipt_simulated", "The receipt's hardware is simulated.", "Use a seller on real hardware.");
  }
  return judgeSource(required, receipt) ?? judgeAge(required, receipt, appraisal);
}

/** Compares the answer's model and seller. */
function judgeSource({ models, sellers }: Requirement, { core }: Receipt): Refusal | null {
  if (models !== null && !models.includes(core.request.model)) {
    return refusal(
      "receipt_other_model",
      "The receipt's answer is of another model.",
      `Buy from one of: ${models.join(", ")}.`,
    );
  }
  if (sellers === null || sellers.includes(core.seller.id)) return null;
  return refusal(
    "receipt_other_seller",
    "The receipt's answer is of another seller.",
    `Buy from one of: ${sellers.join(", ")}.`,
  );
}

/** The older of the signed time and the time of receipt counts, so that neither can make an answer younger. */
export function judgeAge(required: Requirement, receipt: Receipt, appraisal: Appraisal): Refusal | null {
  const received = Date.parse(receipt.core.response.receivedAt);
  const answered = Math.min(received, signedAt(receipt, appraisal) ?? received);
  const age = (required.clock().getTime() - answered) / 1000;
  const again = buyAgain(required);
  if (age < 0) return refusal("receipt_of_future", "The receipt's answer is of a time that has not come.", again);
  if (age <= required.maxAge) return null;
  return refusal(
    "receipt_too_old",
    `The receipt is ${Math.round(age)} s old; at most ${required.maxAge} s are accepted.`,
    again,
  );
}
