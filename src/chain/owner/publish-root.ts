import { Proof402Error } from "../../errors.ts";
import { DEPLOYER, LOG_ROOTS } from "../log-roots/contract.ts";
import { codeAt, publishedRoot, type PublishedRoot } from "../log-roots/published.ts";
import { earlierFor, sendOwnerCall, takeUp, type Owner, type Sent } from "./send.ts";
import { noteTold, subjectOf } from "./transactions.ts";
import type { RootCall } from "./root-calls.ts";

/** A root that the chain keeps now, with the transactions that put it and, where it was missing, the contract there. */
export type RootPublished = { deployed: Sent | null; published: Sent; kept: PublishedRoot };

/**
 * Publishes a root over the wallet's log of that name, and reads it back. Puts a missing contract on the chain first. Costs
 * gas and moves no money otherwise.
 *
 * Throws Proof402Error `posting_not_kept` if the chain then shows another root, `log_roots_missing` if the contract cannot be put
 * there, and the errors of {@link sendOwnerCall}.
 */
export async function publishRoot(
  owner: Owner,
  { name, entries, root }: Omit<Extract<RootCall, { kind: "root-publish" }>, "kind">,
): Promise<RootPublished> {
  const { db, chain, wallet } = owner;
  const call = { kind: "root-publish", name, entries, root } as const;
  const earlier = await earlierFor(owner, call, await takeUp(owner, [subjectOf(call, chain.network)]));
  const deployed = earlier === null ? await deployMissing(owner) : null;
  const published = earlier ?? (await sendOwnerCall(owner, call));
  const kept = await publishedRoot(chain, { publisher: wallet.address, name });
  for (const sent of [deployed, published]) if (sent !== null) await noteTold(db, sent.transaction);
  // Another command may have published a root over more entries by now.
  if (kept === null || kept.entries < entries || (kept.entries === entries && kept.root !== root))
    throw new Proof402Error("posting_not_kept", "The chain does not show the root that was published.", {
      next: `Look at transaction ${published.transaction}, then run the command again.`,
    });
  return { deployed, published, kept };
}

/** Puts the contract on a chain without it; null on one that has it. */
async function deployMissing(owner: Owner): Promise<Sent | null> {
  const { chain, db } = owner;
  const before = await codeAt(chain);
  if (before.contract) return null;
  if (!before.deployer) {
    throw new Proof402Error("log_roots_missing", `${chain.network} has no deterministic deployer at ${DEPLOYER}.`, {
      next: "Nothing was signed. Name a chain that has it in logRoots.network.",
    });
  }
  const sent = await sendOwnerCall(owner, { kind: "roots-deploy" });
  if ((await codeAt(chain)).contract) return sent;
  await noteTold(db, sent.transaction);
  throw new Proof402Error("log_roots_missing", `The contract is not at ${LOG_ROOTS} after ${sent.transaction}.`, {
    next: "No root was published. Run the command again, or name another chain in logRoots.network.",
  });
}
