/** What a node tells of its work, to be counted. It names no payer, no request and no key. */
export type NodeObservation =
  | { kind: "computed"; model: string; seconds: number }
  /** `amount` in base units of `asset`, an address. Under vouchers it was granted, and a claim moves it later. */
  | { kind: "settled"; model: string; asset: string; amount: bigint };

export type Observe = (observation: NodeObservation) => void;

/** Counting never costs an answer. */
export const harmless =
  (observe: Observe | undefined): Observe =>
  (observation) => {
    try {
      observe?.(observation);
    } catch {
      // What it counts with is the caller's own.
    }
  };
