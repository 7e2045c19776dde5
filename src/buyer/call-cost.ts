/** What a call may cost in all with one offer, before its authorization is signed. */
export type CallCost = {
  idempotencyKey: string;
  network: string;
  asset: string;
  /** Base units: the offer, and earlier payments of the same call that are still out. */
  amount: string;
  /** The part of `amount` by those earlier payments, base units. */
  earlier: string;
  decimals: number;
  /** Whether the policy says that the token is worth a dollar. */
  usdStable: boolean;
};

/** What one attempt at a call has cost or may still cost. */
export type AttemptCost = Pick<CallCost, "network" | "asset" | "amount" | "decimals" | "usdStable">;

/** Reads calls' costs back. */
export interface CallCosts {
  /**
   * What each attempt at a call has cost or may still cost, as the journal has it now: the moved amount, else the authorized
   * one. Attempts that can move nothing any more are left out.
   */
  callCosts(idempotencyKey: string): Promise<AttemptCost[]>;
}
