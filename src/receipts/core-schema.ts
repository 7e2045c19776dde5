import * as z from "zod";
import { MAX_CORE_BYTES } from "./budget.ts";
import { address, base64, baseUnits, hex, hex0x, instant, network } from "./fields.ts";
import { offerSchema, paymentSchemas } from "./payment-schema.ts";

const exchange = {
  sha256: hex(32),
  keccak256: hex(32),
  /**
   * The exact bytes, base64 in its one canonical spelling (RFC 4648 §3.5: the bits that padding leaves over are zero): the
   * id does not cover this text, so equal bytes have to be equal texts. May be left out (redacted); the hashes stay.
   */
  body: base64(MAX_CORE_BYTES)
    .regex(/(?:^|[^=]|[AQgw]==|[AEIMQUYcgkosw048]=)$/, "base64 with zero bits in its padding")
    .optional(),
};

const seller = z.strictObject({
  /** The buyer's own name for the seller (catalog id). */
  id: z.string().regex(/^[a-z0-9][a-z0-9._-]{0,63}$/),
  provider: z.string().max(64),
  /** Scheme, host and port. */
  origin: z
    .url({ protocol: /^https?$/ })
    .max(512)
    .regex(/^https?:\/\/[^\s/?#@\\]+$/, "an origin: no path, no user"),
  /** keccak256 of the SPKI of the key expected to sign, or null where the seller signs nothing. */
  keyId: hex0x(32).nullable(),
});

const request = {
  method: z.literal("POST"),
  path: z.string().max(512),
  model: z.string().max(128),
  sentAt: instant,
  ...exchange,
};

/** A price as a seller lists it, before it is asked for an offer. Base units. */
export const listedPriceSchema = z.strictObject({ network, asset: address, amount: baseUnits });

/** The fixed part of a receipt by its format, over the evidence that a receipt may hold. */
export const coreSchemasOf = <E extends z.ZodType>(evidence: E) => {
  const core = {
    seller,
    /** `status`: any that HTTP can carry, since sellers answer payments with any (RFC 9110 §15 has those above 599 mean an error). */
    response: z.strictObject({ status: z.int().min(100).max(999), receivedAt: instant, ...exchange }),
    offer: offerSchema,
    evidence: z.array(evidence).max(32),
  };
  return {
    1: z.strictObject({
      ...core,
      /** `nonce`: the first 16 bytes of keccak256(payment.nonce), hex. It names the authorization, and not its terms. */
      request: z.strictObject({ ...request, nonce: hex(16) }),
      payment: paymentSchemas[1],
    }),
    2: z.strictObject({
      ...core,
      /** `nonce`: the hash of the payment's terms, part of the request bytes. Hex. */
      request: z.strictObject({ ...request, nonce: hex(32) }),
      payment: paymentSchemas[2],
      /** The seller's listed price at the time of choice; null if it named no price in an EVM token. */
      listedPrice: listedPriceSchema.nullable(),
    }),
  };
};
