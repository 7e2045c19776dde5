import { sql, type Selectable } from "kysely";
import type { Address, Hex } from "../evidence/bytes.ts";
import { isLaterShare } from "../evidence/payment-binding.ts";
import type { Payment } from "../receipts/schema.ts";
import type { Db } from "../storage/database.ts";
import type { SharedAuthorizationsTable } from "../storage/shared-authorizations.ts";
import type { PurchasesTable } from "../storage/tables.ts";
import { immediate } from "../storage/migrations.ts";
import type { SharedAuthorization } from "./policy.ts";
import type { Refusal } from "./types.ts";

// One authorization for several calls (docs/payment.md). What it can move is its whole amount, from the first call's
// signature on: so that call's row counts it against the caps, once, until the chain has shown the sum that moved. A later
// call's row counts nothing. It keeps a part of the amount free, so that calls made at once do not plan with the same rest.

/** The part of an amount that each of so many calls keeps free, base units. */
export const keptOf = (amount: string, { calls }: Pick<SharedAuthorization, "calls">): string => {
  const part = BigInt(amount) / BigInt(calls);
  return (part > 0n ? part : 1n).toString();
};

/** The nonce of a later call's row. */
export function rowNonceOf(payment: Payment): `${Hex} ${Hex}` {
  const { nonce, salt } = payment;
  if (salt === undefined) throw new TypeError("a later call on an authorization has a salt");
  return `${nonce} ${salt}`;
}

/** Whether a row's name is a later call's. */
export const isLaterName = (name: PurchasesTable["nonce"]): boolean => name.includes(" ");

/** The nonce of the authorization behind a row's name. */
export const authorizationOf = (name: PurchasesTable["nonce"]): Hex => `0x${(name.split(" ")[0] ?? "").slice(2)}`;

/** All purchases on an authorization, by its nonce: SQLite searches the index of nonces for them. */
export const callsOn = (tx: Db, nonce: Hex): Promise<Selectable<PurchasesTable>[]> =>
  tx
    .selectFrom("purchases")
    .selectAll()
    .where((where) =>
      where.and([
        where(sql<string>`nonce`, ">=", nonce),
        where(sql<string>`nonce`, "<", `${nonce}!`),
        where("share", "is not", null),
      ]),
    )
    .orderBy("created_at")
    .orderBy("id")
    .execute();

/** Where a call goes, and what was agreed for it: an authorization serves no other. */
export type Wanted = {
  sellerId: string;
  payer: Address;
  target: string;
  offerHash: string;
  /** SHA-256 of the attested TLS certificate, hex, or null. */
  certificate: string | null;
};

/** Where a call goes, and for whom: what one client's authorization allows is nothing for another's calls. */
export const targetOf = ({ method, url }: { method: string; url: string }, client: string | null): string =>
  client === null ? `${method} ${url}` : `${method} ${url} ${client}`;

/** The nonce of an open authorization that a call may go on, the last used one first, or null. */
export async function findShared(
  db: Db,
  { sellerId, payer, target, offerHash, certificate }: Wanted,
  terms: SharedAuthorization,
  now: Date,
): Promise<Hex | null> {
  const rows = await db
    .selectFrom("shared_authorizations")
    .selectAll()
    .where("open", "=", 1)
    .where("seller_id", "=", sellerId)
    .where("target", "=", target)
    .where("payer", "=", payer)
    .where("offer_hash", "=", offerHash)
    .where("certificate", "is not distinct from", certificate)
    .where("shown_by", "=", terms.shownBy)
    .orderBy("used_at", "desc")
    .limit(16)
    .execute();
  const idleMs = terms.idleSeconds * 1000;
  for (const row of rows)
    if (isUsable(row, now.getTime(), idleMs) && (await hasRoom(db, row, Math.min(row.most_calls, terms.calls))))
      return row.nonce;
  return null;
}

const isUsable = (
  { open, idle_ms, until, used_at }: SharedAuthorizationsTable,
  nowMs: number,
  idleMs = idle_ms,
): boolean => open === 1 && nowMs < until && nowMs >= used_at && nowMs - used_at < Math.min(idle_ms, idleMs);

/** Whether a call fits: fewer calls than agreed, and as much of the amount free as it keeps. */
async function hasRoom(tx: Db, { nonce, most_calls }: SharedAuthorizationsTable, calls = most_calls): Promise<boolean> {
  const rows = (await callsOn(tx, nonce)).filter(({ state }) => state !== "released");
  const first = rows.find((row) => row.nonce === nonce);
  if (first === undefined || first.state !== "answered" || rows.length >= calls) return false;
  const used = rows.reduce((sum, row) => sum + BigInt(row.reported ?? keptIn(row)), 0n);
  return used + BigInt(keptIn(first)) <= BigInt(first.amount);
}

const keptIn = ({ share }: Pick<PurchasesTable, "share">): string =>
  (JSON.parse(share ?? "null") as { kept: string }).kept;

/** The payment of a later call: the very same authorization, with the call's own salt in the terms. */
export function planShare(first: Payment, salt: Hex): Payment {
  if (first.share === undefined) throw new TypeError("an authorization for several calls");
  return { ...first, salt, share: { first: false, kept: first.share.kept } };
}

/**
 * Why a later call may not go on an authorization, or null. In the transaction of its reservation: of two calls for the
 * last place one is refused. A call that is reserved already has its place.
 */
export async function shareRefusal(tx: Db, payment: Payment): Promise<Refusal | null> {
  if (!isLaterShare(payment)) return null;
  const known = await tx
    .selectFrom("purchases")
    .select("state")
    .where("nonce", "=", rowNonceOf(payment))
    .executeTakeFirst();
  if (known !== undefined && known.state !== "released") return null;
  const row = await readShared(tx, payment.nonce);
  if (row?.open === 1 && row.payer === payment.payer && (await hasRoom(tx, row))) return null;
  return {
    code: "authorization_used_up",
    message: "The authorization that earlier calls share takes no further call.",
  };
}

/** An authorization that several calls may go on, or null. */
export const readShared = async (db: Db, nonce: Hex): Promise<SharedAuthorizationsTable | null> =>
  (await db.selectFrom("shared_authorizations").selectAll().where("nonce", "=", nonce).executeTakeFirst()) ?? null;

/** The first call of an authorization was served: later ones may go on it. In the caller's transaction. */
export async function openShared(
  tx: Db,
  payment: Payment,
  {
    terms,
    token,
    now,
    ...wanted
  }: Omit<Wanted, "payer"> & { terms: SharedAuthorization; token: string | null; now: Date },
): Promise<void> {
  await forgetEnded(tx, now);
  const until = (payment.validBefore - terms.marginSeconds) * 1000;
  if (until <= now.getTime()) return;
  await tx
    .insertInto("shared_authorizations")
    .values({
      nonce: payment.nonce,
      seller_id: wanted.sellerId,
      payer: payment.payer,
      target: wanted.target,
      offer_hash: wanted.offerHash,
      certificate: wanted.certificate,
      shown_by: terms.shownBy,
      token,
      most_calls: terms.calls,
      idle_ms: terms.idleSeconds * 1000,
      until,
      used_at: now.getTime(),
      open: 1,
    })
    .onConflict((conflict) => conflict.doNothing())
    .execute();
}

/** A later call was answered: the time without use begins again. Only the database's clock of then counts. */
export const noteUse = (tx: Db, nonce: Hex, now: Date): Promise<unknown> =>
  tx.updateTable("shared_authorizations").set({ used_at: now.getTime() }).where("nonce", "=", nonce).execute();

/** An authorization takes no further call. Its token stays for as long as a call on it may have to be sent again. */
export async function closeShared(tx: Db, nonce: Hex, now: Date): Promise<void> {
  await tx.updateTable("shared_authorizations").set({ open: 0 }).where("nonce", "=", nonce).execute();
  await forgetEnded(tx, now);
}

/**
 * Closes authorizations that are past their use, and forgets the tokens of closed ones: at once where no call on them is
 * out, else at the authorization's end.
 */
export const forgetEnded = (db: Db, now: Date): Promise<void> =>
  immediate(
    db,
    async (tx) => {
      const kept = await tx
        .selectFrom("shared_authorizations")
        .selectAll()
        .where((where) => where.or([where("open", "=", 1), where("token", "is not", null)]))
        .execute();
      for (const row of kept) {
        if (isUsable(row, now.getTime())) continue;
        const calls = await callsOn(tx, row.nonce);
        const isOut = calls.some(({ state }) => state === "reserved" || state === "signed" || state === "sent");
        const isOver = calls.every(({ valid_before: end }) => end * 1000 <= now.getTime());
        const token = isOut && !isOver ? row.token : null;
        if (row.open === 0 && token === row.token) continue;
        await tx.updateTable("shared_authorizations").set({ open: 0, token }).where("nonce", "=", row.nonce).execute();
      }
    },
    "process",
  );

/** The chain decided an authorization: its token is of no use any more. In the caller's transaction. */
export const forgetShared = (tx: Db, calls: readonly Pick<PurchasesTable, "nonce">[]): Promise<unknown> =>
  tx
    .updateTable("shared_authorizations")
    .set({ open: 0, token: null })
    .where(
      "nonce",
      "in",
      calls.map(({ nonce }) => authorizationOf(nonce)),
    )
    .execute();
