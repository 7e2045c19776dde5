import type { Bytes, Hex } from "../../evidence/bytes.ts";
import { equalBytes, fromHex0x, toHex0x } from "../../evidence/bytes.ts";
import { bytesOf } from "../../evidence/body.ts";
import { formatOf } from "../../evidence/exchange/formats.ts";
import { oysterMessageHash, pointIn } from "../../evidence/oyster.ts";
import { pointBehind } from "../../evidence/signer.ts";
import type { LayerResult, ReceiptCore } from "../../receipts/schema.ts";
import type { OysterSignatureEvidence } from "../../receipts/signature-schema.ts";
import { fail, pass, skip } from "../types.ts";
import { unknownFormat } from "./answer.ts";

/**
 * Judges a signature of Marlin's Oyster: secp256k1 by the pinned key, over method, path and the exact bytes of both parts. It
 * has no time, so none is judged.
 */
export function judgeOysterSignature(
  { seller, request, response }: ReceiptCore,
  { signature }: OysterSignatureEvidence,
  { key, known }: { key: { spki: Bytes; keyId: Hex }; known: boolean },
): LayerResult {
  const format = formatOf(seller.provider);
  if (format === null) return unknownFormat();
  if (format.signed?.kind !== "signature.oyster")
    return fail("signature_of_another_kind", "Sellers of this kind sign in another way than this signature's.");
  if (seller.keyId !== key.keyId)
    return fail("key_mismatch", "The response is signed by another key than the seller's.");
  if (request.body === undefined || response.body === undefined)
    return skip("body_redacted", "A signature of what the bytes say cannot be compared without them.");
  const point = pointIn(key.spki);
  if (point === null) return fail("key_unusable", "The seller's key is no point of secp256k1.");
  const hash = oysterMessageHash({
    method: request.method,
    path: request.path,
    request: bytesOf(request.body),
    response: bytesOf(response.body),
  });
  const signer = pointBehind(signature, toHex0x(hash));
  if (signer === null || !equalBytes(fromHex0x(signer), point))
    return fail("signature_invalid", "The seller's key did not sign this request and this answer.");
  const what = "the method, the path and the bytes of this exchange";
  return known
    ? pass(`The seller's known key signed exactly ${what}.`)
    : skip("key_not_known", `A key that the policy does not know signed exactly ${what}.`);
}
