/** The owner's word on a payment, given elsewhere; `waits` holds the id that it can be given by, and its end in unix ms. */
export type Word = { kind: "approved" } | { kind: "declined" } | { kind: "waits"; id: string; endsAt: number };

/** How a question ends without its owner's word. */
export type Ending = "declined" | "withdrawn";

/** The owner's word on the question of one call, given elsewhere: with `proof402 approvals`, or on the owner's page. */
export type OwnersWord = {
  /** Has the question wait for the word, or uses up the one that is there. */
  ask(): Promise<Word>;
  /**
   * Waits for the word on the question under this id, and uses it up. Throws Proof402Error `approval_required` once the question
   * waits no more, and `aborted` once the caller gives up.
   */
  wait(id: string): Promise<"approved" | "declined">;
  /**
   * Ends the question under this id, once the person or their client is done with it. `declined` turns it down, a yes given before
   * included. `withdrawn` takes it and such a yes back, and gives `declined` if the owner has declined it. Throws Proof402Error
   * `approval_declined` or `approval_cancelled` if another call has used the yes meanwhile.
   */
  end(id: string, how: Ending): Promise<"cancelled" | "declined">;
};
