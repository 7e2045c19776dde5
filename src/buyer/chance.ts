/**
 * What a call's payment can still do: bring an answer, or nothing at all. `undecided` lies between them: it is sent no
 * more, and the chain has not shown whether the seller used it. `taken`: the seller did.
 */
export type Chance = "open" | "undecided" | "taken" | "over";

/** What to do about an answer that is missing, by what its payment can still do; null if the payment can bring it. */
export const SPENT: Readonly<Record<Chance, string | null>> = {
  open: null,
  undecided:
    "This payment can bring no answer any more, and the chain does not show yet whether it moved money. Call again with the same idempotency key in a minute to learn it.",
  taken:
    "This payment is settled, for this call or for others that share it, and can bring no answer any more. A call under a new key would be paid again.",
  over: "This payment can move no money any more. To pay for an answer, call under a new idempotency key.",
};
