import * as z from "zod";
import { hex } from "./fields.ts";

/**
 * How the answer came, where it did not come whole and plain. The response's bytes and hashes are of its content, as
 * sellers sign it. Of a content coding left undecoded they are of the coded bytes, and of a cut answer of the bytes
 * received.
 */
export const transferEvidence = z.strictObject({
  kind: z.literal("transfer.http"),
  /** The content coding it came in although none was asked for (RFC 9110 §8.4); `other` for what is no single name. */
  coding: z.strictObject({ name: z.string().regex(/^[a-z0-9-]{1,16}$/), decoded: z.boolean() }).nullable(),
  /** Why only its beginning is here: it was larger or slower than the buyer takes, or broke off. */
  cut: z.enum(["too_large", "too_slow", "broken_off"]).nullable(),
});

/** The server's certificate on the payment's own connection. The buyer's word. */
export const tlsEvidence = z.strictObject({
  kind: z.literal("tls.peer"),
  /** SHA-256 of the leaf certificate's DER, hex. */
  certificateSha256: hex(32),
});

/** A seller's word, in its response headers, that another model served than the one asked for. No signature covers it. */
export const fallbackEvidence = z.strictObject({
  kind: z.literal("served.fallback"),
  /** `X-Fallback-Used`, as it came. */
  used: z
    .string()
    .regex(/^[\x20-\x7e]{0,256}$/)
    .nullable(),
  /** `X-Fallback-Model`, as it came. */
  model: z
    .string()
    .regex(/^[\x20-\x7e]{0,256}$/)
    .nullable(),
});

export type TransferEvidence = z.infer<typeof transferEvidence>;
