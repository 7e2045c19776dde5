/** Decisions as they were logged. They are only ever added. */
export type DecisionsTable = {
  /** `dec_` and the hash of the rest of it. */
  id: string;
  /** Number of its entry in the log. */
  seq: number;
  /** Unix ms. */
  at: number;
  purpose: string;
  /** The decision as RFC 8785 JSON. */
  json: string;
};
