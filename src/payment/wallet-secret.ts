import { hmac } from "@noble/hashes/hmac.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { concatBytes, fromHex0x, keccak256, toHex, toHex0x, utf8, type Bytes, type Hex } from "../evidence/bytes.ts";
import type { TypedData } from "./account.ts";

const MEANING = "Derives the secret that the nonces of this wallet's payments come from. It moves no money.";

/** What a wallet signs to derive its secrets from: EIP-712 data, which it can sign since it pays with such. */
export const SECRET_DATA = {
  domain: { name: "proof402", version: "1" },
  types: { WalletSecret: [{ name: "meaning", type: "string" }] },
  primaryType: "WalletSecret",
  message: { meaning: MEANING },
} as const satisfies TypedData;

/** Its hash (EIP-712 §"encode"), 0x hex. */
export const SECRET_HASH = toHex0x(
  keccak256(
    concatBytes(
      new Uint8Array([0x19, 0x01]),
      hashOf("EIP712Domain(string name,string version)", SECRET_DATA.domain.name, SECRET_DATA.domain.version),
      hashOf("WalletSecret(string meaning)", MEANING),
    ),
  ),
);

/** The hash of a struct whose fields are all strings. */
function hashOf(type: string, ...fields: string[]): Bytes {
  return keccak256(concatBytes(keccak256(utf8(type)), ...fields.map((field) => keccak256(utf8(field)))));
}

/**
 * The secret behind a wallet's secrets: SHA-256 over r and s of its signature. A signature by RFC 6979 is the same wherever
 * the key is held, and known to no one but the one who holds it. Null unless two askings give the same one.
 */
export async function secretOf(sign: () => Promise<Hex>): Promise<Bytes | null> {
  try {
    const [first, second] = [await sign(), await sign()];
    return first === second ? sha256(fromHex0x(first).subarray(0, 64)) : null;
  } catch {
    // An account that refuses this one can still sign payments: the caller says what is lost by it.
    return null;
  }
}

/** One secret per label: HMAC-SHA256, hex. */
export const labelled = (secret: Bytes, label: string): string =>
  toHex(hmac(sha256, secret, utf8(`proof402 secret\n${label}`)));
