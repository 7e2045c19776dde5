import { toHex } from "../evidence/bytes.ts";
import { canonicalSha256 } from "../evidence/canonical.ts";
import type { Db } from "../storage/database.ts";
import { bareCore, checkIntegrity } from "./receipt.ts";
import { receiptSchema, type Receipt } from "./schema.ts";

/** What one log entry records. */
export const LOG_KINDS = ["receipt", "import", "later", "appraisal"] as const;
export type LogKind = (typeof LOG_KINDS)[number];

/** `prev` of the first entry. */
const GENESIS = "0".repeat(64);

/** An entry as it is hashed: sha256(JCS(entry)). */
type Entry = { seq: number; kind: string; receiptId: string; digest: string; at: number; prev: string };

const hashEntry = (entry: Entry): string => toHex(canonicalSha256(entry));

/** sha256(JCS(value)) of what an entry records, hex. */
const digestOf = (value: unknown): string => toHex(canonicalSha256(value));

/** What an entry of kind `receipt` or `import` records: the core without bodies, and the evidence an imported file came with. */
const firstDigest = (core: Receipt["core"], later: Receipt["later"]): string => digestOf({ core: bareCore(core), later });

/**
 * Appends an entry inside the caller's immediate transaction, so that number and predecessor are true across processes.
 * Records the receipt itself, or `value`: a later evidence or an appraisal.
 */
export async function appendEntry(
  tx: Db,
  options: { receipt: Receipt; at: Date } & ({ kind: "receipt" | "import" } | { kind: "later" | "appraisal"; value: unknown }),
): Promise<NonNullable<Receipt["log"]>> {
  const last = await tx.selectFrom("log").select(["seq", "hash"]).orderBy("seq", "desc").limit(1).executeTakeFirst();
  const entry: Entry = {
    seq: (last?.seq ?? 0) + 1,
    kind: options.kind,
    receiptId: options.receipt.id,
    digest: "value" in options ? digestOf(options.value) : firstDigest(options.receipt.core, options.receipt.later),
    at: options.at.getTime(),
    prev: last?.hash ?? GENESIS,
  };
  const hash = hashEntry(entry);
  await tx
    .insertInto("log")
    .values({ seq: entry.seq, kind: entry.kind, receipt_id: entry.receiptId, digest: entry.digest, at: entry.at, prev: entry.prev, hash })
    .execute();
  return { seq: entry.seq, prev: entry.prev, hash };
}

/** Outcome of walking the log. */
export type AuditResult =
  | { ok: true; entries: number; receipts: number; head: string }
  | { ok: false; seq: number | null; receiptId: string | null; code: string; message: string };

/**
 * Walks the hash chain and compares every stored receipt with what the log recorded of it: an edited, deleted,
 * inserted or reordered row is found and named. What it cannot see is a log whose newest entries were cut off together
 * with their receipts: keep the `head` of an earlier audit to notice that.
 */
export async function auditLog(db: Db): Promise<AuditResult> {
  const entries = await db.selectFrom("log").selectAll().orderBy("seq").execute();
  const recorded = new Map<string, { kind: string; digest: string; seq: number; hash: string; prev: string }[]>();
  let prev = GENESIS;
  for (const [index, row] of entries.entries()) {
    const entry: Entry = { seq: row.seq, kind: row.kind, receiptId: row.receipt_id, digest: row.digest, at: row.at, prev: row.prev };
    if (row.seq !== index + 1) return broken(row.seq, row.receipt_id, "log_gap", `Entry ${index + 1} is missing.`);
    if (row.prev !== prev) return broken(row.seq, row.receipt_id, "log_chain", `Entry ${row.seq} does not follow entry ${row.seq - 1}.`);
    if (row.hash !== hashEntry(entry)) return broken(row.seq, row.receipt_id, "log_entry_altered", `Entry ${row.seq} was altered.`);
    prev = row.hash;
    const list = recorded.get(row.receipt_id) ?? [];
    list.push(row);
    recorded.set(row.receipt_id, list);
  }
  const rows = await db.selectFrom("receipts").select(["id", "json", "verdict", "seller_id", "model", "created_at"]).execute();
  for (const row of rows) {
    const problem = compareReceipt(row, recorded.get(row.id) ?? []);
    if (problem !== null) return problem;
    recorded.delete(row.id);
  }
  for (const [id, list] of recorded) {
    return broken(list[0]?.seq ?? null, id, "receipt_missing", "The log records a receipt that is not stored any more.");
  }
  return { ok: true, entries: entries.length, receipts: rows.length, head: prev };
}

type StoredRow = { id: string; json: string; verdict: string; seller_id: string; model: string };

function compareReceipt(row: StoredRow, entries: { kind: string; digest: string; seq: number; hash: string; prev: string }[]): AuditResult | null {
  const [first, ...rest] = entries;
  if (first === undefined) return broken(null, row.id, "receipt_not_logged", "A stored receipt has no log entry.");
  const receipt = readStored(row.json);
  if (receipt === null || receipt.id !== row.id || !checkIntegrity(receipt).ok) {
    return broken(first.seq, row.id, "receipt_altered", "A stored receipt is not what its id names.");
  }
  const altered = (what: string): AuditResult => broken(first.seq, row.id, "receipt_altered", `A stored receipt's ${what} is not what was logged.`);
  // Evidence an imported receipt came with is recorded with its import and not one by one.
  const came = receipt.later.length - rest.filter((entry) => entry.kind === "later").length;
  if (came < 0 || (first.kind === "receipt" && came > 0)) return altered("later evidence");
  if ((first.kind !== "receipt" && first.kind !== "import") || first.digest !== firstDigest(receipt.core, receipt.later.slice(0, came))) {
    return altered("core");
  }
  if (receipt.log === null || receipt.log.seq !== first.seq || receipt.log.hash !== first.hash || receipt.log.prev !== first.prev) return altered("log place");
  const logged = (kind: LogKind): string[] => rest.filter((entry) => entry.kind === kind).map((entry) => entry.digest);
  if (!sameList(receipt.later.slice(came).map(digestOf), logged("later"))) return altered("later evidence");
  if (!sameList(receipt.appraisals.map(digestOf), logged("appraisal"))) return altered("appraisals");
  const newest = receipt.appraisals.at(-1)?.verdict ?? "";
  if (row.verdict !== newest || row.seller_id !== receipt.core.seller.id || row.model !== receipt.core.request.model) return altered("index");
  return null;
}

/** The stored JSON as a receipt, or null where it is none. */
export function readStored(json: string): Receipt | null {
  try {
    const parsed = receiptSchema.safeParse(JSON.parse(json));
    return parsed.success ? parsed.data : null;
  } catch {
    return null;
  }
}

const sameList = (a: readonly string[], b: readonly string[]): boolean => a.length === b.length && a.every((item, i) => item === b[i]);

const broken = (seq: number | null, receiptId: string | null, code: string, message: string): AuditResult => ({ ok: false, seq, receiptId, code, message });
