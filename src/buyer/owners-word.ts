/** The owner's word on a payment, given elsewhere; `waits` holds the id that it can be given by, and its end in unix ms. */
export type Word = { kind: "approved" } | { kind: "declined" } | { kind: "waits"; id: string; endsAt: number };

/** The owner's word on the question of one call, given elsewhere: with `proof402 approvals`, or on the owner's page. */
export type OwnersWord = {
  /** Has the question wait for the word, or uses up the one that is there. */
  ask(): Promise<Word>;
  /**
   * Waits for the word on the question under this id, and uses it up. Throws Proof402Error `approval_required` once the question
   * waits no more, and `aborted` once the caller gives up.
   */
  wait(id: string): Promise<"approved" | "declined">;
};
