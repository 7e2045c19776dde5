import * as z from "zod";
import type { ErrorCode } from "../errors.ts";
import { fromUtf8, textOf, toHex, utf8, type Bytes } from "../evidence/bytes.ts";
import { canonicalJson, canonicalSha256 } from "../evidence/canonical.ts";
import { parseJsonText } from "../evidence/json-text.ts";
import { decisionSchema, line } from "./decision-schema.ts";
import { hex, instant } from "./fields.ts";
import { isRecord } from "../evidence/record.ts";

/** Largest report file, bytes: what is larger is neither written nor read. */
export const MAX_REPORT_BYTES = 64_000_000;
const MAX_REPORT_VALUES = 4_000_000;
/** Most decisions and log entries of one report. */
export const MAX_DECISIONS = 10_000;
export const MAX_ENTRIES = 200_000;

const entry = {
  seq: z.int().min(1),
  kind: z.string().regex(/^[a-z]{1,32}$/),
  receiptId: z.string().regex(/^[\x21-\x7e]{1,256}$/),
  digest: hex(32),
  at: z.int(),
  hash: hex(32),
};
/** An entry of the log. Its `prev` is the hash of the entry before it. */
const entrySchema = z.strictObject(entry);

const content = {
  type: z.literal("proof402/report"),
  version: z.literal(1),
  made: z.strictObject({
    at: instant,
    by: z.strictObject({ name: z.string().max(64), version: z.string().max(32) }),
  }),
  /** From this time on, and before that one. */
  period: z.strictObject({ from: instant, to: instant }),
  /** Of decisions of this purpose only; null of all. */
  purpose: line(128).nullable(),
  chain: z.strictObject({
    /** The last entry before the segment; null if it begins with the log. */
    before: z.strictObject({ ...entry, prev: hex(32) }).nullable(),
    /** Every entry from the first of the period to the log's head, in order. */
    entries: z.array(entrySchema).max(MAX_ENTRIES),
  }),
  decisions: z.array(decisionSchema).max(MAX_DECISIONS),
  /** Decisions of the period with another purpose: entry, purpose, and sha256 of the decision. */
  others: z.array(z.strictObject({ seq: z.int().min(1), purpose: line(128), record: hex(32) })).max(MAX_ENTRIES),
  /** Receipt files as JSON values. Each is read as a file is. */
  receipts: z.array(z.unknown()).max(MAX_ENTRIES),
};

const contentSchema = z.strictObject(content);
/** The shape of a report file. A check of its digest, its log and its receipts is `verifyReport`'s. */
export const reportSchema = z.strictObject({ ...content, digest: hex(32) });

/** What a report tells: everything but its digest. */
export type ReportContent = z.infer<typeof contentSchema>;
export type Report = z.infer<typeof reportSchema>;

/** sha256(JCS(report)) without the digest, hex. Shows that a file is whole, not its author: anyone can compute it. */
export const reportDigest = ({ digest: _digest, ...rest }: ReportContent & { digest?: string }): string =>
  toHex(canonicalSha256(rest));

/**
 * The report as a file: indented JSON with a final newline. Equal reports give equal bytes, in any order of their keys.
 *
 * @example
 * ```ts
 * import { openBuyer } from "proof402";
 * import { serializeReport } from "proof402/verify";
 *
 * await using buyer = await openBuyer();
 * const report = await buyer.report({ from: new Date("2026-11-01"), to: new Date("2026-12-01") });
 * process.stdout.write(serializeReport(report));
 * ```
 */
export function serializeReport(report: ReportContent & { digest?: string }): Bytes {
  const sorted = JSON.parse(fromUtf8(canonicalJson({ ...report, digest: reportDigest(report) }))) as Report;
  const { type, version, made, period, purpose, chain, decisions, others, receipts, digest } = sorted;
  const whole = { type, version, made, period, purpose, chain, decisions, others, receipts, digest };
  return utf8(`${JSON.stringify(whole, null, 2)}\n`);
}

/** Why a report cannot be read. */
export type ReportFault = Extract<ErrorCode, "report_too_large" | "report_malformed" | "report_version">;
/** A report read from outside, and whether its digest holds; or why it cannot be read. */
export type ParsedReport =
  | { ok: true; report: Report; isWhole: boolean }
  | { ok: false; code: ReportFault; message: string };

/** Whether a file says that it is a report. */
export function isReport(bytes: Uint8Array): boolean {
  if (bytes.length > MAX_REPORT_BYTES) return false;
  const text = textOf(bytes);
  if (text?.includes('"proof402/report"') !== true) return false;
  const json = parseJsonText(text, MAX_REPORT_VALUES);
  // With a key given twice it is one for some readers, and is refused as one.
  return json.ok ? isRecord(json.value) && json.value["type"] === "proof402/report" : true;
}

/**
 * Reads a report file: size, strict UTF-8, JSON without duplicate keys or deep nesting, and schema. Never throws, and repeats
 * no text of the file. Its receipts are left for a reader of receipts.
 */
export function parseReport(bytes: Uint8Array): ParsedReport {
  if (bytes.length > MAX_REPORT_BYTES)
    return refuse("report_too_large", `A report is at most ${MAX_REPORT_BYTES} bytes.`);
  const text = textOf(bytes);
  if (text === undefined) return refuse("report_malformed", "The file is not UTF-8 text.");
  const json = parseJsonText(text, MAX_REPORT_VALUES);
  if (!json.ok) return refuse("report_malformed", `The report cannot be read. ${json.message}`);
  const parsed = reportSchema.safeParse(json.value);
  if (parsed.success)
    return { ok: true, report: parsed.data, isWhole: reportDigest(parsed.data) === parsed.data.digest };
  if (isRecord(json.value) && json.value["type"] === "proof402/report" && json.value["version"] !== 1)
    return refuse("report_version", "The report has a version this program does not know. Update proof402.");
  const [issue] = parsed.error.issues;
  // Keys may be anybody's words.
  const place = issue?.path.map((part) => (/^\w{1,40}$/.test(String(part)) ? String(part) : "?")).join(".") ?? "";
  const what = issue?.code === "unrecognized_keys" ? "has a field that its version does not know" : issue?.message;
  return refuse("report_malformed", `Not a proof402 report: ${place === "" ? "(top)" : place}: ${what ?? "invalid"}.`);
}

const refuse = (code: ReportFault, message: string): ParsedReport => ({ ok: false, code, message });
