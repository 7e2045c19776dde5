import type { Receipt, SettlementEvidence } from "../../src/receipts/schema.ts";

/** The settlements that came to a receipt after delivery: one, where all is well. */
export const settlementsOf = (receipt: Receipt): SettlementEvidence[] =>
  receipt.later.flatMap(({ evidence }) =>
    evidence.kind === "settlement.x402" ? [evidence as SettlementEvidence] : [],
  );
