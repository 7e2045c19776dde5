import type { Candidate } from "../market/choose.ts";
import type { PurchaseRecord } from "../payment/types.ts";
import type { Attested } from "./attest.ts";
import type { Chosen } from "./choose.ts";
import type { Quote } from "./quote.ts";
import type { BuyResult } from "./types.ts";

/** What a call comes to next. */
export type Turn =
  | { kind: "result"; result: BuyResult }
  /**
   * Pays under a new authorization: of a seller still to be chosen, or after a fresh quote took a stale one's place.
   * `turnedDownBy` names the seller that turned a payment of this call down. `onWord`: an earlier
   * call's payment may still move, so one beside it is made only on a person's word for exactly that offer.
   */
  | { kind: "pay"; attempt: number; chosen: Chosen | null; turnedDownBy?: string; onWord?: boolean }
  /** Sends the very same authorization again. `failure` is the receipt of the seller's failure that an answer replaces. */
  | { kind: "again"; purchase: PurchaseRecord; failure: string | null };

/** A payment on its way: what it pays for, to whom, and how it came about. */
export type Paying = {
  candidate: Candidate;
  attested: Attested;
  purchase: PurchaseRecord;
  /** The offer it was made under, where this call made it; null for one that an earlier call made. */
  quote: Quote | null;
  /** The receipt of the seller's failure that an answer takes the place of. */
  failure: string | null;
};
