import { setTimeout as pause } from "node:timers/promises";
import { Proof402Error } from "../errors.ts";
import { evidenceOf } from "../evidence/methods/methods.ts";
import type { Payment } from "../receipts/schema.ts";
import type { Db } from "../storage/database.ts";
import type { Chain } from "../chain/chain.ts";
import { AHEAD_SECONDS } from "./clocks.ts";
import { lookAt } from "./settlement.ts";
import type { SettlementView, Sight } from "./settlement-view.ts";
import { noteHead, noteSighting, readHead, readSighting, type SeenHead, type Sighting } from "./sightings.ts";

/** Errors of a look that name the RPC's fault. */
const TOLD = ["wrong_chain", "contract_missing", "chain_answer_unusable"] as const;

/** Why nothing is concluded, beyond that the chain has not decided yet. */
export type Doubt =
  | "network_not_configured"
  | "chain_unreachable"
  | (typeof TOLD)[number]
  /** The RPC contradicts an earlier sighting, the seller's word, our clock or the second RPC. */
  | "contradicted";

/** What may be concluded of a payment. */
export type Belief =
  | Exclude<SettlementView, { state: "pending" }>
  /** `again` once a second look is due that may conclude it, ms. */
  | { state: "pending"; doubt: Doubt | null; again?: number };

/** What is asked about. Times by our own clock. */
export type Question = {
  db: Db;
  chain: Chain | undefined;
  payment: Payment;
  now: Date;
  /** When it was signed at the earliest. */
  since: Date;
  /** The seller's word for the transaction, where it is not among what is kept. */
  transactionHint?: string | undefined;
  signal?: AbortSignal | undefined;
};

/** How far apart two looks are that release an authorization, ms. */
const APART_MS = 2000;
/** How far one of an RPC's nodes may be behind another, seconds. */
const LAG_SECONDS = 900;
/** How far apart they are where the seller says that it was paid, ms: by then each node of the RPC would show it. */
const CLAIMED_APART_MS = LAG_SECONDS * 1000;

/**
 * What became of a payment, as far as it may be believed (threats T37, T39): an RPC is a witness, not a judge.
 * - `expired` gives money back to the caps. It takes two looks some time apart, the authorization's end by our clock
 *   and the chain's, a chain that has not gone back, and no earlier sighting to the contrary. If a seller claims a
 *   payment by a transaction no RPC ever showed, the two looks are a long time apart. Where a second RPC agrees, it
 *   outweighs what was seen or said before.
 * - Where a second RPC is configured, it must agree to `settled`, too.
 *
 * Never throws for a chain that does not answer. What is seen is kept in the database, for later looks to be held against.
 */
export async function believe(question: Question): Promise<Belief> {
  const first = await lookOnce(question);
  const { signal } = question;
  if (first.state !== "pending" || first.again === undefined || signal?.aborted === true) return first;
  await pause(first.again, undefined, signal === undefined ? {} : { signal }).catch(() => undefined);
  return lookOnce({ ...question, now: new Date(question.now.getTime() + first.again) });
}

/** As {@link believe}, with one look: for callers that come again later, or look at many payments. */
export async function lookOnce(question: Question): Promise<Belief> {
  const { db, chain, payment, now } = question;
  if (chain === undefined) return inDoubt("network_not_configured");
  const [known, newest] = await Promise.all([readSighting(db, payment), readHead(db, chain.network)]);
  const sight = await look(chain, question, known);
  if (typeof sight === "string") return inDoubt(sight);
  const { view, head } = sight;
  const ended = view.state === "expired" && isOver(payment, now);
  const endedSince = ended ? Math.min(known.endedSince ?? now.getTime(), now.getTime()) : null;
  if (endedSince !== known.endedSince || (sight.spent === true && !known.spent))
    await noteSighting(db, payment, { spent: sight.spent === true, endedSince });
  const place = newest === null ? "onward" : placeOf(head, newest);
  const ahead = head.time > now.getTime() / 1000 + AHEAD_SECONDS;
  if (place === "onward" && !ahead) await noteHead(db, chain.network, head);

  const unspent = known.spent && sight.spent === false;
  if (view.state === "pending") return inDoubt(unspent && place !== "lagging" ? "contradicted" : null);
  const seconded = await isSeconded(chain, question, known, view);
  if (seconded !== true) return inDoubt(seconded);
  if (view.state === "settled") return view;
  if (ahead) return inDoubt("contradicted");
  if (endedSince === null || place === "lagging") return inDoubt(null);
  if ((place === "elsewhere" || unspent) && chain.witness === null) return inDoubt("contradicted");
  const since = now.getTime() - endedSince;
  if (known.claimed && chain.witness === null) return since < CLAIMED_APART_MS ? inDoubt("contradicted") : view;
  const left = APART_MS - since;
  return left <= 0 ? view : { state: "pending", doubt: null, again: left };
}

const inDoubt = (doubt: Doubt | null): Belief => ({ state: "pending", doubt });

/** Whether the authorization is over by our own clock, too. One that is claimed has no end. */
const isOver = (payment: Payment, now: Date): boolean =>
  evidenceOf(payment).claimed || now.getTime() / 1000 > payment.validBefore;

/**
 * A block's place relative to the newest one seen before: after it, a little behind (one of many nodes may be), or on a
 * chain without it.
 */
function placeOf(head: SeenHead, newest: SeenHead): "onward" | "lagging" | "elsewhere" {
  if (head.number >= newest.number && head.time >= newest.time) return "onward";
  const isBehind = head.number <= newest.number && head.time <= newest.time;
  return isBehind && newest.time - head.time <= LAG_SECONDS ? "lagging" : "elsewhere";
}

async function look(
  chain: Chain,
  { payment, since, transactionHint, signal }: Question,
  known: Sighting,
): Promise<Sight | Doubt> {
  try {
    return await lookAt(chain, payment, {
      transactionHint: transactionHint ?? known.transaction ?? undefined,
      since: Math.floor(since.getTime() / 1000),
      signal,
    });
  } catch (error) {
    if (!Proof402Error.isInstance(error)) throw error;
    return TOLD.find((code) => code === error.code) ?? "chain_unreachable";
  }
}

/** Whether the second RPC, where one is configured, says the same; else why not, or null where it has not come as far. */
async function isSeconded(
  { witness }: Chain,
  question: Question,
  known: Sighting,
  view: Exclude<SettlementView, { state: "pending" }>,
): Promise<true | Doubt | null> {
  if (witness === null) return true;
  const transactionHint = view.state === "settled" ? (view.transaction ?? undefined) : undefined;
  const second = await look(witness, { ...question, transactionHint }, known);
  if (typeof second === "string") return second;
  if (second.view.state === "pending") return view.state === "expired" && second.spent === true ? "contradicted" : null;
  return isSame(view, second.view) ? true : "contradicted";
}

const isSame = (one: SettlementView, other: SettlementView): boolean =>
  one.state === "settled" && other.state === "settled"
    ? one.transaction === other.transaction && one.amount === other.amount
    : one.state === other.state;
