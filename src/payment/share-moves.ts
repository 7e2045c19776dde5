import type { Db } from "../storage/database.ts";
import { move, UNCHANGED } from "./journal-moves.ts";
import { MOVED_MORE_THAN_TOLD, NEVER_SIGNED, SHARE_NOT_CHARGED, SHARE_REFUSED } from "./reasons.ts";
import { callsBeside, divide, noteParts, type CallRow } from "./share-books.ts";
import { forgetShared, isLaterName } from "./shared.ts";
import type { Transition } from "./types.ts";

/**
 * Settles all calls on one authorization together: the first call's row counts all that moved, and the others' nothing.
 * A call without an answer that nothing was taken for is released.
 */
export async function settleCalls(
  tx: Db,
  id: string,
  calls: readonly CallRow[],
  {
    transaction,
    amount,
    reason,
    now,
  }: { transaction: string | null; amount: string; reason: string | null; now: Date },
): Promise<Transition> {
  const division = divide(calls, BigInt(amount));
  const odd = reason ?? (division.isMore ? MOVED_MORE_THAN_TOLD : null);
  let own: Transition = { ok: false, code: "unknown_purchase", state: null };
  for (const row of calls) {
    const told = division.parts.get(row.id);
    // Not signed for, or refused at once: no money moved for it.
    if (told === undefined && row.id !== id) continue;
    const isLater = isLaterName(row.nonce);
    const moved =
      isLater && told?.isFree !== false
        ? await move(tx, row.id, now, ({ state }) =>
            state === "released" ? UNCHANGED : { state: "released", reason: SHARE_NOT_CHARGED },
          )
        : await move(tx, row.id, now, ({ state, transaction: known }) => {
            if (state === "settled") return known === transaction ? UNCHANGED : null;
            return { state: "settled", transaction, settled_amount: isLater ? "0" : amount, reason: odd };
          });
    if (row.id === id) own = moved;
  }
  await noteParts(tx, division, now);
  // An answer that came late may have explained what moved, or may have left nothing that could.
  if (reason === null)
    await tx
      .updateTable("purchases")
      .set({ reason: odd })
      .where("id", "in", [...division.parts.keys()])
      .where("state", "=", "settled")
      .where((where) => where.or([where("reason", "is", null), where("reason", "=", MOVED_MORE_THAN_TOLD)]))
      .execute();
  await forgetShared(tx, calls);
  return own;
}

/** Divides a settled sum once more, where a call on its authorization is answered after that. In the caller's transaction. */
export async function divideAgain(tx: Db, id: string, now: Date): Promise<void> {
  const calls = await callsBeside(tx, id);
  const first = calls?.find(({ nonce }) => !isLaterName(nonce));
  if (calls === null || first?.state !== "settled" || first.settled_amount === null) return;
  const { transaction, settled_amount: amount } = first;
  const reason = first.reason === MOVED_MORE_THAN_TOLD ? null : first.reason;
  await settleCalls(tx, id, calls, { transaction, amount, reason, now });
}

/** A later call that was never sent gives its share back. What was sent stays. */
export const giveUpShare = (db: Db, id: string, now: Date): Promise<Transition> =>
  move(db, id, now, ({ state }) =>
    state === "reserved" || state === "signed" ? { state: "released", reason: NEVER_SIGNED } : null,
  );

/** Releases what several calls shared: the authorization ended unused, so nothing was taken for any of them. */
export async function releaseCalls(
  tx: Db,
  id: string,
  calls: readonly CallRow[],
  { reason, now }: { reason: string; now: Date },
): Promise<Transition> {
  let own: Transition = { ok: false, code: "unknown_purchase", state: null };
  for (const row of calls) {
    const moved = await move(tx, row.id, now, ({ state }) => {
      if (state === "released") return UNCHANGED;
      return state === "settled" ? null : { state: "released", reason };
    });
    if (row.id === id) own = moved;
  }
  await forgetShared(tx, calls);
  return own;
}

/**
 * A later call's seller refused it at once, and nothing of it was sent before: it takes nothing of the shared
 * authorization, of which all stays counted with the first call.
 */
export const refuseShare = (db: Db, id: string, now: Date): Promise<Transition> =>
  move(db, id, now, ({ state, receipt_id: receipt }) =>
    state === "sent" && receipt === null ? { state: "released", reason: SHARE_REFUSED } : null,
  );
