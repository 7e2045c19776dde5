import type { z } from "zod";
import type { ErrorCode } from "../errors.ts";
import { fromUtf8, sha256, textOf, toBase32, toHex, utf8 } from "../evidence/bytes.ts";
import { canonicalJson, canonicalObject, canonicalText } from "../evidence/canonical.ts";
import { parseJsonText } from "../evidence/json-text.ts";
import { bytesOf, hashesOf } from "../evidence/body.ts";
import { leavesRoom, MAX_FILE_BYTES } from "./budget.ts";
import { crowdedKind } from "./disputed.ts";
import { coreSchemas, MAX_OF_A_KIND, receiptSchema, type Receipt, type ReceiptCore } from "./schema.ts";

const PARTS = ["request", "response"] as const;

/** The core without the two bodies. It is named and logged, so redaction changes neither. */
export const bareCore = (core: ReceiptCore): ReceiptCore => withoutBody(withoutBody(core, "request"), "response");

function withoutBody(core: ReceiptCore, part: (typeof PARTS)[number]): ReceiptCore {
  const { body: _left, ...rest } = core[part];
  return { ...core, [part]: rest };
}

/**
 * `p402_` and the lower-case base32 (RFC 4648, no padding) of sha256(JCS(core)), bodies left out. Their SHA-256 and
 * Keccak-256 stay in the core and are compared with the bodies wherever those are present.
 *
 * @example
 * ```ts
 * import { receiptId, type Receipt } from "proof402/verify";
 *
 * const isWhole = ({ id, core }: Receipt): boolean => receiptId(core) === id;
 * ```
 */
export const receiptId = (core: ReceiptCore): string => idOfText(bareText(core));

const bareText = (core: ReceiptCore): string => canonicalText(bareCore(core));
const idOfText = (bare: string): string => `p402_${toBase32(sha256(utf8(bare)))}`;

/**
 * A receipt as fixed at delivery, of format 2 where the payment has a salt. Bodies too large for a receipt file are
 * left out; their hashes stay. Throws zod's error for a core outside the schema, and TypeError for text without a UTF-8
 * form.
 *
 * @example
 * ```ts
 * import { createReceipt, type Receipt } from "proof402/verify";
 *
 * // The same receipt without its maker's later evidence, appraisals and place in the log.
 * const bare = ({ core }: Receipt): Receipt => createReceipt(core);
 * ```
 */
export function createReceipt(core: ReceiptCore): Receipt {
  const version = core.payment.salt === undefined ? 1 : 2;
  const checked: ReceiptCore = coreSchemas[version].parse(fitting(core));
  return {
    type: "proof402/receipt",
    version,
    id: receiptId(checked),
    core: checked,
    later: [],
    appraisals: [],
    log: null,
  };
}

/** The core with as many bodies as a file has room for: an answer was paid for, so its receipt must not fail to be written or read. */
function fitting(core: ReceiptCore): ReceiptCore {
  const [request, response] = PARTS.map((part) => core[part].body?.length ?? 0) as [number, number];
  if (request + response === 0 || leavesRoom(core)) return core;
  return fitting(withoutBody(core, request > response ? "request" : "response"));
}

/** A receipt read from outside, or why it cannot be read. */
export type ParsedReceipt = { ok: true; receipt: Receipt } | { ok: false; code: ReceiptFault; message: string };

/** Why a receipt cannot be read. */
export type ReceiptFault = Extract<
  ErrorCode,
  | "receipt_too_large"
  | "receipt_not_utf8"
  | "receipt_not_json"
  | "receipt_malformed"
  | "receipt_version"
  | "receipt_id_mismatch"
  | "receipt_body_mismatch"
  | "receipt_digest_mismatch"
  | "receipt_crowded"
>;

/**
 * Reads a receipt file: size, strict UTF-8, JSON without duplicate keys or deep nesting, schema, id, hashes of the bodies
 * that are present, and at most {@link MAX_OF_A_KIND} pieces of a kind that is tried piece by piece. Never throws, and a
 * message names places in the file but repeats none of its text. Codes: `receipt_too_large`, `receipt_not_utf8`,
 * `receipt_not_json`, `receipt_malformed`, `receipt_version`, `receipt_id_mismatch`, `receipt_body_mismatch`,
 * `receipt_digest_mismatch`, `receipt_crowded`.
 *
 * @example
 * ```ts
 * import { readFile } from "node:fs/promises";
 * import { parseReceipt } from "proof402/verify";
 *
 * const parsed = parseReceipt(await readFile("receipt.json"));
 * process.stdout.write(parsed.ok ? parsed.receipt.id : parsed.code);
 * ```
 */
export function parseReceipt(input: Uint8Array | string): ParsedReceipt {
  const tooLarge = refuse("receipt_too_large", `A receipt is at most ${MAX_FILE_BYTES} bytes.`);
  // A text has at least as many bytes as UTF-16 units, so a huge one is not encoded to be measured.
  if (input.length > MAX_FILE_BYTES) return tooLarge;
  const bytes = typeof input === "string" ? utf8(input) : input;
  if (bytes.length > MAX_FILE_BYTES) return tooLarge;
  const text = typeof input === "string" && !input.isWellFormed() ? undefined : textOf(bytes);
  if (text === undefined) return refuse("receipt_not_utf8", "The file is not UTF-8 text.");
  const json = parseJsonText(text);
  return json.ok ? checkFile(checkedReceipt(json.value)) : refuse("receipt_not_json", json.message);
}

/** A receipt of a right id, and the canonical text of its core without bodies, which id and digest both cover. */
type Checked = (ParsedReceipt & { ok: true; bare: string }) | (ParsedReceipt & { ok: false });

/** The id covers the core alone; a file's digest covers every other field too, so that nothing in it changes unnoticed. */
function checkFile(parsed: Checked): ParsedReceipt {
  if (!parsed.ok) return parsed;
  const { digest, ...receipt } = parsed.receipt;
  if (digest !== digestBeside(parsed.bare, receipt))
    return refuse(
      "receipt_digest_mismatch",
      "The file's digest is missing or is not the hash of what the file holds: it was altered.",
    );
  const crowded = crowdedIn(receipt);
  return crowded === null ? { ok: true, receipt } : refuse("receipt_crowded", crowded);
}

/** A sentence about the kind of which a receipt from outside has too many pieces, or null. */
export function crowdedIn(receipt: Receipt): string | null {
  const kind = crowdedKind(receipt);
  return kind === null ? null : `The receipt holds more than ${MAX_OF_A_KIND} pieces of the kind ${kind}.`;
}

/** sha256(JCS(receipt)) without bodies, hex. Shows that a file is whole, not its author: anyone can compute it. */
export const receiptDigest = (receipt: Omit<Receipt, "digest">): string =>
  digestBeside(bareText(receipt.core), receipt);

/** The same where the canonical text of the core is there already. */
function digestBeside(bare: string, { core: _core, ...beside }: Omit<Receipt, "digest">): string {
  const others = Object.entries(beside).filter(([, value]) => value !== undefined);
  const texts = Object.fromEntries(others.map(([key, value]) => [key, canonicalText(value)]));
  return toHex(sha256(utf8(canonicalObject({ ...texts, core: bare }))));
}

/** Checks schema, id and body hashes of a value that claims to be a receipt. Never throws. Codes as `parseReceipt`. */
export function checkReceipt(value: unknown): ParsedReceipt {
  const checked = checkedReceipt(value);
  return checked.ok ? { ok: true, receipt: checked.receipt } : checked;
}

function checkedReceipt(value: unknown): Checked {
  const parsed = receiptSchema.safeParse(value);
  if (parsed.success) return checkIntegrity(parsed.data);
  if (isReceipt(value)) {
    const { version } = value;
    if (version !== 1 && version !== 2)
      return refuse("receipt_version", "The receipt has a version this program does not know. Update proof402.");
    if (receiptSchema.safeParse({ ...value, version: version === 1 ? 2 : 1 }).success)
      return refuse("receipt_version", "The receipt is not of the version that it names.");
  }
  return refuse("receipt_malformed", `Not a proof402 receipt: ${describe(parsed.error)}.`);
}

/** Compares id and body hashes with what they name. */
function checkIntegrity(receipt: Receipt): Checked {
  const bare = bareTextOf(receipt.core);
  if (bare === null || idOfText(bare) !== receipt.id) {
    return refuse("receipt_id_mismatch", "The receipt's id is not the hash of its core: it was altered.");
  }
  for (const part of PARTS) {
    const { body, sha256: sha, keccak256: keccak } = receipt.core[part];
    if (body === undefined) continue;
    const hashes = hashesOf(bytesOf(body));
    if (hashes.sha256 !== sha || hashes.keccak256 !== keccak) {
      return refuse(
        "receipt_body_mismatch",
        `The ${part} body does not have the hashes the receipt names: it was altered.`,
      );
    }
  }
  return { ok: true, receipt, bare };
}

/** Null where the core has no canonical form (a lone surrogate, say). */
function bareTextOf(core: ReceiptCore): string | null {
  try {
    return bareText(core);
  } catch {
    return null;
  }
}

const refuse = (code: ReceiptFault, message: string): ParsedReceipt & { ok: false } => ({ ok: false, code, message });

const isReceipt = (value: unknown): value is { version: unknown } =>
  typeof value === "object" &&
  value !== null &&
  "type" in value &&
  value.type === "proof402/receipt" &&
  "version" in value;

type Issue = { path: PropertyKey[]; message: string };

/** Where a receipt does not fit the schema, and what was expected there. */
function describe(error: z.ZodError): string {
  const [first] = error.issues;
  if (first === undefined) return "invalid";
  const { path, message } = innermost(first);
  // Keys may be anybody's words, and the message may end in front of a model.
  const place = path.map((part) => (/^\w{1,40}$/.test(String(part)) ? String(part) : "?")).join(".");
  return `${place === "" ? "(top)" : place}: ${message}`;
}

/** The issue itself, or of a union's branches the one that came furthest. */
function innermost(issue: z.core.$ZodIssue): Issue {
  if (issue.code === "unrecognized_keys")
    return { path: issue.path, message: "has a field that its version does not know" };
  if (issue.code !== "invalid_union") return issue;
  if (issue.errors.length === 0) return { path: issue.path, message: "is missing or has a value that no receipt has" };
  const [best] = issue.errors
    .flatMap((branch) => branch.slice(0, 1).map(innermost))
    .toSorted((a, b) => b.path.length - a.path.length);
  return best === undefined ? issue : { path: [...issue.path, ...best.path], message: best.message };
}

/**
 * The receipt as a file: indented JSON with a final newline. Equal receipts give equal bytes, in any order of their
 * keys.
 *
 * @example
 * ```ts
 * import { serializeReceipt, type Receipt } from "proof402/verify";
 *
 * const textOf = (receipt: Receipt): string => new TextDecoder().decode(serializeReceipt(receipt));
 * ```
 */
export function serializeReceipt(receipt: Receipt): Uint8Array {
  const sorted = JSON.parse(fromUtf8(canonicalJson(receipt))) as Receipt;
  const { type, version, id, core, later, appraisals, log } = sorted;
  const digest = receiptDigest({ type, version, id, core, later, appraisals, log });
  return utf8(`${JSON.stringify({ type, version, id, core, later, appraisals, log, digest }, null, 2)}\n`);
}

/** The parts of an exchange whose bytes a receipt does not hold. */
export const missingBodies = ({ core }: Receipt): (typeof PARTS)[number][] =>
  PARTS.filter((part) => core[part].body === undefined);

/** A receipt with the bodies that it lacks and another of the same id has. */
export function withBodies(receipt: Receipt, { core: other }: Receipt): Receipt {
  const { core } = receipt;
  return {
    ...receipt,
    core: {
      ...core,
      request: { ...other.request, ...core.request },
      response: { ...other.response, ...core.response },
    },
  };
}

/**
 * The receipt without the request's or the response's bytes. Id and hashes stay; what needs the bytes is then `skip`.
 *
 * @example
 * ```ts
 * import { redactReceipt, serializeReceipt, type Receipt } from "proof402/verify";
 *
 * // A receipt's file for an auditor: the question stays here, its hash travels.
 * const forAuditor = (receipt: Receipt): Uint8Array => serializeReceipt(redactReceipt(receipt, { request: true }));
 * ```
 */
export function redactReceipt(receipt: Receipt, parts: { request?: boolean; response?: boolean }): Receipt {
  const core = PARTS.reduce((left, part) => (parts[part] === true ? withoutBody(left, part) : left), receipt.core);
  return { ...receipt, core };
}
