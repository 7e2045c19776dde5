import { digestOf } from "../receipts/log-digest.ts";
import { claimStates, holdState, stopState } from "../receipts/log-rows.ts";
import { receiptSchema, type Receipt } from "../receipts/schema.ts";
import { STORED, valueOfRow } from "../receipts/stored-rows.ts";
import type { Db } from "../storage/database.ts";
import type { LogTable } from "../storage/tables.ts";
import type { Change } from "./change.ts";

/** An entry of the log, as it is read to be told. */
export type LogRow = Pick<LogTable, "kind" | "receipt_id" | "digest" | "at"> & { seq: number };

/** The kinds of entries that a change is told of, each with its reader. The others are of the journal or say nothing by themselves. */
const READERS: Readonly<Record<string, (db: Db, entry: LogRow, kept: Kept) => Promise<Change | null>>> = {
  appraisal: verdictChange,
  import: importChange,
  hold: holdChange,
  claim: actionChange,
  stop: stopChange,
  decision: decisionChange,
};

/** Receipts read for several entries of one look. */
type Kept = Map<string, Receipt | null>;

/** The changes that entries of the log record, in their order. An entry is told by the state whose digest it has. */
export async function changesOfLog(db: Db, entries: readonly LogRow[]): Promise<Change[]> {
  const kept: Kept = new Map();
  const changes: Change[] = [];
  for (const entry of entries) {
    const read = Object.hasOwn(READERS, entry.kind) ? READERS[entry.kind] : undefined;
    const change = (await read?.(db, entry, kept)) ?? null;
    if (change !== null) changes.push(change);
  }
  return changes;
}

async function receiptOf(db: Db, id: string, kept: Kept): Promise<Receipt | null> {
  const known = kept.get(id);
  if (known !== undefined) return known;
  const row = await db.selectFrom("receipts").select(STORED).where("id", "=", id).executeTakeFirst();
  let receipt: Receipt | null = null;
  try {
    receipt = row === undefined ? null : (receiptSchema.safeParse(await valueOfRow(db, row)).data ?? null);
  } catch {
    // Bytes of it are gone or changed: the audit names it.
  }
  kept.set(id, receipt);
  return receipt;
}

async function verdictChange(db: Db, { receipt_id: id, digest, at }: LogRow, kept: Kept): Promise<Change | null> {
  const receipt = await receiptOf(db, id, kept);
  if (receipt === null) return null;
  const { appraisals, core } = receipt;
  const place = appraisals.findIndex((one) => digestOf(one) === digest);
  const appraisal = appraisals[place];
  if (appraisal === undefined) return null;
  const { verdict, assurance, simulated } = appraisal;
  const before = appraisals[place - 1]?.verdict ?? null;
  if (before === verdict) return null;
  const { seller, request } = core;
  return {
    kind: "verdict",
    at,
    receiptId: id,
    verdict,
    before,
    assurance,
    simulated,
    seller: seller.id,
    model: request.model,
  };
}

async function importChange(db: Db, { receipt_id: id, at }: LogRow, kept: Kept): Promise<Change | null> {
  const receipt = await receiptOf(db, id, kept);
  if (receipt === null) return null;
  return { kind: "import", at, receiptId: id, seller: receipt.core.seller.id, model: receipt.core.request.model };
}

async function holdChange(db: Db, { receipt_id: seller, digest, at }: LogRow): Promise<Change | null> {
  const row = await db.selectFrom("seller_holds").selectAll().where("seller_id", "=", seller).executeTakeFirst();
  if (row === undefined) return null;
  const isThis = (released: number | null): boolean =>
    digestOf(holdState({ ...row, released_at: released })) === digest;
  const state = isThis(null) ? "set" : isThis(row.released_at) ? "released" : null;
  if (state === null) return null;
  return {
    kind: "hold",
    at,
    seller,
    state,
    reason: row.reason,
    receiptId: row.receipt_id === "" ? null : row.receipt_id,
  };
}

async function actionChange(db: Db, { receipt_id: receiptId, digest, at }: LogRow): Promise<Change | null> {
  const rows = await db.selectFrom("receipt_claims").selectAll().where("receipt_id", "=", receiptId).execute();
  for (const row of rows) {
    const found = claimStates(row).find((one) => digestOf(one) === digest) as
      | { state?: string; late_state?: string }
      | undefined;
    const state = found?.state ?? found?.late_state;
    if (state !== undefined)
      return { kind: "action", at, id: row.id, state, action: row.tool ?? row.purpose, receiptId };
  }
  return null;
}

async function stopChange(db: Db, { receipt_id: id, digest, at }: LogRow): Promise<Change | null> {
  const row = await db.selectFrom("guard_stops").selectAll().where("id", "=", Number(id)).executeTakeFirst();
  if (row === undefined) return null;
  const state = digestOf(stopState({ ...row, ended_at: null })) === digest ? "ordered" : "ended";
  return { kind: "stop", at, id, state, reason: row.reason };
}

async function decisionChange(db: Db, { receipt_id: id, at }: LogRow): Promise<Change | null> {
  const row = await db.selectFrom("decisions").selectAll().where("id", "=", id).executeTakeFirst();
  if (row === undefined) return null;
  const { subject, outcome } = JSON.parse(row.json) as { subject: string; outcome: string };
  return { kind: "decision", at, id, purpose: row.purpose, subject, outcome };
}
