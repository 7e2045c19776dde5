import type { Db } from "../storage/database.ts";
import { writesSeen } from "../storage/dialect.ts";
import type { ApprovalsTable, PurchaseState } from "../storage/tables.ts";
import type { Change } from "./change.ts";
import { changesOfLog, type LogRow } from "./follow-log.ts";

export type Follower = {
  /** The newest changes there were before, oldest first, and from now on those since the last look. */
  begin(last: number): Promise<Change[]>;
  /** The changes since the last look, oldest first. Costs one small question while nothing is written. */
  look(): Promise<Change[]>;
  /** Whether no payment is under way and no evidence is awaited. */
  isIdle(): Promise<boolean>;
};

/** Clocks of processes on one machine differ by less, ms. */
const OVERLAP_MS = 60_000;
/** Most rows of one kind read in one look. */
const MOST = 1000;

/**
 * Follows the log and the journal of a database, in this process and in others. It needs no key and writes nothing. Of
 * two states between two looks it tells the later one.
 */
export function followChanges(db: Db, clock: () => Date = () => new Date()): Follower {
  const payments = new Map<string, { state: PurchaseState; seen: number }>();
  const approvals = new Map<string, ApprovalsTable["state"]>();
  let seq = 0;
  let version: unknown;

  /** Payments whose state is another than the one told. */
  async function movedPayments(recent: number): Promise<Change[]> {
    const now = clock().getTime();
    const open = await paymentRows(db).where("state", "not in", FINAL).limit(MOST).execute();
    const young = await paymentRows(db)
      .where("created_at", ">=", recent)
      .orderBy("created_at", "desc")
      .limit(MOST)
      .execute();
    const still = new Set([...open, ...young].map(({ id }) => id));
    const gone = [...payments].flatMap(([id, { state }]) => (FINAL.includes(state) || still.has(id) ? [] : [id]));
    const ended = gone.length === 0 ? [] : await paymentRows(db).where("id", "in", gone.slice(0, MOST)).execute();
    const rows = new Map([...open, ...young, ...ended].map((row) => [row.id, row] as const));
    const moved = [...rows.values()].filter(({ id, state }) => payments.get(id)?.state !== state);
    for (const { id, state } of rows.values()) payments.set(id, { state, seen: now });
    for (const [id, { state, seen }] of payments)
      if (FINAL.includes(state) && seen < now - 2 * OVERLAP_MS) payments.delete(id);
    return moved.filter(({ state }) => state !== "reserved").map(paymentOf);
  }

  async function movedApprovals(): Promise<Change[]> {
    const rows = await db.selectFrom("approvals").selectAll().orderBy("asked_at", "desc").limit(MOST).execute();
    const now = clock().getTime();
    return rows.flatMap((row): Change[] => {
      const before = approvals.get(row.id);
      approvals.set(row.id, row.state);
      if (before === row.state) return [];
      const { id, state, model, network, asset, amount } = row;
      // When an answer was given is not kept: it is told as it is found.
      const at = before === undefined ? row.asked_at : now;
      const shown = { state, model, network, asset, amount, payTo: row.pay_to, seller: row.seller_id };
      return [{ kind: "approval", at, id, endsAt: row.ends_at, ...shown }];
    });
  }

  async function entriesAfter(after: number): Promise<LogRow[]> {
    return db
      .selectFrom("log")
      .select(["seq", "kind", "receipt_id", "digest", "at"])
      .where("seq", ">", after)
      .orderBy("seq")
      .limit(MOST)
      .execute();
  }

  return {
    async begin(last) {
      version = await writesSeen(db);
      const end = await db.selectFrom("log").select("seq").orderBy("seq", "desc").limit(1).executeTakeFirst();
      seq = end?.seq ?? 0;
      const open = await movedPayments(clock().getTime() - OVERLAP_MS);
      const earlier = await paymentRows(db).orderBy("created_at", "desc").limit(last).execute();
      const told = new Map(
        [...open, ...earlier.filter(({ state }) => state !== "reserved").map(paymentOf)].map(
          (one) => [idOf(one), one] as const,
        ),
      );
      const asked = await movedApprovals();
      // Most entries of the log change nothing to be told here.
      const entries = await entriesAfter(Math.max(0, seq - 8 * last));
      const logged = await changesOfLog(
        db,
        entries.filter((entry) => entry.seq <= seq),
      );
      return inOrder([...told.values(), ...asked, ...logged]).slice(last === 0 ? Infinity : -last);
    },
    async look() {
      const now = await writesSeen(db);
      if (now === version) return [];
      version = now;
      const recent = clock().getTime() - OVERLAP_MS;
      const changes = [...(await movedPayments(recent)), ...(await movedApprovals())];
      for (let entries = await entriesAfter(seq); entries.length > 0; entries = await entriesAfter(seq)) {
        changes.push(...(await changesOfLog(db, entries)));
        seq = entries.at(-1)?.seq ?? seq;
      }
      return inOrder(changes);
    },
    async isIdle() {
      const under = await db
        .selectFrom("purchases")
        .select("id")
        .where("state", "in", UNDER_WAY)
        .limit(1)
        .executeTakeFirst();
      const job = await db.selectFrom("jobs").select("id").where("state", "<>", "done").limit(1).executeTakeFirst();
      return under === undefined && job === undefined;
    },
  };
}

const FINAL: readonly PurchaseState[] = ["settled", "released"];
const UNDER_WAY: readonly PurchaseState[] = ["reserved", "signed", "sent"];

const inOrder = (changes: readonly Change[]): Change[] => changes.toSorted((a, b) => a.at - b.at);
const idOf = (change: Change): string => ("id" in change ? change.id : "");

const paymentRows = (db: Db) =>
  db
    .selectFrom("purchases")
    .select(["id", "state", "seller_id", "model", "network", "asset", "amount", "settled_amount", "pay_to"])
    .select(["receipt_id", "idempotency_key", "reason", "updated_at"]);

type PaymentRow = Awaited<ReturnType<ReturnType<typeof paymentRows>["execute"]>>[number];

const paymentOf = (row: PaymentRow): Change => ({
  kind: "payment",
  at: row.updated_at,
  id: row.id,
  state: row.state,
  seller: row.seller_id,
  model: row.model,
  network: row.network,
  asset: row.asset,
  amount: row.settled_amount ?? row.amount,
  payTo: row.pay_to,
  receiptId: row.receipt_id,
  idempotencyKey: row.idempotency_key,
  reason: row.reason,
});
