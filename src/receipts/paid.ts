import { evidenceOf } from "../evidence/methods/methods.ts";
import { costIn } from "../evidence/settlement.ts";
import { withoutDisputed } from "./disputed.ts";
import type { Receipt, SettlementEvidence } from "./schema.ts";

/** What became of a receipt's payment. `amount` in base units. */
export type Paid = {
  /** `authorized`: signed, and not seen on chain. `settled`: seen moved. `expired`: seen to have ended unused. */
  state: "authorized" | "settled" | "expired";
  /** Once settled, any surcharge of the token included. */
  amount: string;
  /** True of a metered payment that is not settled: its seller may still settle any amount up to this one. */
  atMost: boolean;
};

/** What a purchase cost, as far as the settlement in its receipt shows. */
export function paidAmount(receipt: Receipt): Paid {
  const { payment } = receipt.core;
  const settlement = withoutDisputed(receipt).later.findLast(
    (later): later is { at: string; evidence: SettlementEvidence } => later.evidence.kind === "settlement.x402",
  )?.evidence;
  if (settlement?.outcome === "expired") return { state: "expired", amount: "0", atMost: false };
  if (settlement === undefined)
    return { state: "authorized", amount: payment.amount, atMost: evidenceOf(payment).metered };
  return { state: "settled", amount: costIn(settlement, payment).amount.toString(), atMost: false };
}
