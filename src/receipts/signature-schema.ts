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

export type TeeSignatureEvidence = z.infer<typeof teeSignatureEvidence>;
export type GatewaySignatureEvidence = z.infer<typeof gatewaySignatureEvidence>;
/** A response signature of any kind. */
export type SignatureEvidence = TeeSignatureEvidence | GatewaySignatureEvidence;

/** Whether a piece of evidence is a response signature. */
export const isSignature = <E extends { kind: string }>(one: E): one is Extract<E, SignatureEvidence> =>
  one.kind === "signature.tee" || one.kind === "signature.opengradient";
