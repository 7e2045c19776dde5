import { Proof402Error } from "../errors.ts";
import type { Db } from "../storage/database.ts";
import { immediate } from "../storage/migrations.ts";
import type { BuyerContext } from "./context.ts";

/**
 * How long an answer that its caller did not wait for is handed to an equal call, ms: hosts that give up try again within
 * minutes; a call made later wants an answer of its own.
 */
const UNTOLD_ANSWER_MS = 10 * 60_000;

/** What names a call, from the strictest: the caller's own key, the surface's name for the call, or what it asks for. */
export type CallNames = {
  /** The caller's own key: this call and no other. */
  own: string | undefined;
  /** A surface's name for one logical call. It becomes the key of a call that takes up no other. */
  surface: string | undefined;
  payer: string;
  /** sha256 hex of what is asked. */
  argsDigest: string;
};

/**
 * The key of a call (DESIGN §6.5). A call without a key of its own that equals an open one in wallet and arguments takes that
 * one up. A call is open until its outcome was told to its caller, and for as long as money is out for it without an answer.
 *
 * Throws Proof402Error `idempotency_conflict` where the key names another call, and `wallet_changed` where another wallet
 * made it.
 */
export const openKey = (ctx: BuyerContext, names: CallNames): Promise<string> =>
  immediate(
    ctx.db,
    async (tx) => {
      const { own, surface } = names;
      if (own !== undefined) return claim(tx, own, names, ctx.clock());
      if (surface !== undefined && (await isKnown(tx, surface))) return claim(tx, surface, names, ctx.clock());
      const open = await openEqual(tx, names, ctx.clock().getTime());
      return open ?? claim(tx, surface ?? `call-${crypto.randomUUID()}`, names, ctx.clock());
    },
    // What must survive is written with the reservation; a call that is lost before has nothing at stake.
    "process",
  );

/** Notes that the call's outcome was told to its caller: equal calls are new ones from here on. */
export const noteTold = async (ctx: BuyerContext, key: string): Promise<void> => {
  await immediate(
    ctx.db,
    (tx) =>
      tx
        .updateTable("calls")
        .set({ told_at: ctx.clock().getTime() })
        .where("idempotency_key", "=", key)
        .where("told_at", "is", null)
        .execute(),
    "process",
  );
};

const isKnown = async (tx: Db, key: string): Promise<boolean> =>
  (await tx.selectFrom("calls").select("payer").where("idempotency_key", "=", key).executeTakeFirst()) !== undefined;

async function claim(tx: Db, key: string, { payer, argsDigest }: CallNames, now: Date): Promise<string> {
  const known = await tx.selectFrom("calls").selectAll().where("idempotency_key", "=", key).executeTakeFirst();
  const same = known?.payer === payer && known.args_digest === argsDigest;
  if (same) {
    // Made again, it is open again: what comes of it now is still to be told.
    if (known.told_at !== null)
      await tx.updateTable("calls").set({ told_at: null }).where("idempotency_key", "=", key).execute();
    return key;
  }
  const paid = await tx
    .selectFrom("purchases")
    .select(["payer", "args_digest"])
    .where("idempotency_key", "=", key)
    .limit(1)
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
  // Nothing was ever at stake under other arguments: the key is free to name this call.
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
    next: "Use a new key for a new call, or give the same arguments to take up the earlier one.",
  });

/** The newest open call that equals this one, or null. */
async function openEqual(tx: Db, { payer, argsDigest }: CallNames, nowMs: number): Promise<string | null> {
  const open = await tx
    .selectFrom("calls")
    .select("idempotency_key")
    .where("payer", "=", payer)
    .where("args_digest", "=", argsDigest)
    .where("told_at", "is", null)
    .orderBy("opened_at", "desc")
    .execute();
  for (const { idempotency_key: key } of open) {
    const answered = await tx
      .selectFrom("purchases")
      .select("answered_at")
      .where("idempotency_key", "=", key)
      .where("receipt_id", "is not", null)
      .executeTakeFirst();
    if (answered === undefined || nowMs - (answered.answered_at ?? 0) <= UNTOLD_ANSWER_MS) return key;
  }
  return null;
}
