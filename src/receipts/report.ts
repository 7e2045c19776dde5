import { Proof402Error } from "../errors.ts";
import { fromUtf8 } from "../evidence/bytes.ts";
import type { Db } from "../storage/database.ts";
import { VERSION } from "../version.ts";
import { decisionDigest, type Decision } from "./decision-schema.ts";
import { decisionOf } from "./decisions.ts";
import { snapshot } from "./log.ts";
import { serializeReceipt } from "./receipt.ts";
import {
  MAX_DECISIONS,
  MAX_ENTRIES,
  MAX_REPORT_BYTES,
  serializeReport,
  reportDigest,
  type Report,
} from "./report-schema.ts";
import { requireReceipt } from "./store.ts";

/** A period of decisions, and of which purpose. */
export type ReportRequest = { from: Date; to: Date; purpose?: string | undefined };

/**
 * The decisions made at `from` or later and before `to`, with their receipts and the log from the first entry of that time
 * to its head: so nothing between can be left out. A period reaches no further than `now`.
 *
 * Throws Proof402Error `report_too_large`, `invalid_input` for a period without length, and `receipt_store_damaged`.
 */
export async function makeReport(db: Db, { from, to: asked, purpose }: ReportRequest, now: Date): Promise<Report> {
  const to = asked.getTime() > now.getTime() ? now : asked;
  if (!(from.getTime() < to.getTime()))
    throw new Proof402Error("invalid_input", "The period of the report has no length, or lies ahead.", {
      next: "Name a beginning that comes before the end and before now.",
    });
  return snapshot(db, async (tx) => {
    const { before, entries } = await segmentFrom(tx, from.getTime());
    const decisions: Decision[] = [];
    const others: Report["others"] = [];
    for (const { seq, kind, receiptId: id, at } of entries) {
      if (kind !== "decision" || at < from.getTime() || at >= to.getTime()) continue;
      const decision = await decisionAt(tx, id);
      if (purpose === undefined || decision.purpose === purpose) decisions.push(decision);
      else others.push({ seq, purpose: decision.purpose, record: decisionDigest(decision) });
    }
    if (decisions.length > MAX_DECISIONS) throw tooLarge(`${decisions.length} decisions`);
    const receipts: unknown[] = [];
    let bytes = 0;
    for (const id of new Set(decisions.flatMap((one) => one.receipts.map((receipt) => receipt.id)))) {
      const text = fromUtf8(serializeReceipt(await requireReceipt(tx, id)));
      bytes += text.length;
      if (bytes > MAX_REPORT_BYTES) throw tooLarge("the receipts");
      receipts.push(JSON.parse(text));
    }
    const content = {
      type: "proof402/report" as const,
      version: 1 as const,
      made: { at: now.toISOString(), by: { name: "proof402", version: VERSION } },
      period: { from: from.toISOString(), to: to.toISOString() },
      purpose: purpose ?? null,
      chain: { before, entries },
      decisions,
      others,
      receipts,
    };
    if (serializeReport(content).length > MAX_REPORT_BYTES) throw tooLarge("the whole");
    return { ...content, digest: reportDigest(content) };
  });
}

/** The log from the first entry of that time on, and the entry before it. */
async function segmentFrom(tx: Db, from: number): Promise<Report["chain"]> {
  const { first } = await tx
    .selectFrom("log")
    .select(({ fn }) => fn.min<number | null>("seq").as("first"))
    .where("at", ">=", from)
    .executeTakeFirstOrThrow();
  const rows = await tx
    .selectFrom("log")
    .selectAll()
    .where("seq", ">=", first ?? Number.MAX_SAFE_INTEGER)
    .orderBy("seq")
    .limit(MAX_ENTRIES + 1)
    .execute();
  if (rows.length > MAX_ENTRIES) throw tooLarge(`more than ${MAX_ENTRIES} entries of the log`);
  const last = await tx
    .selectFrom("log")
    .selectAll()
    .where("seq", "<", first ?? Number.MAX_SAFE_INTEGER)
    .orderBy("seq", "desc")
    .limit(1)
    .executeTakeFirst();
  const entryOf = ({ seq, kind, receipt_id: receiptId, digest, at, hash }: (typeof rows)[number]) => ({
    seq,
    kind,
    receiptId,
    digest,
    at,
    hash,
  });
  return {
    before: last === undefined ? null : { ...entryOf(last), prev: last.prev },
    entries: rows.map(entryOf),
  };
}

async function decisionAt(tx: Db, id: string): Promise<Decision> {
  const row = await tx.selectFrom("decisions").select(["id", "json"]).where("id", "=", id).executeTakeFirst();
  return decisionOf(row ?? { id, json: "" });
}

const tooLarge = (what: string): Proof402Error =>
  new Proof402Error("report_too_large", `The period holds more than one report can: ${what}.`, {
    next: "Report a shorter period, or one purpose at a time.",
  });
