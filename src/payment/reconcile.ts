import { setTimeout as pause } from "node:timers/promises";
import { isLaterShare } from "../evidence/payment-binding.ts";
import type { Db } from "../storage/database.ts";
import type { Chain } from "../chain/chain.ts";
import { readClaims } from "./channel-books.ts";
import { markSettled, openPurchases, release } from "./journal.ts";
import { NEVER_SIGNED } from "./reasons.ts";
import { forgetEnded } from "./shared.ts";
import type { PurchaseRecord, Transition } from "./types.ts";
import { lookOnce } from "./witness.ts";

/** Age of an unsigned reservation at which its process counts as gone, ms. */
const STALE_RESERVATION_MS = 120_000;

/** What one walk over the open purchases changed; `pending` ones are looked at again at the next. */
export type ReconcileSummary = {
  settled: number;
  released: number;
  pending: number;
  /** CAIP-2 networks without configuration, with a silent RPC, or with an RPC of another chain. */
  unreachable: string[];
  /**
   * CAIP-2 networks with an RPC that contradicts an earlier sighting, an earlier word, or the second RPC: nothing is
   * released on it.
   */
  contradicted: string[];
  /** Idempotency keys of purchases with more moved than authorized, counted at the moved sum. */
  overcharged: string[];
};

/**
 * Brings the journal in line with the chain (docs/architecture.md §6.4): settles moved money, and releases
 * authorizations past use and unsigned reservations. Every change is a compare-and-set, so it may run any number of
 * times and in several processes at once. Never throws for a chain that does not answer.
 *
 * What ended unused takes two looks some time apart. With `secondLook` false the second is left to the next walk.
 */
export async function reconcile(options: {
  db: Db;
  chains: ReadonlyMap<string, Chain>;
  now: Date;
  secondLook?: boolean;
  signal?: AbortSignal | undefined;
}): Promise<ReconcileSummary> {
  const { db, secondLook = true, signal } = options;
  const summary: ReconcileSummary = {
    settled: 0,
    released: 0,
    pending: 0,
    unreachable: [],
    contradicted: [],
    overcharged: [],
  };
  const again: PurchaseRecord[] = [];
  let wait = 0;
  await readClaims(db, options.chains, options.now);
  await forgetEnded(db, options.now);
  for (const purchase of withoutShares(await openPurchases(db))) {
    const ended = await reconcileOne(options, purchase, summary);
    if (ended === null || !secondLook) continue;
    again.push(purchase);
    wait = Math.max(wait, ended);
  }
  if (again.length === 0) return summary;
  await pause(wait, undefined, signal === undefined ? {} : { signal }).catch(() => undefined);
  const later = new Date(options.now.getTime() + wait);
  for (const purchase of again) {
    summary.pending -= 1;
    await reconcileOne({ ...options, now: later }, purchase, summary);
  }
  return summary;
}

/** Of calls that share an authorization the first one's look decides all; unsigned ones are given up one by one. */
function withoutShares(open: readonly PurchaseRecord[]): PurchaseRecord[] {
  const first = new Set(
    open.filter(({ payment }) => payment.share?.first === true).map(({ payment }) => payment.nonce),
  );
  return open.filter(
    ({ payment, state }) => !isLaterShare(payment) || state === "reserved" || !first.has(payment.nonce),
  );
}

/** Counts one purchase into the summary. The ms after which a second look may conclude, or null where none is due. */
async function reconcileOne(
  { db, chains, now, signal }: Parameters<typeof reconcile>[0],
  purchase: PurchaseRecord,
  summary: ReconcileSummary,
): Promise<number | null> {
  const { network } = purchase.payment;
  const count = (transition: Transition): null => {
    const { state } = transition;
    const final = state === "settled" || state === "released";
    summary[final && transition.ok && transition.changed ? state : "pending"] += 1;
    return null;
  };
  if (purchase.state === "reserved" && now.getTime() - purchase.createdAt > STALE_RESERVATION_MS) {
    // Safe against a process that is only slow: it cannot sign any more, since signing needs the state `reserved`.
    return count(await release(db, purchase.id, { reason: NEVER_SIGNED, now }));
  }
  if (purchase.state === "reserved" || summary.unreachable.includes(network)) {
    summary.pending += 1;
    return null;
  }
  const seen = await lookOnce({
    db,
    chain: chains.get(network),
    payment: purchase.payment,
    now,
    since: new Date(purchase.createdAt),
    signal,
  });
  if (seen.state === "settled") {
    if (seen.fault !== null) summary.overcharged.push(purchase.idempotencyKey);
    const { transaction, amount, fault } = seen;
    return count(await markSettled(db, purchase.id, { transaction, amount, reason: fault, now }));
  }
  if (seen.state === "expired")
    return count(await release(db, purchase.id, { reason: seen.reason, unusable: true, now }));
  summary.pending += 1;
  if (seen.doubt !== null) {
    const networks = seen.doubt === "contradicted" ? summary.contradicted : summary.unreachable;
    if (!networks.includes(network)) networks.push(network);
  }
  return seen.again ?? null;
}
