import type { Db } from "../storage/database.ts";
import { immediate } from "../storage/migrations.ts";
import type { Payment } from "../receipts/schema.ts";
import type { Sight } from "./settlement-view.ts";

/** What was seen of an authorization before, by any process on the file. */
export type Sighting = {
  /** The transaction that the seller named; its word, and only where to look. */
  transaction: string | null;
  /** The seller said that it was paid. */
  claimed: boolean;
  /** A chain has shown it as used or canceled. */
  spent: boolean;
  /** Since when every look has shown that it ended unused, unix ms by our own clock; null where the last did not. */
  endedSince: number | null;
};

/** The newest block that was seen of a network. Time in unix seconds. */
export type SeenHead = Sight["head"];

const NOTHING: Sighting = { transaction: null, claimed: false, spent: false, endedSince: null };

export async function readSighting(db: Db, { authorizationHash }: Payment): Promise<Sighting> {
  const row = await db
    .selectFrom("sightings")
    .selectAll()
    .where("authorization_hash", "=", authorizationHash)
    .executeTakeFirst();
  if (row === undefined) return NOTHING;
  const { transaction, claimed, spent, ended_since: endedSince } = row;
  return { transaction, claimed: claimed === 1, spent: spent === 1, endedSince };
}

/** Keeps what a look saw. What was once seen as spent stays so. */
export async function noteSighting(
  db: Db,
  payment: Payment,
  seen: Pick<Sighting, "spent" | "endedSince">,
): Promise<void> {
  const columns = { spent: seen.spent ? 1 : 0, ended_since: seen.endedSince };
  await db
    .insertInto("sightings")
    .values({ authorization_hash: payment.authorizationHash, transaction: null, claimed: 0, ...columns })
    .onConflict((conflict) =>
      conflict.column("authorization_hash").doUpdateSet(seen.spent ? columns : { ended_since: seen.endedSince }),
    )
    .execute();
}

/**
 * Keeps a seller's `PAYMENT-RESPONSE`, so that every later look, in any process, finds the named transaction. Nothing
 * is believed for it: but a chain that says the opposite is not believed alone either.
 */
export async function noteClaim(
  db: Db,
  payment: Payment,
  said: { success: boolean; transaction?: string } | null,
  survives: "power loss" | "process" = "power loss",
): Promise<void> {
  if (said?.transaction === undefined) return;
  const columns = { transaction: said.transaction, claimed: said.success ? 1 : 0 };
  await immediate(
    db,
    (tx) =>
      tx
        .insertInto("sightings")
        .values({ authorization_hash: payment.authorizationHash, spent: 0, ended_since: null, ...columns })
        .onConflict((conflict) => conflict.column("authorization_hash").doUpdateSet(columns))
        .execute(),
    survives,
  );
}

export async function readHead(db: Db, network: string): Promise<SeenHead | null> {
  const row = await db.selectFrom("chain_heads").selectAll().where("network", "=", network).executeTakeFirst();
  return row === undefined ? null : { number: BigInt(row.number), time: row.time };
}

/** Keeps the newest block of a network, where it is newer than the one known. */
export async function noteHead(db: Db, network: string, { number, time }: SeenHead): Promise<void> {
  if (number > BigInt(Number.MAX_SAFE_INTEGER)) return;
  const columns = { number: Number(number), time };
  await db
    .insertInto("chain_heads")
    .values({ network, ...columns })
    .onConflict((conflict) =>
      conflict.column("network").doUpdateSet(columns).where("chain_heads.number", "<", columns.number),
    )
    .execute();
}
