import { fromBase64, fromUtf8, keccak256, sha256, toHex } from "../evidence/bytes.ts";
import { parseExactJson } from "../evidence/exact-json.ts";
import type { LayerResult, ReceiptCore } from "../receipts/schema.ts";
import type { AppraisalPolicy } from "./policy.ts";
import { judgePlace } from "./terms.ts";
import { fail, pass, skip } from "./types.ts";

/** Null when a body is absent or has the hashes the receipt names; else what is wrong. */
function checkBody(part: ReceiptCore["request"] | ReceiptCore["response"], what: string): LayerResult | null {
  if (part.body === undefined) return null;
  const bytes = fromBase64(part.body);
  if (toHex(sha256(bytes)) === part.sha256 && toHex(keccak256(bytes)) === part.keccak256) return null;
  return fail("body_hash_mismatch", `The ${what} bytes do not have the hashes that the receipt names.`);
}

/**
 * Whether the bytes of the exchange carry the purchase's nonce: those of the request or, where they are redacted, the
 * answer's echo of it. Null where both are redacted.
 */
export function carriesNonce(core: ReceiptCore): boolean | null {
  const body = core.request.body ?? core.response.body;
  return body === undefined ? null : readBody(body)?.["id"] === core.request.nonce;
}

/**
 * `request`: it went to the seller of the policy, and the seller's key signed for the hash of exactly the bytes we sent,
 * which carry our nonce.
 */
export function judgeRequest(core: ReceiptCore, signature: LayerResult, policy: AppraisalPolicy): LayerResult {
  const wrong = checkBody(core.request, "request");
  if (wrong !== null) return wrong;
  if (core.request.body !== undefined && readBody(core.request.body)?.["id"] !== core.request.nonce)
    return fail("nonce_missing", "The request bytes do not carry the purchase's nonce.");
  const place = judgePlace(core, policy);
  if (place?.status === "fail") return place;
  if (signature.status !== "pass") return skip("not_signed", "No verified signature covers the request.");
  return place ?? pass("The signed request hash is that of the bytes sent.");
}

/**
 * `response`: the seller's key signed for the bytes we got. No signature covers the status, so only the one that the exchange
 * format has for an answer counts: 200 (Open Inference Protocol v2, REST, inference).
 */
export function judgeResponse(core: ReceiptCore, signature: LayerResult): LayerResult {
  const wrong = checkBody(core.response, "response");
  if (wrong !== null) return wrong;
  const { status } = core.response;
  if (status < 200 || status > 299) return fail("status_not_ok", `The seller answered with status ${status}.`);
  if (status !== 200 && signature.status === "pass")
    return skip("status_of_another_format", `The answer came with status ${status}; the exchange format's is 200.`);
  return signature;
}

/**
 * `model`, from the exchange: the signature covers bodies and not the URL, so the answer itself must name the model and
 * echo the nonce (Open Inference Protocol v2, inference response `model_name` and `id`). A signed answer that names
 * another model is a contradiction, also where the weights behind the name were never measured.
 */
export function judgeNamedModel(core: ReceiptCore, attested: LayerResult, signature: LayerResult): LayerResult {
  if (attested.status !== "pass" && signature.status !== "pass") return attested;
  const named = judgeNames(core);
  return attested.status === "pass" ? (named ?? attested) : named?.status === "fail" ? named : attested;
}

/** Null where request and answer name the model that was asked for. */
function judgeNames(core: ReceiptCore): LayerResult | null {
  if (core.request.path !== `/v2/models/${encodeURIComponent(core.request.model)}/infer`) {
    return fail("path_mismatch", "The request went to another model's address.");
  }
  if (core.response.body === undefined)
    return skip("body_redacted", "The answer's bytes are redacted, so the model it names cannot be read.");
  const body = readBody(core.response.body);
  if (body?.["model_name"] !== core.request.model)
    return fail("model_name_mismatch", "The signed answer names another model than was asked for.");
  if (body["id"] !== core.request.nonce)
    return fail("nonce_mismatch", "The signed answer does not echo the purchase's nonce.");
  return null;
}

/** A JSON object body, or null. */
function readBody(body: string | undefined): Record<string, unknown> | null {
  if (body === undefined) return null;
  try {
    const value = parseExactJson(fromUtf8(fromBase64(body)));
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : null;
  } catch {
    return null;
  }
}
