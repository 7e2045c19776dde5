import { keccak256, fromBase64, fromUtf8, sha256, toBase32, toHex, utf8 } from "../evidence/bytes.ts";
import { canonicalSha256 } from "../evidence/canonical.ts";
import { checkJsonText } from "./json-text.ts";
import { receiptSchema, type Receipt, type ReceiptCore } from "./schema.ts";

/** Largest receipt file read, bytes. */
const MAX_BYTES = 8_000_000;

/** The core without the two bodies: what is named and logged, so that redaction keeps both. */
export function bareCore(core: ReceiptCore): ReceiptCore {
  const { body: _request, ...request } = core.request;
  const { body: _response, ...response } = core.response;
  return { ...core, request, response };
}

/**
 * `p402_` and the lower-case base32 (RFC 4648, no padding) of sha256(JCS(core)), bodies left out. Their SHA-256 and
 * Keccak-256 stay in the core and are compared with the bodies wherever those are present.
 */
export const receiptId = (core: ReceiptCore): string => `p402_${toBase32(canonicalSha256(bareCore(core)))}`;

/** A receipt as fixed at delivery. Throws zod's error for a core that does not fit the schema. */
export const createReceipt = (core: ReceiptCore): Receipt =>
  receiptSchema.parse({ type: "proof402/receipt", version: 1, id: receiptId(core), core, later: [], appraisals: [], log: null });

/** A receipt read from outside, or why it cannot be read. */
export type ParsedReceipt = { ok: true; receipt: Receipt } | { ok: false; code: string; message: string };

/**
 * Reads a receipt file: size, strict UTF-8, JSON without duplicate keys or deep nesting, schema, id, and hashes of the
 * bodies that are present. Never throws. Codes: `receipt_too_large`, `receipt_not_utf8`, `receipt_not_json`,
 * `receipt_malformed`, `receipt_version`, `receipt_id_mismatch`, `receipt_body_mismatch`.
 */
export function parseReceipt(input: Uint8Array | string): ParsedReceipt {
  if (input.length > MAX_BYTES) return refuse("receipt_too_large", `A receipt is at most ${MAX_BYTES} bytes.`);
  let text: string;
  try {
    text = typeof input === "string" ? input : fromUtf8(input);
  } catch {
    return refuse("receipt_not_utf8", "The file is not UTF-8 text.");
  }
  const problem = checkJsonText(text);
  if (problem !== null) return refuse("receipt_not_json", problem);
  const value: unknown = JSON.parse(text);
  const parsed = receiptSchema.safeParse(value);
  if (!parsed.success) {
    if (isOtherVersion(value)) return refuse("receipt_version", "The receipt has a version this program does not know. Update proof402.");
    const [issue] = parsed.error.issues;
    return refuse("receipt_malformed", `Not a proof402 receipt: ${issue?.path.map(String).join(".") || "(top)"}: ${issue?.message ?? "invalid"}.`);
  }
  return checkIntegrity(parsed.data);
}

/** Compares id and body hashes with what they name. */
export function checkIntegrity(receipt: Receipt): ParsedReceipt {
  if (idOf(receipt.core) !== receipt.id) return refuse("receipt_id_mismatch", "The receipt's id is not the hash of its core: it was altered.");
  for (const part of ["request", "response"] as const) {
    const { body, sha256: sha, keccak256: keccak } = receipt.core[part];
    if (body === undefined) continue;
    const bytes = fromBase64(body);
    if (toHex(sha256(bytes)) !== sha || toHex(keccak256(bytes)) !== keccak) {
      return refuse("receipt_body_mismatch", `The ${part} body does not have the hashes the receipt names: it was altered.`);
    }
  }
  return { ok: true, receipt };
}

/** Null where the core has no canonical form (a lone surrogate, say). */
function idOf(core: ReceiptCore): string | null {
  try {
    return receiptId(core);
  } catch {
    return null;
  }
}

const refuse = (code: string, message: string): ParsedReceipt => ({ ok: false, code, message });

const isOtherVersion = (value: unknown): boolean =>
  typeof value === "object" && value !== null && "type" in value && value.type === "proof402/receipt" && "version" in value && value.version !== 1;

/** The receipt as a file: indented JSON with a final newline. */
export const serializeReceipt = (receipt: Receipt): Uint8Array => utf8(`${JSON.stringify(receipt, null, 2)}\n`);

/** The receipt without the request's or the response's bytes. Id and hashes stay; what needs the bytes is then `skip`. */
export function redactReceipt(receipt: Receipt, parts: { request?: boolean; response?: boolean }): Receipt {
  const bare = bareCore(receipt.core);
  return {
    ...receipt,
    core: {
      ...receipt.core,
      request: parts.request === true ? bare.request : receipt.core.request,
      response: parts.response === true ? bare.response : receipt.core.response,
    },
  };
}
