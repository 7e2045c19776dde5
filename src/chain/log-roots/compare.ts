import { broken, type Broken } from "../../receipts/audit-codes.ts";
import { rootOfLog } from "../../receipts/log-root.ts";
import type { Db } from "../../storage/database.ts";
import type { Chain } from "../chain.ts";
import { rootSubject } from "../owner/root-calls.ts";
import { publishedRoot, type NamedLog, type PublishedRoot } from "./published.ts";

/**
 * Compares a log with the newest root over it on chain: finds an end that was cut off or written again. Each configured RPC is
 * asked, and the log has to hold each root that is told. `root` is the one over most entries, null if there is none.
 *
 * Throws Proof402Error `log_broken`, and the chain's own.
 */
export async function compareWithRoot(
  db: Db,
  chain: Chain,
  log: NamedLog,
): Promise<{ root: PublishedRoot | null; problem: Broken | null }> {
  const chains = chain.witness === null ? [chain] : [chain, chain.witness];
  const told = (await Promise.all(chains.map((one) => publishedRoot(one, log)))).filter((one) => one !== null);
  const root = told.toSorted((a, b) => b.entries - a.entries)[0] ?? null;
  for (const one of told) {
    const problem = await unlike(db, one);
    if (problem !== null) return { root: one, problem };
  }
  // This database signed a root itself, and no RPC knows of any.
  if (root === null && (await hasPublished(db, chain.network, log)))
    return { root, problem: broken(null, null, "log_root_hidden", "The chain shows no root, and one was published.") };
  return { root, problem: null };
}

/** What is wrong with a log beside a root over it; null if it holds it. */
async function unlike(db: Db, root: PublishedRoot): Promise<Broken | null> {
  const own = await rootOfLog(db, root.entries);
  if (own.entries < root.entries) {
    const message = `The chain has a root over ${root.entries} entries; the log has ${own.entries}.`;
    return broken(own.entries + 1, null, "log_behind_root", message);
  }
  if (own.root === root.root) return null;
  const message = `The root on chain is over other entries than the log's first ${root.entries}.`;
  return broken(null, null, "log_unlike_root", message);
}

/** Whether a transaction of this database published a root over the log. */
async function hasPublished(db: Db, network: string, { publisher, name }: NamedLog): Promise<boolean> {
  const row = await db
    .selectFrom("owner_transactions")
    .select("hash")
    .where("network", "=", network)
    .where("account", "=", publisher)
    .where("subject", "=", rootSubject(name))
    .where("state", "=", "done")
    .executeTakeFirst();
  return row !== undefined;
}
