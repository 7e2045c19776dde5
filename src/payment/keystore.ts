import { pbkdf2 } from "node:crypto";
import { promisify } from "node:util";
import { scryptAsync } from "@noble/hashes/scrypt.js";
import * as z from "zod";
import { fromHex, toHex, toHex0x, type Hex } from "../evidence/bytes.ts";
import { Proof402Error } from "../errors.ts";
import { parseJsonText } from "../evidence/json-text.ts";
import { walletFromPrivateKey } from "./wallet.ts";

/** Most memory a keystore may make scrypt use, bytes: twice what geth's and cast's own settings take. */
const MAX_SCRYPT_BYTES = 512 * 1024 * 1024;
/** Most work for scrypt, n * r * p, and for PBKDF2, rounds: four and eight times geth's own, which take a second or so. */
const MAX_SCRYPT_WORK = 2 ** 23;
const MAX_ROUNDS = 2_000_000;

const hex = (bytes: number) => z.string().regex(new RegExp(`^[0-9a-fA-F]{${bytes * 2}}$`));
const salt = z.string().regex(/^(?:[0-9a-fA-F]{2}){8,64}$/);
const cipher = {
  cipher: z.literal("aes-128-ctr"),
  ciphertext: hex(32),
  cipherparams: z.object({ iv: hex(16) }),
  mac: hex(32),
};

/**
 * Web3 Secret Storage Definition, version 3, with the two key derivations it names. Bounded, so that a file cannot make
 * this program work for more than seconds or take all memory.
 */
const keystoreSchema = z.object({
  version: z.literal(3),
  address: z
    .string()
    .regex(/^(?:0x)?[0-9a-fA-F]{40}$/)
    .optional(),
  crypto: z.discriminatedUnion("kdf", [
    z.object({
      ...cipher,
      kdf: z.literal("scrypt"),
      kdfparams: z
        .object({
          dklen: z.literal(32),
          n: z
            .int()
            .min(2)
            .max(2 ** 22),
          r: z.int().min(1).max(64),
          p: z.int().min(1).max(64),
          salt,
        })
        .refine(
          ({ n, r, p }) => 128 * n * r <= MAX_SCRYPT_BYTES && n * r * p <= MAX_SCRYPT_WORK && (n & (n - 1)) === 0,
        ),
    }),
    z.object({
      ...cipher,
      kdf: z.literal("pbkdf2"),
      kdfparams: z.object({
        dklen: z.literal(32),
        c: z.int().min(1).max(MAX_ROUNDS),
        prf: z.literal("hmac-sha256"),
        salt,
      }),
    }),
  ]),
});

type Keystore = z.infer<typeof keystoreSchema>;

/**
 * The private key in an encrypted keystore (Web3 Secret Storage v3), 0x and 64 hex digits. Neither key nor password is
 * in any error. Throws Proof402Error `keystore_invalid` or `keystore_password_wrong`; `field` names the file in them.
 */
export async function openKeystore(text: string, password: string, field: string): Promise<string> {
  const keystore = parseKeystore(text, field);
  const derived = await derive(keystore, password);
  const { decrypt } = await import("ox/Keystore");
  let key: string;
  try {
    key = decrypt({ ...keystore, id: "" }, toHex0x(derived));
  } catch {
    // The message authentication code covers the ciphertext and half of the derived key: either may be wrong.
    throw new Proof402Error("keystore_password_wrong", `The password does not open the keystore of ${field}.`, {
      next: "Give the keystore's own password; if it is right, the file is damaged.",
      details: { field },
    });
  }
  const named = addressOf(keystore);
  if (named === null || walletFromPrivateKey(key, field).address === named) return key;
  throw invalid(field, "names another address than its key has");
}

/** The address that a keystore names, or null: its key alone tells. Throws Proof402Error `keystore_invalid`. */
export const namedAddress = (text: string, field: string): string | null => addressOf(parseKeystore(text, field));

const addressOf = ({ address }: Keystore): string | null => address?.toLowerCase().replace(/^(?:0x)?/, "0x") ?? null;

/** geth's own cost. Opening the file takes a second or so. */
const SCRYPT = { n: 262_144, r: 8, p: 1, dklen: 32 } as const;

/** A private key, 0x hex, in an encrypted keystore as geth writes it (Web3 Secret Storage v3). */
export async function sealKeystore(privateKey: Hex, password: string): Promise<string> {
  const random = (bytes: number): Uint8Array => crypto.getRandomValues(new Uint8Array(bytes));
  const kdfparams = { ...SCRYPT, salt: toHex(random(32)) };
  const { n: N, r, p, dklen: dkLen } = SCRYPT;
  const derived = await scryptAsync(password, fromHex(kdfparams.salt), { N, r, p, dkLen, maxmem: MAX_SCRYPT_BYTES });
  const { encrypt } = await import("ox/Keystore");
  const sealed = encrypt(privateKey, toHex0x(derived), { iv: random(16), kdf: "scrypt", kdfparams });
  const { address } = walletFromPrivateKey(privateKey);
  return `${JSON.stringify({ address: address.slice(2), ...sealed, id: crypto.randomUUID() }, null, 2)}\n`;
}

function parseKeystore(text: string, field: string): Keystore {
  const json = parseJsonText(text);
  // Older writers spell it `Crypto`.
  const value =
    json.ok && typeof json.value === "object" && json.value !== null && "Crypto" in json.value
      ? { ...json.value, crypto: json.value.Crypto }
      : json.ok && json.value;
  const parsed = keystoreSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const path = parsed.error.issues[0]?.path.map(String).join(".");
  throw invalid(field, `is not a version 3 keystore within this program's bounds (at ${path || "its top"})`);
}

const invalid = (field: string, what: string): Proof402Error =>
  new Proof402Error("keystore_invalid", `The file of ${field} ${what}.`, {
    next: "Name a keystore file as geth or `cast wallet import` writes it.",
    details: { field },
  });

// Not Node's own scrypt: OpenSSL refuses parameters that the Definition's own example has (a cost over 2^16 with r = 1).
function derive({ crypto }: Keystore, password: string): Promise<Uint8Array> {
  const salt = fromHex(crypto.kdfparams.salt.toLowerCase());
  if (crypto.kdf === "pbkdf2") return promisify(pbkdf2)(password, salt, crypto.kdfparams.c, 32, "sha256");
  const { n, r, p } = crypto.kdfparams;
  return scryptAsync(password, salt, { N: n, r, p, dkLen: 32, maxmem: MAX_SCRYPT_BYTES + 128 * r * (p + 1) });
}
