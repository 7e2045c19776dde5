import { evidenceOf } from "../evidence/methods/methods.ts";
import { isLaterShare } from "../evidence/payment-binding.ts";
import { costIn } from "../evidence/settlement.ts";
import { withoutDisputed } from "./disputed.ts";
import type { Appraisal, Evidence, Receipt, SettlementEvidence } from "./schema.ts";

/** What became of a receipt's payment. `amount` in base units. */
export type Paid = {
  /** `authorized`: signed, and not seen on chain. `settled`: seen moved. `expired`: seen to have ended unused. */
  state: "authorized" | "settled" | "expired";
  /** Once settled, any surcharge of the token included; of a transfer for several calls this one's part. */
  amount: string;
  /**
   * True of a metered payment that is not settled: its seller may still settle any amount up to this one. True, too, of a
   * call's unknown part of a transfer for several calls.
   */
  atMost: boolean;
};

/** What a purchase cost, as far as the settlement in its receipt shows. */
export function paidAmount(receipt: Receipt): Paid {
  const { payment } = receipt.core;
  const settlement = withoutDisputed(receipt)
    .later.map(({ evidence }) => evidence)
    .findLast(isSettlement);
  if (settlement?.outcome === "expired") return { state: "expired", amount: "0", atMost: false };
  const judged = receipt.appraisals.at(-1)?.layers.settlement;
  if (settlement === undefined && judged?.code === "share_not_charged")
    return { state: "expired", amount: "0", atMost: false };
  // All of it stands with the first call.
  if (settlement === undefined && isLaterShare(payment)) return { state: "authorized", amount: "0", atMost: true };
  if (settlement === undefined)
    return { state: "authorized", amount: payment.amount, atMost: evidenceOf(payment).metered };
  const { amount } = costIn(settlement, payment);
  // Of a transfer for several calls a buyer's books tell this one's part; without them it is no more than the whole.
  const part = payment.share === undefined ? undefined : settlement.shared?.part;
  const isPart = part !== undefined && BigInt(part) <= amount && judged?.status === "pass";
  return {
    state: "settled",
    amount: (isPart ? BigInt(part) : amount).toString(),
    atMost: payment.share !== undefined && !isPart,
  };
}

export const isSettlement = (evidence: Evidence): evidence is SettlementEvidence => evidence.kind === "settlement.x402";

/**
 * Tells whether a receipt's payment rests on its maker's word. A failed layer shows nothing, except a token's surcharge seen on
 * the chain here; a reported one was not read here.
 */
export const isPaymentOnlyTold = ({ layers: { payment, settlement } }: Pick<Appraisal, "layers">): boolean =>
  [payment, settlement].some(
    ({ status, code }) => status === "reported" || (status === "fail" && code !== "token_moved_more"),
  );
