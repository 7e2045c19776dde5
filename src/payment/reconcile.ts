import { Proof402Error } from "../errors.ts";
import type { Db } from "../storage/database.ts";
import type { Chain } from "./chain.ts";
import { markSettled, openPurchases, release } from "./journal.ts";
import { observeSettlement } from "./settlement.ts";
import type { PurchaseRecord, Transition } from "./types.ts";

/** Age after which a reservation that was never signed belongs to a process that is gone, ms. */
const STALE_RESERVATION_MS = 120_000;

/** What one walk over the open purchases changed; `pending` ones are looked at again at the next. */
export type ReconcileSummary = {
  settled: number;
  released: number;
  pending: number;
  /** CAIP-2 networks that are not configured or whose RPC did not serve. */
  unreachable: string[];
};

/**
 * Brings the journal in line with the chain (DESIGN §6.4): settles what moved, releases what can no longer move and what
 * was reserved but never signed. Every change is a compare-and-set, so it may run any number of times and in several
 * processes at once. Never throws for a chain that does not answer.
 */
export async function reconcile(options: {
  db: Db;
  chains: ReadonlyMap<string, Chain>;
  now: Date;
}): Promise<ReconcileSummary> {
  const { db, chains, now } = options;
  const summary: ReconcileSummary = { settled: 0, released: 0, pending: 0, unreachable: [] };
  for (const purchase of await openPurchases(db)) {
    const outcome = await reconcileOne(db, chains, now, purchase, summary.unreachable);
    summary[outcome] += 1;
  }
  return summary;
}

async function reconcileOne(
  db: Db,
  chains: ReadonlyMap<string, Chain>,
  now: Date,
  purchase: PurchaseRecord,
  unreachable: string[],
): Promise<"settled" | "released" | "pending"> {
  const changed = (transition: Transition): boolean => transition.ok && transition.changed;
  if (purchase.state === "reserved") {
    // Safe against a process that is only slow: it cannot sign any more, since signing needs the state `reserved`.
    if (now.getTime() - purchase.createdAt <= STALE_RESERVATION_MS) return "pending";
    return changed(await release(db, purchase.id, { reason: "never_signed", now })) ? "released" : "pending";
  }
  const { network } = purchase.payment;
  if (unreachable.includes(network)) return "pending";
  const chain = chains.get(network);
  const seen = chain === undefined ? null : await observe(chain, purchase);
  if (seen === null) {
    unreachable.push(network);
    return "pending";
  }
  if (seen.state === "settled") {
    const { transaction, amount } = seen;
    return changed(await markSettled(db, purchase.id, { transaction, amount, now })) ? "settled" : "pending";
  }
  if (seen.state === "expired") {
    return changed(await release(db, purchase.id, { reason: seen.reason, unusable: true, now }))
      ? "released"
      : "pending";
  }
  return "pending";
}

async function observe(
  chain: Chain,
  purchase: PurchaseRecord,
): Promise<Awaited<ReturnType<typeof observeSettlement>> | null> {
  try {
    return await observeSettlement(chain, purchase.payment);
  } catch (error) {
    if (Proof402Error.isInstance(error)) return null;
    throw error;
  }
}
