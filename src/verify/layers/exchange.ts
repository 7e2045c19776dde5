import type { ExchangeFormat, Part } from "../../evidence/exchange/format.ts";
import { formatOf } from "../../evidence/exchange/formats.ts";
import { bytesOf, hashesOf } from "../../evidence/body.ts";
import type { LayerResult, ReceiptCore } from "../../receipts/schema.ts";
import { isAnswer, isUndecoded, transferOf } from "../../receipts/transfer.ts";
import { unknownFormat } from "./answer.ts";
import type { AppraisalPolicy } from "../policy.ts";
import { judgeServed, spellingServed } from "./served-model.ts";
import { judgePlace } from "./terms.ts";
import { fail, pass, skip } from "../types.ts";

/** Null when a body is absent or has the hashes the receipt names; else what is wrong. */
function checkBody(part: ReceiptCore["request"] | ReceiptCore["response"], what: string): LayerResult | null {
  if (part.body === undefined) return null;
  const { sha256, keccak256 } = hashesOf(bytesOf(part.body));
  if (sha256 === part.sha256 && keccak256 === part.keccak256) return null;
  return fail("body_hash_mismatch", `The ${what} bytes do not have the hashes that the receipt names.`);
}

/**
 * Whether the bytes of the exchange carry the purchase's nonce: those of the request or, if they are redacted, the answer's
 * echo of it. Null where they do.
 */
export function judgeCarried({ seller, request, response }: ReceiptCore): LayerResult | null {
  const [part, body] =
    request.body === undefined ? (["response", response.body] as const) : (["request", request.body] as const);
  // The core's own word for the nonce binds nothing: only bytes can carry it whose hash the seller signs.
  if (body === undefined)
    return skip("bodies_redacted", "Request and answer are both redacted: nothing shows what the payment was for.");
  const format = formatOf(seller.provider);
  if (format === null) return unknownFormat();
  const carried = format.nonceIn(bytesOf(body), part);
  if (carried === request.nonce) return null;
  if (carried !== null || format.mustCarry[part].includes("nonce"))
    return fail("request_not_bound", "The bytes of the exchange do not carry the authorization's hash.");
  return part === "request"
    ? skip("nonce_not_carried", "The bytes of the exchange carry no nonce: nothing shows what the payment was for.")
    : skip("bodies_redacted", "The request is redacted: nothing shows what the payment was for.");
}

/**
 * Where the payment's nonce is, for formats whose answers need not repeat it. Of other formats, and of bytes left out, the
 * layers say it.
 */
export function carriedIn({ seller, request }: ReceiptCore): "both" | "request" | "neither" {
  const format = formatOf(seller.provider);
  if (format === null || format.mustCarry.response.includes("nonce") || request.body === undefined) return "both";
  return format.nonceIn(bytesOf(request.body), "request") === request.nonce ? "request" : "neither";
}

/** What a passed signature leaves open of the exchange, or null if it is of all bytes. */
export const signatureLeavesOut = ({ seller }: ReceiptCore): string | null =>
  formatOf(seller.provider)?.signed?.leavesOut ?? null;

/**
 * `request`: it went to the seller of the policy, and the seller's key signed for the hash of exactly the bytes we sent,
 * which carry our nonce.
 */
export function judgeRequest(core: ReceiptCore, signature: LayerResult, policy: AppraisalPolicy): LayerResult {
  const wrong = checkBody(core.request, "request");
  if (wrong !== null) return wrong;
  const format = formatOf(core.seller.provider);
  const bytes = core.request.body === undefined ? null : bytesOf(core.request.body);
  if (format !== null && bytes !== null && format.isAmbiguous(bytes))
    return fail("body_ambiguous", "The request names a key twice, so two readers may hold two requests.");
  if (format !== null && bytes !== null && differs("nonce", core, "request", format, bytes))
    return fail("nonce_missing", "The request bytes do not carry the purchase's nonce.");
  if (format !== null && bytes !== null && differs("model", core, "request", format, bytes))
    return fail("model_name_mismatch", "The request bytes ask for another model than the receipt names.");
  const place = judgePlace(core, policy);
  if (place?.status === "fail") return place;
  if (format === null) return unknownFormat();
  if (signature.status !== "pass") return skip("not_signed", "No signature that passed covers the request.");
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
  const another = judgeServed(core);
  if (another !== null) return another;
  if (status !== 200 && signature.status === "pass")
    return skip("status_of_another_format", `The answer came with status ${status}; the exchange format's is 200.`);
  return signature.status === "pass" ? signature : (asItCame(core) ?? signature);
}

/** Whether a part lacks what its format has it carry, or carries another one than the purchase's. */
function differs(
  what: "nonce" | "model",
  { request }: ReceiptCore,
  part: Part,
  format: ExchangeFormat,
  body: Uint8Array,
): boolean {
  const found = what === "nonce" ? format.nonceIn(body, part) : format.modelIn(body, part);
  if (found === null) return format.mustCarry[part].includes(what);
  const same =
    what === "model" && part === "response" ? format.compareModels?.(request.model, found).isSame : undefined;
  return !(same ?? found === request[what]);
}

/** No signature could fit bytes other than the answer's whole content, so a wrong one blames nothing on the seller. */
function asItCame(core: ReceiptCore): LayerResult | null {
  const { cut = null, coding = null } = transferOf(core) ?? {};
  if (cut !== null)
    return skip("answer_cut", `Only the beginning of the answer came (${cut}): nothing can be concluded from it.`);
  return coding !== null && isUndecoded(core)
    ? skip("answer_coded", `The answer came in a content coding that cannot be decoded (${coding.name}).`)
    : null;
}

/**
 * `model`, from the exchange: the signature covers bodies and not the URL, so the answer itself must name the model and
 * echo the nonce. A signed answer that names another model is a contradiction, also where the weights behind the name were
 * never measured.
 */
export function judgeNamedModel(core: ReceiptCore, attested: LayerResult, signature: LayerResult): LayerResult {
  const another = judgeServed(core);
  if (another !== null) return another;
  const judged = judgeAnswered(core, attested, signature);
  const spelling = judged.status === "fail" ? null : spellingServed(core);
  return spelling === null ? judged : { ...judged, note: `${judged.note} ${spelling}` };
}

function judgeAnswered(core: ReceiptCore, attested: LayerResult, signature: LayerResult): LayerResult {
  if (attested.status !== "pass" && signature.status !== "pass") return attested;
  const named = judgeNames(core, signature.status === "pass" ? "signed answer" : "answer");
  return attested.status === "pass" ? (named ?? attested) : named?.status === "fail" ? named : attested;
}

/** Null where request and answer name the model that was asked for. */
function judgeNames(core: ReceiptCore, answer: "signed answer" | "answer"): LayerResult | null {
  const { seller, request, response } = core;
  const format: ExchangeFormat | null = formatOf(seller.provider);
  if (format === null) return unknownFormat();
  const asked = request.body === undefined ? undefined : bytesOf(request.body);
  if (format.at === undefined && request.path !== format.pathOf(request.model, asked))
    return fail("path_mismatch", "The request went to another model's address.");
  // A refusal has no model's name to give.
  if (!isAnswer(core)) return skip("not_answered", `The seller answered with status ${response.status}, by no model.`);
  if (response.body === undefined)
    return skip("body_redacted", "The answer's bytes are redacted, so the model it names cannot be read.");
  const body = bytesOf(response.body);
  const notWhole = format.modelIn(body, "response") === null ? asItCame(core) : null;
  if (notWhole !== null) return notWhole;
  if (format.isAmbiguous(body))
    return fail("body_ambiguous", `The ${answer} names a key twice, so two readers may hold two answers.`);
  if (differs("model", core, "response", format, body))
    return fail("model_name_mismatch", `The ${answer} names another model than was asked for.`);
  if (differs("nonce", core, "response", format, body))
    return fail("nonce_mismatch", `The ${answer} does not echo the purchase's nonce.`);
  return null;
}
