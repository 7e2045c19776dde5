import { createPrivateKey, createPublicKey, generateKeyPair, type KeyObject } from "node:crypto";
import { promisify } from "node:util";
import { Proof402Error } from "../errors.ts";
import type { Hex } from "../evidence/bytes.ts";
import { TEE_SIGNATURE_ALGORITHM, teeIdOf } from "../evidence/tee-signature.ts";

const KEY_ALGORITHM = { name: "RSA-PSS", hash: TEE_SIGNATURE_ALGORITHM.hash } as const;

/** What signs a node's answers. */
export type Signer = {
  /** DER SubjectPublicKeyInfo of the response signing key (RSA-2048). */
  publicKey: Uint8Array;
  /** keccak256 of `publicKey`, 0x hex. */
  keyId: Hex;
  /** RSASSA-PSS, SHA-256, salt of 32 bytes, over the 32-byte message hash. */
  sign(messageHash: Uint8Array): Promise<Uint8Array>;
};

/**
 * Signs with a key outside an enclave, PKCS #8 in PEM (RFC 7468). Buyers reach `signed` by pinning its id, and learn
 * nothing about its machine. Throws Proof402Error `signing_key_invalid` if the text is no RSA key of 2048 to 8192 bits.
 *
 * @example
 * ```ts
 * import { readFile } from "node:fs/promises";
 * import { createSigner } from "proof402/node";
 *
 * const signer = await createSigner(await readFile("signing.pem", "utf8"));
 * ```
 */
export async function createSigner(pem: string): Promise<Signer> {
  const key = readKey(pem);
  const pkcs8 = new Uint8Array(key.export({ type: "pkcs8", format: "der" }));
  const publicKey = new Uint8Array(createPublicKey(key).export({ type: "spki", format: "der" }));
  const signing = await crypto.subtle.importKey("pkcs8", pkcs8, KEY_ALGORITHM, false, ["sign"]);
  return signerOf(signing, publicKey);
}

/** Makes a key that never leaves this process. */
export async function createKey(): Promise<Signer> {
  const { privateKey, publicKey: pair } = await crypto.subtle.generateKey(
    { ...KEY_ALGORITHM, modulusLength: 2048, publicExponent: new Uint8Array([1, 0, 1]) },
    false,
    ["sign", "verify"],
  );
  const publicKey = new Uint8Array(await crypto.subtle.exportKey("spki", pair));
  return signerOf(privateKey, publicKey);
}

function signerOf(key: CryptoKey, publicKey: Uint8Array): Signer {
  return {
    publicKey,
    keyId: teeIdOf(publicKey),
    sign: async (messageHash) =>
      new Uint8Array(await crypto.subtle.sign(TEE_SIGNATURE_ALGORITHM, key, new Uint8Array(messageHash))),
  };
}

/**
 * Makes a key that `createSigner` reads, in PEM.
 *
 * @example
 * ```ts
 * import { createSigner, generateSigningKey } from "proof402/node";
 *
 * const signer = await createSigner(await generateSigningKey());
 * ```
 */
export async function generateSigningKey(): Promise<string> {
  const { privateKey } = await promisify(generateKeyPair)("rsa", { modulusLength: 2048 });
  return privateKey.export({ type: "pkcs8", format: "pem" }).toString();
}

function readKey(pem: string): KeyObject {
  try {
    const key = createPrivateKey(pem);
    const bits = key.asymmetricKeyDetails?.modulusLength ?? 0;
    if (key.asymmetricKeyType === "rsa" && bits >= 2048 && bits <= 8192) return key;
  } catch {
    // The parser's words may quote the key.
  }
  throw new Proof402Error("signing_key_invalid", "The node's signing key is no RSA key of 2048 to 8192 bits in PEM.", {
    next: "Make one: openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out signing.pem",
  });
}
