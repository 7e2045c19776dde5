import * as z from "zod";
import { base64, hex, hex0x } from "./fields.ts";

/** An RSA-PSS response signature (reference: OpenGradient tee-gateway, `compute_tee_msg_hash`). */
const signature = {
  /** keccak256 of the signing key's DER SubjectPublicKeyInfo. */
  teeId: hex0x(32),
  /** Hashes as the seller claims them, hex. An appraisal recomputes them from the bytes and never trusts these. */
  requestHash: hex(32),
  outputHash: hex(32),
  /** Unix seconds, covered by the signature. */
  timestamp: z.int().min(0).max(4_102_444_800),
  signature: base64(4_096),
};

/** Of the exact bytes of request and answer. */
export const teeSignatureEvidence = z.strictObject({ kind: z.literal("signature.tee"), ...signature });

/** Of a chat, as OpenGradient's gateway signs it: the request in Python's JSON form, and the answer's text or calls. */
export const gatewaySignatureEvidence = z.strictObject({ kind: z.literal("signature.opengradient"), ...signature });

/** Of method, path and the exact bytes of both parts, by a secp256k1 key, as Marlin's Oyster signs. It has no time. */
export const oysterSignatureEvidence = z.strictObject({
  kind: z.literal("signature.oyster"),
  /** r, s, and 27 or 28. */
  signature: hex0x(65),
});

export type TeeSignatureEvidence = z.infer<typeof teeSignatureEvidence>;
export type GatewaySignatureEvidence = z.infer<typeof gatewaySignatureEvidence>;
export type OysterSignatureEvidence = z.infer<typeof oysterSignatureEvidence>;
/** A response signature by an RSA key, with its time. */
export type RsaSignatureEvidence = TeeSignatureEvidence | GatewaySignatureEvidence;
/** A response signature of any kind. */
export type SignatureEvidence = RsaSignatureEvidence | OysterSignatureEvidence;

/** The kinds of response signatures. */
const KINDS: readonly string[] = [
  "signature.tee",
  "signature.opengradient",
  "signature.oyster",
] satisfies SignatureEvidence["kind"][];

/** Whether a piece of evidence is a response signature. */
export const isSignature = <E extends { kind: string }>(one: E): one is Extract<E, SignatureEvidence> =>
  KINDS.includes(one.kind);
