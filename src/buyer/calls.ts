import { Proof402Error } from "../errors.ts";
import type { Db } from "../storage/database.ts";
import type { PurchasesTable } from "../storage/tables.ts";
import { immediate } from "../storage/migrations.ts";
import type { BuyerContext } from "./context.ts";

/**
 * How long an answer its caller left is handed to an equal call, ms. Hosts that give up try again within minutes; a
 * later call wants an answer of its own.
 */
const UNTOLD_ANSWER_MS = 10 * 60_000;

/** The names of a call, strictest first: the caller's own key, the surface's name for the call, or its arguments. */
export type CallNames = {
  /** The caller's own key: this call and no other. */
  own: string | undefined;
  /** A surface's name for one logical call. It becomes the key of a call that takes up no other. */
  surface: string | undefined;
  payer: string;
  /** sha256 hex of what is asked. */
  argsDigest: string;
};

/** A call's key. `drawn`: drawn at random just now, so that no database can know it. */
type OpenedKey = { key: string; drawn: boolean };

/**
 * The key of a call (docs/architecture.md §6.5). A call without a key takes up an open one with the same wallet and
 * arguments. A call is open until its outcome was told to its caller, and for as long as money is out for it without an
 * answer.
 *
 * Throws Proof402Error `idempotency_conflict` where the key names another call, and `wallet_changed` where another
 * wallet made it.
 */
export const openKey = (ctx: BuyerContext, names: CallNames): Promise<OpenedKey> =>
  immediate(
    ctx.db,
    async (tx) => {
      const { own, surface } = names;
      if (own !== undefined) return { key: await claim(tx, own, names, ctx.clock()), drawn: false };
      const open = await openEqual(tx, names, ctx.clock().getTime());
      // A surface's name counts before an equal call, unless that one has more at stake.
      const named = surface !== undefined && (await isKnown(tx, surface));
      const taken = named && open !== null && open.stake <= stakeOf(await attemptsOf(tx, surface)) ? null : open;
      if (taken !== null) return { key: taken.key, drawn: false };
      const key = surface ?? `call-${crypto.randomUUID()}`;
      return { key: await claim(tx, key, names, ctx.clock()), drawn: surface === undefined };
    },
    // What must survive is written with the reservation; a call that is lost before has nothing at stake.
    "process",
  );

/**
 * Notes that the call's outcome was told to its caller: equal calls are new ones from here on. Not while another process makes
 * the call, nor for a caller that gave up before the note is written (`wanted`): their outcome is still to be told.
 */
export const noteTold = (ctx: BuyerContext, key: string, wanted: () => boolean): Promise<void> =>
  immediate(
    ctx.db,
    async (tx) => {
      const now = ctx.clock().getTime();
      const lease = await tx
        .selectFrom("call_leases")
        .select("owner")
        .where("idempotency_key", "=", key)
        .where("until", ">", now)
        .executeTakeFirst();
      if (lease !== undefined || !wanted()) return;
      await tx
        .updateTable("calls")
        .set({ told_at: now })
        .where("idempotency_key", "=", key)
        .where("told_at", "is", null)
        .execute();
    },
    "process",
  );

/** Notes that a call is made again: its outcome is still untold. */
export async function reopen(ctx: BuyerContext, key: string): Promise<void> {
  const told = await ctx.db
    .selectFrom("calls")
    .select("told_at")
    .where("idempotency_key", "=", key)
    .where("told_at", "is not", null)
    .executeTakeFirst();
  if (told === undefined) return;
  await immediate(
    ctx.db,
    (tx) => tx.updateTable("calls").set({ told_at: null }).where("idempotency_key", "=", key).execute(),
    "process",
  );
}

/** All possible keys of a call: its own, its surface's, and those of equal open calls. */
export async function keysOf(db: Db, { own, surface, payer, argsDigest }: CallNames): Promise<string[]> {
  const named = [own, surface].filter((key) => key !== undefined);
  if (own !== undefined) return named;
  const equal = await db
    .selectFrom("calls")
    .select("idempotency_key")
    .where("payer", "=", payer)
    .where("args_digest", "=", argsDigest)
    .where("told_at", "is", null)
    .execute();
  return [...named, ...equal.map((row) => row.idempotency_key)];
}

const isKnown = async (tx: Db, key: string): Promise<boolean> =>
  (await tx.selectFrom("calls").select("payer").where("idempotency_key", "=", key).executeTakeFirst()) !== undefined;

async function claim(tx: Db, key: string, { payer, argsDigest }: CallNames, now: Date): Promise<string> {
  const paid = await tx
    .selectFrom("purchases")
    .select(["payer", "args_digest"])
    .where("idempotency_key", "=", key)
    .executeTakeFirst();
  if (paid !== undefined && paid.args_digest !== argsDigest) {
    throw keyConflict();
  }
  if (paid !== undefined && paid.payer !== payer) {
    throw new Proof402Error("wallet_changed", `Another wallet (${paid.payer}) made the call with this key.`, {
      next: "Configure that wallet to take the call up again, or use a new key.",
      details: { payer: paid.payer },
    });
  }
  // Nothing was ever at stake under other arguments: the key is free to name this call. Made again, a call is open again: what
  // comes of it now is still to be told.
  const call = { payer, args_digest: argsDigest, opened_at: now.getTime(), told_at: null };
  await tx
    .insertInto("calls")
    .values({ idempotency_key: key, ...call })
    .onConflict((conflict) => conflict.column("idempotency_key").doUpdateSet(call))
    .execute();
  return key;
}

/** The key names another call: nothing is paid or answered under it for this one. */
export const keyConflict = (): Proof402Error =>
  new Proof402Error("idempotency_conflict", "This idempotency key was used for another call.", {
    next: "Use a new key for a new call, or give the same arguments to take up an earlier one of your own.",
  });

/** The stake of an open call. */
type OpenCall = { key: string; stake: number };

/**
 * The open call that equals this one, or null: of those with most at stake the newest. A call that died before it reserved
 * anything must not hide one with money out, nor one that signed and sent nothing.
 */
async function openEqual(tx: Db, { payer, argsDigest }: CallNames, nowMs: number): Promise<OpenCall | null> {
  const open = await tx
    .selectFrom("calls")
    .select("idempotency_key")
    .where("payer", "=", payer)
    .where("args_digest", "=", argsDigest)
    .where("told_at", "is", null)
    .orderBy("opened_at", "desc")
    .execute();
  let found: OpenCall | null = null;
  for (const { idempotency_key: key } of open) {
    const attempts = await attemptsOf(tx, key);
    const stake = stakeOf(attempts);
    if (isOpen(attempts, nowMs) && (found === null || stake > found.stake)) found = { key, stake };
    if (found?.stake === STAKES.out) break;
  }
  return found;
}

const attemptsOf = (tx: Db, key: string): Promise<Attempt[]> =>
  tx
    .selectFrom("purchases")
    .select(["state", "receipt_id", "answered_at"])
    .where("idempotency_key", "=", key)
    .execute();

/** From nothing to most: an authorization that no seller got, then money that is out or an answer. */
const STAKES = { nothing: 0, kept: 1, out: 2 };

const stakeOf = (attempts: readonly Attempt[]): number =>
  Math.max(
    STAKES.nothing,
    ...attempts.map(({ state, answered_at: at }) => {
      if (at !== null) return STAKES.out;
      if (state === "released") return STAKES.nothing;
      return state === "reserved" || state === "signed" ? STAKES.kept : STAKES.out;
    }),
  );

type Attempt = Pick<PurchasesTable, "state" | "receipt_id" | "answered_at">;

/** Whether a call that was not told its outcome is to be taken up: for a while once it was served, else while money is out. */
function isOpen(attempts: readonly Attempt[], nowMs: number): boolean {
  const served = attempts.flatMap(({ answered_at: at }) => at ?? []);
  if (served.length > 0) return nowMs - Math.max(...served) <= UNTOLD_ANSWER_MS;
  // With nothing out, the key is as good as new, unless an error of the seller's would be its answer.
  return (
    attempts.some(({ state }) => state !== "released") || attempts.every(({ receipt_id: receipt }) => receipt === null)
  );
}
