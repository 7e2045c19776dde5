import { movedBy } from "../evidence/settlement.ts";
import type { Receipt, SettlementEvidence } from "./schema.ts";

/**
 * What a purchase cost, base units. `atMost` is true of an `upto` payment whose settlement is not known: its seller may
 * still settle any amount up to this one.
 */
export function paidAmount(receipt: Receipt): { amount: string; atMost: boolean } {
  const { payment } = receipt.core;
  if (payment.scheme !== "upto") return { amount: payment.amount, atMost: false };
  const settlement = receipt.later.find(
    (later): later is { at: string; evidence: SettlementEvidence } => later.evidence.kind === "settlement.x402",
  );
  const moved = settlement === undefined ? null : movedBy(settlement.evidence, payment);
  return moved === null ? { amount: payment.amount, atMost: true } : { amount: moved.toString(), atMost: false };
}
