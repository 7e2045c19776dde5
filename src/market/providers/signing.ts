import * as z from "zod";
import { TEE_HEADERS } from "../../evidence/tee-signature.ts";
import { teeSignatureEvidence, type TeeSignatureEvidence } from "../../receipts/signature-schema.ts";

/** The signature in an answer's headers (names lower case), or null. */
export function signatureIn(headers: Record<string, string>): TeeSignatureEvidence | null {
  if (headers[TEE_HEADERS.signature] === undefined) return null;
  const strip = (text: string | undefined): string | undefined => text?.toLowerCase().replace(/^0x/, "");
  const parsed = teeSignatureEvidence.safeParse({
    kind: "signature.tee",
    teeId: headers[TEE_HEADERS.teeId]?.toLowerCase(),
    requestHash: strip(headers[TEE_HEADERS.requestHash]),
    outputHash: strip(headers[TEE_HEADERS.outputHash]),
    timestamp: Number(headers[TEE_HEADERS.timestamp]),
    signature: headers[TEE_HEADERS.signature],
  });
  return parsed.success ? parsed.data : null;
}

/** DER of the PEM SubjectPublicKeyInfo (RFC 7468) in a `/signing-key` answer, or null. */
export function readSigningKey(answer: unknown): Uint8Array | null {
  const pem = z.object({ public_key: z.string().max(4096) }).safeParse(answer);
  const match = pem.success
    ? /^\s*-----BEGIN PUBLIC KEY-----([A-Za-z0-9+/=\s]+)-----END PUBLIC KEY-----\s*$/.exec(pem.data.public_key)
    : null;
  const text = match?.[1]?.replace(/\s+/g, "");
  if (text === undefined || !z.base64().safeParse(text).success) return null;
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}
