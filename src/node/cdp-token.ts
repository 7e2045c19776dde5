import { createPrivateKey, randomBytes, sign, type KeyObject } from "node:crypto";
import * as z from "zod";
import { parseJsonText } from "../evidence/json-text.ts";
import { Proof402Error } from "../errors.ts";

/** A request to a facilitator, as a token for it names it. */
export type FacilitatorRequest = { method: "GET" | "POST"; url: string };

/** An API key of Coinbase's Developer Platform: `secret` is an Ed25519 key in base64 (seed and public key), or an EC key in PEM. */
export type CdpKey = { id: string; secret: string };

const SECONDS = 120;
/** PKCS #8 of an Ed25519 seed, without the seed (RFC 8410 §7). */
const ED25519_PKCS8 = Buffer.from("302e020100300506032b657004220420", "hex");

/**
 * Makes a bearer token for each request to Coinbase's facilitator: a JWT of two minutes that names method, host and path.
 * Throws Proof402Error `facilitator_key_invalid`, without a word of the key.
 *
 * @example
 * ```ts
 * import { cdpTokens } from "proof402/node";
 *
 * const { CDP_API_KEY_ID: id = "", CDP_API_KEY_SECRET: secret = "" } = process.env;
 * const facilitatorToken = cdpTokens({ id, secret });
 * ```
 */
export function cdpTokens({ id, secret }: CdpKey): (request: FacilitatorRequest) => string {
  const key = readKey(secret.trim());
  if (id === "") throw invalid("has no id");
  const alg = key.asymmetricKeyType === "ed25519" ? "EdDSA" : "ES256";
  return ({ method, url }) => {
    const { host, pathname } = new URL(url);
    const now = Math.floor(Date.now() / 1000);
    const header = { alg, kid: id, typ: "JWT", nonce: randomBytes(16).toString("hex") };
    const claims = {
      sub: id,
      iss: "cdp",
      aud: ["cdp_service"],
      uris: [`${method} ${host}${pathname}`],
      iat: now,
      nbf: now,
      exp: now + SECONDS,
    };
    const signed = [header, claims].map((part) => Buffer.from(JSON.stringify(part)).toString("base64url")).join(".");
    // RFC 7518 §3.4: r and s one after the other. Ed25519 takes no digest.
    const signature = sign(alg === "EdDSA" ? null : "sha256", Buffer.from(signed), { key, dsaEncoding: "ieee-p1363" });
    return `${signed}.${signature.toString("base64url")}`;
  };
}

function readKey(secret: string): KeyObject {
  try {
    if (!secret.startsWith("-----")) {
      const both = Buffer.from(secret, "base64");
      if (both.length === 64)
        return createPrivateKey({
          key: Buffer.concat([ED25519_PKCS8, both.subarray(0, 32)]),
          format: "der",
          type: "pkcs8",
        });
    } else {
      // Environment variables often hold the line ends as two characters.
      const key = createPrivateKey(secret.replaceAll(String.raw`\n`, "\n"));
      if (key.asymmetricKeyDetails?.namedCurve === "prime256v1") return key;
    }
  } catch {
    // The parser's words may quote the key.
  }
  throw invalid("is no Ed25519 key of 64 bytes in base64 and no P-256 key in PEM");
}

const fileSchema = z.object({
  id: z.string().max(300).optional(),
  /** Older files. */
  name: z.string().max(300).optional(),
  privateKey: z.string().max(4000),
});

/** The key in a file as Coinbase's portal gives it out. Throws Proof402Error `facilitator_key_invalid`. */
export function readCdpKey(text: string): CdpKey {
  const json = parseJsonText(text);
  const parsed = fileSchema.safeParse(json.ok ? json.value : undefined);
  if (!parsed.success) throw invalid('is in no file as the portal gives it out, with "id" and "privateKey"');
  const { id, name = "", privateKey } = parsed.data;
  return { id: id ?? name, secret: privateKey };
}

const invalid = (what: string): Proof402Error =>
  new Proof402Error("facilitator_key_invalid", `The facilitator's API key ${what}.`, {
    next: "Correct payment.facilitatorKey, or download the key again.",
  });
