import type { Assurance, Verdict } from "../receipts/schema.ts";
import type { ApprovalsTable, PurchaseState } from "../storage/tables.ts";

/** A token's amount, in base units. */
type Sum = { network: string; asset: string; amount: string };

/** One change of money or of a verdict, by any process. Times in unix ms. */
export type Change = { at: number } & (
  | ({
      kind: "payment";
      /** The attempt's id. `amount` is a ceiling until it is settled. */
      id: string;
      state: PurchaseState;
      seller: string;
      model: string;
      payTo: string;
      receiptId: string | null;
      idempotencyKey: string;
      reason: string | null;
    } & Sum)
  | ({
      kind: "approval";
      id: string;
      state: ApprovalsTable["state"];
      seller: string;
      model: string;
      payTo: string;
      endsAt: number;
    } & Sum)
  | {
      kind: "verdict";
      receiptId: string;
      verdict: Verdict;
      /** Null for the first verdict. */
      before: Verdict | null;
      assurance: Assurance;
      simulated: boolean;
      seller: string;
      model: string;
    }
  | { kind: "import"; receiptId: string; seller: string; model: string }
  | { kind: "hold"; seller: string; state: "set" | "released"; reason: string; receiptId: string | null }
  | { kind: "action"; id: string; state: string; action: string; receiptId: string }
  | { kind: "stop"; id: string; state: "ordered" | "ended"; reason: string }
  | { kind: "decision"; id: string; purpose: string; subject: string; outcome: string }
);
