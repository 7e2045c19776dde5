import type { SettlementEvidence } from "../receipts/schema.ts";

/** What the chain says became of an authorization. */
export type SettlementView =
  | {
      state: "settled";
      evidence: SettlementEvidence;
      /** 0x hex; null of a voucher, which a claim settles together with others. */
      transaction: string | null;
      /** What moved, base units. */
      amount: string;
      /** `token_moved_more` where the token took more from the payer than the authorization says. */
      fault: "token_moved_more" | null;
    }
  /** Not decided, or not deep enough in the chain. */
  | { state: "pending" }
  /** It can never be used: it ran out unused, or its owner canceled it. */
  | {
      state: "expired";
      reason: "authorization_expired" | "authorization_canceled" | "channel_closed";
      evidence: SettlementEvidence;
    };

/** What one look at the chain saw of a payment. */
export type Sight = {
  view: SettlementView;
  /** The newest block. */
  head: { number: bigint; time: number };
  /** Tells whether its authorization is used or canceled in that block; null of a voucher. */
  spent: boolean | null;
};
