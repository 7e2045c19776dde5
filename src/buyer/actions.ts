import { Proof402Error } from "../errors.ts";
import { sha256, toHex, utf8 } from "../evidence/bytes.ts";
import { canonicalSha256 } from "../evidence/canonical.ts";
import { appendEntry } from "../receipts/log-entry.ts";
import { claimStates } from "../receipts/log-rows.ts";
import type { Db } from "../storage/database.ts";
import { insertionOrder } from "../storage/dialect.ts";
import { immediate } from "../storage/migrations.ts";
import type { ClaimRow } from "../storage/claim-tables.ts";
import { endOfLog, type LogEnd } from "../storage/log-chain.ts";
import { recordOf, runsAsSeen, type Runs } from "./action-record.ts";
import type { ActionRecord, ActionRequest, Actions, ActionDecision } from "./action-types.ts";
import { isChanged } from "./changed.ts";
import { claimsOn, isTaken, purchaseOfStored, requireOwn } from "./claims.ts";
import type { BuyerContext } from "./context.ts";
import { readStop, requireNoStop } from "./guard-stop.ts";
import { isContradicted, noteLateEnd } from "./late-end.ts";
import { isRunning, thisProcess } from "./process-owner.ts";

/** Every guard claims under one purpose, so a purchase justifies what it justifies over all tools. */
const PURPOSE = "guard";

/** How long an action waits between its claim and its beginning at most, ms. A claim older than that is given back. */
const BEGINS_WITHIN_MS = 60_000;

/** Most characters of a note. */
const MAX_NOTE = 500;

/** The claims of actions under way in this thread: of all its buyers, and of each copy of this module. */
const UNDER_WAY = Symbol.for("proof402.actions-under-way");
const underWay = (): Set<string> => ((globalThis as { [UNDER_WAY]?: Set<string> })[UNDER_WAY] ??= new Set());

/** The actions of one buyer's guards, and which of them are under way in this process. */
export function createActions(
  ctx: Pick<BuyerContext, "db" | "clock" | "config">,
  owner = thisProcess(),
  acting = underWay(),
): { actions: Actions; isActing: (id: string) => boolean } {
  const { db } = ctx;
  /** An own action that is not under way any more is over, though its end could not be written. */
  const runs: Runs = async (row) =>
    row.state === "invoking" && row.owner === (await owner) && !acting.has(row.id) ? false : runsAsSeen(row);

  const actions: Actions = {
    moment: async () => (await endOfLog(db))?.seq ?? 0,

    async claim(receiptId, request, { begins = false, signal, judged } = {}) {
      const self = await owner;
      // What begins an action is written through to the disk, and a claim alone before it.
      return immediate(
        db,
        async (tx) => {
          const purchase = await purchaseOfStored(tx, receiptId);
          await requireNoStop(tx, ctx.config.database);
          if (request.allowImported !== true) await requireOwn(tx, receiptId);
          // Judging takes a moment and so does waiting for the database: what changed meanwhile is judged again.
          if (judged !== undefined && ((await isChanged(tx, judged.at, [judged.receipt])) || !judged.holds()))
            return { changed: true };
          const at = ctx.clock();
          const standing = await withoutUnbegun(tx, await claimsOn(tx, { receiptId, purchase, purpose: PURPOSE }), at);
          const place = placeFor(request, standing);
          if (place === null)
            return { takenBy: await Promise.all(standing.filter(isTaken).map((row) => recordOf(row, runs))) };
          signal?.throwIfAborted();
          const added = await addClaim(tx, request, { receiptId, purchase, place, owner: self, at, begins });
          if (begins) acting.add(added.id);
          return added;
        },
        begins ? "power loss" : "process",
      );
    },

    async begin(id) {
      let begun = false;
      try {
        begun = await immediate(db, async (tx) => {
          // The last look before the action: a stop ordered later finds it under way.
          await requireNoStop(tx, ctx.config.database);
          const at = ctx.clock();
          // What was judged longer ago is judged again: the receipt has aged, and more may be known of it.
          const judged = at.getTime() - BEGINS_WITHIN_MS;
          const row = await change(tx, id, ["claimed"], { state: "invoking", begun_at: at.getTime() }, at, judged);
          if (row !== null) acting.add(id);
          return row !== null;
        });
        return begun;
      } finally {
        if (!begun) acting.delete(id);
      }
    },

    async end(id, { state, outcome }) {
      const write = async (tx: Db): Promise<void> => {
        const at = ctx.clock();
        const from = state === "failed" ? (["claimed", "invoking"] as const) : (["invoking"] as const);
        const ended = await change(tx, id, from, { state, outcome, ended_at: at.getTime() }, at);
        if (ended === null) await noteLateEnd(tx, id, { state, outcome }, at);
      };
      // Lost with the power, it leaves the action undecided, as any end that is not known. Until it is written, the action runs.
      await immediate(db, write, "process").finally(() => acting.delete(id));
    },

    decide: (id, decision) => decideClaim(db, id, decision, ctx.clock(), runs),

    list: (options = {}) => listActions(db, options, runs),

    async requirement(digest) {
      const row = await db
        .selectFrom("guard_requirements")
        .select("json")
        .where("sha256", "=", digest)
        .executeTakeFirst();
      return row !== undefined && toHex(sha256(utf8(row.json))) === digest ? row.json : null;
    },

    stop: () => readStop(db, ctx.config.database),
  };
  return { actions, isActing: (id) => acting.has(id) };
}

/** Writes a claim, and in the log each of its states: made, and begun. */
async function addClaim(
  tx: Db,
  { tool, spends, requirement, arguments: args }: ActionRequest,
  made: { receiptId: string; purchase: string; place: string; owner: string; at: Date; begins: boolean },
): Promise<{ id: string; idempotencyKey: string }> {
  const { receiptId, purchase, place, owner, at, begins } = made;
  const idempotencyKey = `p402-act-${toHex(canonicalSha256([purchase, PURPOSE, place, tool, args.sha256]))}`;
  await tx
    .insertInto("guard_requirements")
    .values(requirement)
    .onConflict((conflict) => conflict.doNothing())
    .execute();
  const row = await tx
    .insertInto("receipt_claims")
    .values({
      receipt_id: receiptId,
      purpose: PURPOSE,
      at: at.getTime(),
      purchase,
      state: begins ? "invoking" : "claimed",
      begun_at: begins ? at.getTime() : null,
      arguments: args.json,
      arguments_sha256: args.sha256,
      place,
      kind: spends === "once" ? null : spends.kind,
      most: spends === "once" ? null : spends.times,
      tool,
      requirement: requirement.sha256,
      idempotency_key: idempotencyKey,
      owner,
    })
    .returningAll()
    .executeTakeFirstOrThrow();
  let after: LogEnd | undefined;
  for (const value of claimStates(row))
    after = await appendEntry(tx, { kind: "claim", subject: receiptId, value, at, ...(after ? { after } : {}) });
  return { id: row.id, idempotencyKey };
}

/** The newest actions first: all, those without a decision, those of a tool, or the one of an id. */
export async function listActions(
  db: Db,
  { open = false, id, tool, limit = 100 }: NonNullable<Parameters<Actions["list"]>[0]> = {},
  runs: Runs = runsAsSeen,
): Promise<ActionRecord[]> {
  const rows = await db
    .selectFrom("receipt_claims")
    .selectAll()
    .where((where) => where.or([where("idempotency_key", "is not", null), where("arguments", "is not", null)]))
    .$if(open, (query) => query.where("state", "in", ["claimed", "invoking", "undecided"]))
    .$if(id !== undefined, (query) => query.where("id", "=", id ?? ""))
    .$if(tool !== undefined, (query) => query.where("tool", "=", tool ?? ""))
    .orderBy("at", "desc")
    .orderBy(insertionOrder(db), "desc")
    .limit(limit)
    .execute();
  return Promise.all(rows.map((row) => recordOf(row, runs)));
}

/** A person's or the action's own word on what became of it. Throws as `Actions.decide`. */
export async function decideClaim(
  db: Db,
  id: string,
  decision: ActionDecision,
  at: Date,
  runs: Runs = runsAsSeen,
): Promise<ActionRecord> {
  return immediate(db, async (tx) => {
    const row = await tx.selectFrom("receipt_claims").selectAll().where("id", "=", id).executeTakeFirst();
    if (row === undefined || (row.arguments === null && row.idempotency_key === null))
      throw new Proof402Error("action_not_found", `No guarded action "${id.slice(0, 64)}" is on the record.`, {
        next: "List the actions for their ids.",
      });
    await requireOpen(row, decision, runs);
    const note = decision.note.slice(0, MAX_NOTE).toWellFormed();
    const { state, by } = decision;
    const set =
      row.state === "claimed"
        ? { state, outcome: `Given back: ${note}`, ended_at: at.getTime() }
        : { state, decided_at: at.getTime(), decided_by: by, note };
    const decided = await change(tx, id, [row.state], set, at);
    if (decided === null) throw new Error("the claim changed inside its transaction");
    return recordOf(decided, runs);
  });
}

async function requireOpen(
  row: ClaimRow,
  { state, by, notRunning = false }: ActionDecision,
  runs: Runs,
): Promise<void> {
  const decided = (why: string): Proof402Error =>
    new Proof402Error("action_decided", `Action ${row.id} ${why}.`, { next: "A decision is final." });
  if (row.state === "done" || row.state === "failed") throw decided(`is ${row.state} already`);
  if (row.state === "claimed" && state === "done") throw decided("never began, so it was not done");
  if (row.state === "undecided") return;
  // Only a person can know that a process ended which cannot be seen from here, or seems to run.
  if ((await runs(row)) === false || (notRunning && by === "person")) return;
  throw new Proof402Error("action_running", `Action ${row.id} is under way: its process runs or cannot be seen.`, {
    next: "Wait for its end, or have the owner say that the process ended with --not-running.",
    details: { owner: row.owner },
  });
}

/** Changes a claim made at `since` or later that is in one of some states, and records it. Null for any other. */
async function change(
  tx: Db,
  id: string,
  from: readonly ClaimRow["state"][],
  set: Partial<ClaimRow>,
  at: Date,
  since = Number.MIN_SAFE_INTEGER,
): Promise<ClaimRow | null> {
  const row = await tx
    .updateTable("receipt_claims")
    .set(set)
    .where("id", "=", id)
    .where("state", "in", from)
    .where("at", ">=", since)
    .returningAll()
    .executeTakeFirst();
  if (row === undefined) return null;
  await appendEntry(tx, { kind: "claim", subject: row.receipt_id, value: claimStates(row).at(-1), at });
  return row;
}

/**
 * Gives back the claims of actions that surely never begin: their process ended, or is long overdue. Beginning an action
 * checks its claim in the same transaction: one that was only slow is refused then.
 */
async function withoutUnbegun(tx: Db, rows: readonly ClaimRow[], at: Date): Promise<ClaimRow[]> {
  const left: ClaimRow[] = [];
  for (const row of rows) {
    const unbegun = row.state === "claimed" && row.owner !== null;
    const overdue = at.getTime() - row.at > BEGINS_WITHIN_MS;
    if (unbegun && (overdue || (await isRunning(row.owner ?? "")) === false)) {
      const outcome = "Given back: its process ended before the action began.";
      const given = await change(tx, row.id, ["claimed"], { state: "failed", outcome, ended_at: at.getTime() }, at);
      if (given !== null) left.push(given);
    } else left.push(row);
  }
  return left;
}

/** The place of an action on a purchase, or null. A place that an action failed in is for the same action again. */
function placeFor({ tool, spends, arguments: args }: ActionRequest, rows: readonly ClaimRow[]): string | null {
  // One of them was done and not done, in two people's words: nothing more rests on this purchase.
  if (rows.some(isContradicted)) return null;
  const taken = rows.filter(isTaken);
  const kind = spends === "once" ? null : spends.kind;
  if (taken.some((row) => row.kind !== kind)) {
    // The one action of a purchase stands beside no other; kinds are counted each by itself.
    if (kind === null || taken.some((row) => row.kind === null)) return null;
  }
  const alike = taken.filter((row) => row.kind === kind);
  const places = new Map<string, ClaimRow[]>();
  for (const row of alike) places.set(row.place, [...(places.get(row.place) ?? []), row]);
  const isSame = (row: ClaimRow): boolean =>
    row.state === "failed" && row.tool === tool && row.arguments_sha256 === args.sha256;
  for (const [place, there] of places) if (there.every(isSame)) return place;
  const most = Math.min(spends === "once" ? 1 : spends.times, ...alike.map((row) => row.most ?? 1));
  if (places.size >= most) return null;
  if (kind === null) return "";
  // Not the next after the last: a place that was given back lies before it.
  let free = 1;
  while (places.has(`${kind}/${free}`)) free += 1;
  return `${kind}/${free}`;
}
