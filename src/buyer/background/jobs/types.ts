import type { Evidence, Layer, Receipt } from "../../../receipts/schema.ts";
import type { Db } from "../../../storage/database.ts";
import type { Outstanding } from "../../../verify/types.ts";
import type { LeasedJob, NewJob } from "../queue.ts";
import type { AbsenceCode } from "./absences.ts";

/** Further writes in the transaction that ends the job. Where it throws, nothing is, and it is looked again later. */
type Alongside = { alongside?: (tx: Db, at: Date) => Promise<void> };
/** Evidence that a look brought. */
export type Landed = { state: "landed"; evidence: Evidence } & Alongside;
/** It was looked for until its deadline: `deadline_passed`, or the code or class name of the last error. */
export type GivenUp = { state: "absent"; code: string };
/** It will not come. `code` gives the reason, and the handler's `absent` its meaning. */
export type Absent = { state: "absent"; code: AbsenceCode } & Alongside;

/** What one look for a piece of evidence found. */
export type Look =
  | Landed
  /** Not yet: looked for again. */
  | { state: "waiting" }
  | Absent;

/** What is known when an answer was delivered, besides its receipt. */
export type Delivery = {
  /** The seller's word for the transaction that settled: tried first, never trusted. */
  transaction?: string;
};

/** How one kind of late evidence is come by. One file and one entry in `handlers.ts` each. */
export type JobHandler<Context> = {
  /** Its name in the queue, for good: jobs of it lie in databases. */
  kind: string;
  /** The layer that its evidence decides. */
  layer: Layer;
  /** The job of a receipt just made, or null where it needs none. */
  plan(ctx: Context, receipt: Receipt, delivery: Delivery): Pick<NewJob, "payload" | "deadline"> | null;
  /**
   * Looks once. After any exception it is looked for again. `signal` ends looks that take too long. A job may be looked
   * at again although an earlier look found something, so a look changes nothing outside.
   */
  look(ctx: Context, receipt: Receipt, job: LeasedJob, signal: AbortSignal): Promise<Look>;
  /** Milliseconds until the second look; each later one waits twice as long, up to a minute. */
  firstDelay(ctx: Context): number;
  /** How many of this kind one process runs at a time; all it has room for where absent. */
  atOnce?: number;
  /** Whether a seller that owes this evidence kept it back, by the code of its absence: such a one is put on hold. */
  withheld?: (code: string) => boolean;
  /** What the layer says until the evidence is there. The verifier's own word stands where absent. */
  awaited?: Pick<Outstanding, "code" | "note" | "holdsVerdict">;
  /** It has no deadline: it is looked for until a look says what became of it. */
  endless?: true;
  /**
   * What the layer says where the evidence did not come: the word after the deadline. `code` is that of the look or of the
   * last error, or `deadline_passed`. Null leaves it to the verifier.
   */
  absent: (code: string) => (Pick<Outstanding, "code" | "note"> & { status: "skip" | "fail" }) | null;
};
