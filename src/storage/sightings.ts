/** Everything seen of an authorization on chain and in the seller's words, so that a contradiction is noticed. */
export type SightingsTable = {
  authorization_hash: string;
  /** The transaction that the seller named. */
  transaction: string | null;
  /** 1 where the seller said that it was paid by it. */
  claimed: number;
  /** 1 once a chain has shown it as used or canceled. */
  spent: number;
  /** Since when every look has shown that it ended unused, unix ms. */
  ended_since: number | null;
};

/** The newest block that was seen of each network; time in unix seconds. */
export type ChainHeadsTable = { network: string; number: number; time: number };
