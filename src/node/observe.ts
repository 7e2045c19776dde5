/** What a node tells of its work, to be counted. It names no payer, and of a request only its hash. */
export type NodeObservation =
  | { kind: "computed"; model: string; seconds: number }
  /** `amount` in base units of `asset`, an address. Under vouchers it was granted, and a claim moves it later. */
  | { kind: "settled"; model: string; asset: string; amount: bigint }
  /** A row of the node's database that it could not read: it stays in the file, and nothing comes of it. */
  | { kind: "set_aside"; shelf: string; id: string };

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
