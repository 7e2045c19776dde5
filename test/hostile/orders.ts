import type { ConfigInput } from "../../src/config/schema.ts";

/** Steps of the purchase that the buyer reports, and four that lie between them. */
export const FAULTS = [
  "chosen",
  "attested",
  "quoted",
  "reserved",
  "signing",
  "signature",
  "paid",
  "on the wire",
  "answered",
  "checked",
  "settled",
] as const;
export type Fault = (typeof FAULTS)[number];

export type Orders = {
  config: ConfigInput;
  privateKey: string;
  /** One purchase for each, in order; with `atOnce`, all together. */
  keys: string[];
  /** The question of each, else all have one. */
  asks?: { model: string; seller: string; input: Record<string, unknown> }[];
  atOnce?: boolean;
  /** Where it dies in the last purchase: at a step, or so many ms after that purchase began. */
  die?: Fault | number;
  /** Where it is stopped in the last purchase, as by SIGSTOP; SIGCONT lets it go on. */
  stop?: Fault;
};
/** What became of each purchase; of one that failed, what it said of it. `receipt`: null where the database did not take it. */
export type Said = { key: string; code: string; receipt: string | null; message?: string; money?: string };

/** Moments of a piece of later evidence: looked for, found, being written, written. */
export const MOMENTS = ["looking", "found", "landing", "landed"] as const;
/** The jobs of the second clock whose landings are died at. */
export const KINDS = ["settlement", "inclusion", "proof", "replay"] as const;
export type Place = { kind: string; moment: (typeof MOMENTS)[number] };

/** Orders of a process that also does what comes after its answers. */
export type ClockOrders = Pick<Orders, "config" | "privateKey" | "keys"> & {
  /**
   * What happens to it: at a moment of a landing for its last purchase, or so many ms after that one's answer. Without it,
   * it ends when no job is open.
   */
  fate?: { signal: "SIGKILL" | "SIGSTOP"; at: Place | number };
};
/** An answer, the signal that it is about to get, or how long after its last answer all was there. */
export type ClockSaid = { key: string; receipt: string } | { struck: string } | { doneMs: number };
