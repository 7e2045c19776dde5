import { keccak256, toHex } from "../../evidence/bytes.ts";
import type { SignedForm } from "../../evidence/exchange/format.ts";
import { formatOf } from "../../evidence/exchange/formats.ts";
import { bytesOf } from "../../evidence/body.ts";
import type { LayerResult, ReceiptCore } from "../../receipts/schema.ts";
import type { RsaSignatureEvidence } from "../../receipts/signature-schema.ts";
import { fail, skip } from "../types.ts";
import { unknownFormat } from "./answer.ts";

/** The hashes under a signature, hex. `what` completes "... signed exactly". */
export type SignedHashes = { requestHash: string; outputHash: string; what: string };

type Kind = RsaSignatureEvidence["kind"];

/** What each kind of response signature covers: recomputed from the exchange, or a layer's result if it cannot be. */
const HASHES: { [K in Kind]: (core: ReceiptCore, evidence: RsaSignatureEvidence) => SignedHashes | LayerResult } = {
  "signature.tee": hashesOfBytes,
  "signature.opengradient": hashesOfForms,
};

/** Computes what a response signature must cover. It must be of the kind of the exchange's format. */
export function signedHashes(core: ReceiptCore, evidence: RsaSignatureEvidence): SignedHashes | LayerResult {
  const format = formatOf(core.seller.provider);
  if (format === null && evidence.kind !== "signature.tee") return unknownFormat();
  const kind = format?.signed?.kind ?? "signature.tee";
  return evidence.kind === kind
    ? HASHES[evidence.kind](core, evidence)
    : fail("signature_of_another_kind", "Sellers of this kind sign in another way than this signature's.");
}

function hashesOfBytes({ request, response }: ReceiptCore, evidence: RsaSignatureEvidence): SignedHashes | LayerResult {
  if (evidence.requestHash !== request.keccak256) return ANOTHER_REQUEST;
  if (evidence.outputHash !== response.keccak256)
    return fail("output_hash_mismatch", "The bytes received are not the bytes the seller signed.");
  return { requestHash: request.keccak256, outputHash: response.keccak256, what: "these request and response bytes" };
}

/** Without its bytes a part has no form: nothing else ties the file to what was signed. */
function hashesOfForms(
  { seller, request, response }: ReceiptCore,
  evidence: RsaSignatureEvidence,
): SignedHashes | LayerResult {
  const signed = formatOf(seller.provider)?.signed;
  if (signed?.kind !== "signature.opengradient") return unknownFormat();
  if (request.body === undefined || response.body === undefined)
    return skip("body_redacted", "A signature of what the bytes say cannot be compared without them.");
  const [asked, answered] = [bytesOf(request.body), bytesOf(response.body)];
  const told = signed.signatureIn(answered);
  if (told === null)
    return skip("answer_not_signed", "The answer does not end with a signature, so nothing of it counts as signed.");
  if (FIELDS.some((field) => told[field] !== evidence[field]))
    return fail("signature_not_of_answer", "The signature is not the one that the answer ends with.");
  const [ofRequest, ofAnswer] = [
    formWith(signed.formsOf(asked, "request"), evidence.requestHash),
    formWith(signed.formsOf(answered, "response"), evidence.outputHash),
  ];
  if (ofRequest === "none" || ofAnswer === "none")
    return skip("form_unread", "The bytes have no form in which sellers of this kind sign.");
  if (ofRequest === null) return ANOTHER_REQUEST;
  if (ofRequest.ofAnother === true)
    return skip(
      "form_of_another",
      "Another request has the same signed form: a list of contents and its text are alike, or an option that this form leaves out is there or not.",
    );
  if (ofAnswer === null) return fail("output_hash_mismatch", "The answer is not the one that the seller signed.");
  if (ofAnswer.ofAnother === true)
    return skip(
      "form_of_another",
      "Another answer has the same signed form: images are left out of it, and calls without an index are one.",
    );
  return {
    requestHash: evidence.requestHash,
    outputHash: evidence.outputHash,
    what: `this request (form ${ofRequest.name}) and the answer's ${ofAnswer.name}`,
  };
}

/** Whether the answer's bytes hold a signature of its format, read or not. */
export function bearsUnread({ seller, response }: ReceiptCore): boolean {
  const signed = formatOf(seller.provider)?.signed;
  return (
    signed?.kind === "signature.opengradient" &&
    response.body !== undefined &&
    signed.bearsSignature(bytesOf(response.body))
  );
}

const FIELDS = ["teeId", "requestHash", "outputHash", "timestamp", "signature"] as const;

const ANOTHER_REQUEST = fail("request_hash_mismatch", "The seller signed another request than the one sent.");

/** The form with this hash, or null. */
function formWith(forms: readonly SignedForm[], hash: string): SignedForm | "none" | null {
  if (forms.length === 0) return "none";
  return forms.find(({ bytes }) => toHex(keccak256(bytes)) === hash) ?? null;
}
