import { hmac } from "@noble/hashes/hmac.js";
import { sha256 } from "@noble/hashes/sha2.js";
import * as z from "zod";
import { fromBase64, fromHex, toHex, utf8 } from "../evidence/bytes.ts";
import type { WireRequest } from "./types.ts";

/** Key of x402's payment-identifier extension in `extensions` (x402 specs/extensions/payment_identifier.md). */
export const PAYMENT_IDENTIFIER = "payment-identifier";

/** How a seller declares the extension. A client sends it back as it came and adds the id, nothing else. */
export const identifierDeclarationSchema = z.object({
  info: z.looseObject({ required: z.boolean() }),
  schema: z.record(z.string().max(64), z.unknown()).optional(),
});
export type IdentifierDeclaration = z.infer<typeof identifierDeclarationSchema>;

/**
 * The extension of a payment for one request: a seller that has seen the id gives the answer it gave before. The id is
 * bound to method, URL and the exact body, so that it cannot stand for another request. It is keyed with the buyer's
 * secret: the facilitator sees it and learns nothing of the request (threat T28).
 */
export function identifierExtension(
  declaration: IdentifierDeclaration,
  secret: string,
  request: Pick<WireRequest, "method" | "url" | "body">,
): Record<string, unknown> {
  const bound = `${request.method}\n${request.url}\n${toHex(sha256(fromBase64(request.body)))}`;
  const id = `p402_${toHex(hmac(sha256, fromHex(secret), utf8(`proof402 ${PAYMENT_IDENTIFIER}\n${bound}`)))}`;
  return { [PAYMENT_IDENTIFIER]: { ...declaration, info: { ...declaration.info, id } } };
}
