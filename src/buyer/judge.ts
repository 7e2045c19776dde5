import { wantedAssurance } from "../receipts/newest.ts";
import type { Appraisal, Assurance, Evidence, Receipt } from "../receipts/schema.ts";
import type { Config } from "../config/schema.ts";
import { createEzklEngine } from "../ezkl/engine.ts";
import { readPurchaseByReceipt } from "../payment/journal.ts";
import { withBodies } from "../receipts/receipt.ts";
import { readReceipt } from "../receipts/store.ts";
import type { Db } from "../storage/database.ts";
import { appraise } from "../verify/appraise.ts";
import { isOfChain, isOwnAmong } from "../verify/find-evidence.ts";
import { sellerOf } from "../verify/policy.ts";
import { createVerificationCache } from "../verify/verification-cache.ts";
import type { Outstanding } from "../verify/types.ts";
import { ON_CHAIN, requiredLayers } from "../verify/verdict.ts";
import { appraisalPolicyOf, type BuyerContext } from "./context.ts";
import { JOB_HANDLERS } from "./background/jobs/handlers.ts";
import { askedOnce, joinedWithStored, leavesOutProof, withPieces } from "./join.ts";
import { rivalsOf } from "./rivals.ts";
import { createQueue, type JobState } from "./background/queue.ts";

/** What judging takes: a stored buyer, whether or not one is running. */
export type JudgeContext = Pick<BuyerContext, "config" | "db" | "clock" | "session" | "ezkl" | "queue" | "handlers">;

/** Judges from a store without a running buyer: nothing is bought, waited for or written. */
export const judgeContext = (config: Config, db: Db): JudgeContext => ({
  config,
  db,
  clock: () => new Date(),
  session: createVerificationCache(),
  ezkl: createEzklEngine(),
  queue: createQueue(db),
  handlers: JOB_HANDLERS,
});

/**
 * Appraises a receipt under this buyer's policy, as of the moment the answer came (our own clock, recorded in the
 * receipt) unless an auditor names another time. `jobs` is what the queue holds for it, read there when absent; `own`
 * is what this buyer saw of it itself, read in its store when absent. `read` is fresh evidence from the chain, in place
 * of older sightings, and `awaited` the parts not on chain yet. `file` is the receipt as it came, before the chain was read
 * for it. `beside` is a receipt about to be stored beside it. `asItStands`: nothing that it lacks is added from the store.
 */
export async function judgeReceipt(
  caller: JudgeContext,
  receipt: Receipt,
  options: {
    assurance: Assurance;
    evaluateAt?: Date | undefined;
    jobs?: readonly JobState[];
    own?: readonly Evidence[];
    read?: readonly Evidence[] | undefined;
    awaited?: readonly Outstanding[] | undefined;
    file?: Receipt | undefined;
    beside?: Receipt;
    asItStands?: boolean;
  },
): Promise<Appraisal> {
  const ctx = { ...caller, ezkl: askedOnce(caller.ezkl) };
  const { read, file = receipt } = options;
  const jobs = options.jobs ?? (await ctx.queue.of(ctx.db, receipt.id));
  const stored = options.own === undefined ? await ownReceipt(ctx, receipt.id) : null;
  const known = options.own ?? stored?.later.map(({ evidence }) => evidence) ?? null;
  const seen = read === undefined ? known : (known?.filter((evidence) => !isOfChain(evidence)) ?? null);
  const own = [...(seen ?? []), ...(read ?? [])];
  // By whose the purchase is, and not by whether anything was seen of it.
  const joined =
    seen === null && options.asItStands !== true ? await joinedWithStored(ctx, receipt, read !== undefined) : null;
  // What a caller brings as its own is of this buyer's purchase itself.
  const rivals =
    options.own === undefined
      ? await rivalsOf(ctx.db, receipt, { beside: options.beside, holdsUp: (rival) => holdsUp(ctx, rival, options) })
      : undefined;
  const judge = (whole: Receipt): Promise<Appraisal> =>
    appraise(
      {
        receipt: whole,
        policy: appraisalPolicyOf(ctx.config, options.assurance),
        now: ctx.clock(),
        evaluateAt: options.evaluateAt ?? new Date(receipt.core.response.receivedAt),
        own: seen === null && read === undefined ? undefined : own,
        madeHere: known !== null,
        rivals,
        ezkl: ctx.ezkl,
        outstanding: [...jobs.flatMap((job) => outstandingOf(ctx, job)), ...(options.awaited ?? [])],
      },
      ctx.session,
    );
  // What a file leaves out is known here, and so is what it contradicts.
  const whole = stored === null || options.asItStands === true ? receipt : withBodies(receipt, stored);
  const appraisal = await judge(joined?.receipt ?? (seen === null ? whole : withMore(whole, seen)));
  if (appraisal.verdict !== "verified" || joined === null) return appraisal;
  // A file that cannot be joined is judged no better than what is stored, and one whose proof is left out no better than that.
  if (joined.refused !== null) {
    const without = await judge(joined.refused);
    if (without.verdict !== "verified") return without;
  }
  if (!leavesOutProof(file, joined.receipt)) return appraisal;
  const alone = await judge({ ...file, appraisals: [] });
  return alone.verdict !== "verified" && alone.layers.computation.status === "fail" ? alone : appraisal;
}

/**
 * Whether an imported receipt would be verified by itself, the chain aside: what a chain shows of a payment, it shows of
 * each receipt of it. Judges its evidence and knows of no other receipt, so two of them never judge each other in turn.
 */
async function holdsUp(
  ctx: JudgeContext,
  rival: Receipt,
  { assurance, evaluateAt }: { assurance: Assurance; evaluateAt?: Date | undefined },
): Promise<boolean> {
  const policy = appraisalPolicyOf(ctx.config, assurance);
  const required = requiredLayers(policy, sellerOf(policy, rival.core.seller.id)).filter(
    (layer) => !ON_CHAIN.includes(layer),
  );
  const { verdict, layers } = await appraise(
    {
      receipt: { ...rival, appraisals: [] },
      policy: { ...policy, requiredLayers: required },
      now: ctx.clock(),
      evaluateAt: evaluateAt ?? new Date(rival.core.response.receivedAt),
      ezkl: ctx.ezkl,
    },
    ctx.session,
  );
  // Without a layer of the chain among the required ones, a verdict waits for nothing but a dispute about it, or about proofs.
  return verdict === "verified" || (verdict === "pending" && layers.computation.status !== "pending");
}

/**
 * Appraises any receipt as every surface does. A receipt's own word for what was asked of it is its maker's: only a stored
 * purchase's own record counts.
 */
export async function judgeAgain(
  ctx: JudgeContext,
  receipt: Receipt,
  {
    at,
    assurance,
    read,
    awaited,
    file,
  }: {
    at?: Date | undefined;
    assurance?: Assurance | undefined;
    read?: readonly Evidence[] | undefined;
    awaited?: readonly Outstanding[] | undefined;
    file?: Receipt | undefined;
  },
): Promise<Appraisal> {
  return judgeReceipt(ctx, receipt, {
    assurance: assurance ?? (await wantedOf(ctx, receipt.id)),
    read,
    awaited,
    file,
    evaluateAt: at,
  });
}

/** The stored receipt of an own purchase, with what this buyer saw of it, or null for any other receipt. */
async function ownReceipt(ctx: JudgeContext, id: string): Promise<Receipt | null> {
  return (await readPurchaseByReceipt(ctx.db, id)) === null ? null : readReceipt(ctx.db, id);
}

/**
 * The assurance to judge a receipt by if its reader names none. An own purchase was asked for at one. An imported receipt
 * goes by the policy of now.
 */
export async function wantedOf(ctx: JudgeContext, id: string): Promise<Assurance> {
  const byDefault = ctx.config.verification.assurance;
  const own = await ownReceipt(ctx, id);
  return own === null ? byDefault : wantedAssurance(own, byDefault);
}

/**
 * Judges a file about an own purchase with everything known of it here. A part left out or told otherwise counts. No
 * word of the file disputes this buyer's own sight.
 */
function withMore(file: Receipt, known: readonly Evidence[]): Receipt {
  const later = file.later.filter(({ evidence }) => evidence.kind !== "disputed");
  const isTold = isOwnAmong(later.map(({ evidence }) => evidence));
  return withPieces(
    { ...file, later },
    known.filter((evidence) => !isTold(evidence)),
  );
}

/** A job's meaning for its layer. */
function outstandingOf(ctx: JudgeContext, { kind, done, absent }: JobState): Outstanding[] {
  const handler = ctx.handlers.find((one) => one.kind === kind);
  if (handler === undefined) return [];
  const { layer, awaited } = handler;
  if (!done) return awaited === undefined ? [] : [{ layer, status: "pending", ...awaited }];
  const word = absent === null ? null : handler.absent(absent);
  return word === null ? [] : [{ layer, ...word, holdsVerdict: false }];
}
