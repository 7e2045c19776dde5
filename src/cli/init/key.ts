import { buffer } from "node:stream/consumers";
import { fromUtf8, type Hex } from "../../evidence/bytes.ts";
import { Proof402Error } from "../../errors.ts";
import { OTHERS, readTextFile, rightsProblem } from "../../files/read-file.ts";
import { openKeystore, sealKeystore } from "../../payment/keystore.ts";
import { rightsRefused } from "../../payment/load-wallet.ts";
import { newPrivateKey } from "../../payment/new-key.ts";
import { walletFromPrivateKey } from "../../payment/wallet.ts";

/** How a wallet's key is kept: in an encrypted keystore, or in a file that its owner alone can read. */
export const KEPT = ["keystore", "file"] as const;
export type Kept = (typeof KEPT)[number];

/** The names of the key's file, beside the configuration. */
export const KEY_FILES: Readonly<Record<Kept, string>> = { keystore: "keystore.json", file: "wallet.key" };

const MAX_BYTES = 65_536;

/** The private key to keep: a new one, or one from a file or standard input. Throws Proof402Error. */
export async function keyFrom(from: string | undefined, password: () => Promise<string>): Promise<Hex> {
  if (from === undefined) return newPrivateKey();
  const text = from === "-" ? (await readInput()).trim() : await readKeyFile(from);
  const key = isKeystore(text) ? await openKeystore(text, await password(), "--import") : text;
  const whole = /^[0-9a-fA-F]{64}$/.test(key) ? `0x${key}` : key;
  walletFromPrivateKey(whole, "--import");
  return whole as Hex;
}

/** The key's file as it is to be written. */
export const keyText = (kept: Kept, key: Hex, password: string): Promise<string> =>
  kept === "keystore" ? sealKeystore(key, password) : Promise.resolve(`${key}\n`);

/** A password from its own file, without the line break that editors end it with. Throws Proof402Error. */
export async function readPassword(path: string): Promise<string> {
  const read = await readTextFile(path, { maxBytes: 1024, denied: OTHERS.anything });
  const text = "text" in read ? read.text.replace(/\r?\n$/, "") : "";
  if (text !== "") return text;
  throw new Proof402Error("key_file_unreadable", `The password could not be read from ${path}.`, {
    next: "Name a file that holds it and that only its owner can read (chmod 600).",
  });
}

export const isKeystore = (text: string): boolean => text.startsWith("{");

/** The text of a file to import. Throws Proof402Error `key_file_unreadable` or `key_file_permissions`. */
export async function readKeyFile(path: string): Promise<string> {
  const read = await readTextFile(path, { maxBytes: MAX_BYTES, denied: OTHERS.write });
  const inTheClear = "text" in read && !isKeystore(read.text.trim());
  const unfit = "text" in read ? inTheClear && (await rightsProblem(path, OTHERS.anything)) : read;
  if (unfit && unfit.problem === "permissions") throw rightsRefused("--import", unfit, inTheClear);
  if ("text" in read && !unfit) return read.text.trim();
  throw new Proof402Error("key_file_unreadable", `The key could not be read from ${path}.`, {
    next: "Name a file that holds a private key or a keystore and that its owner alone can write to.",
  });
}

async function readInput(): Promise<string> {
  const bytes = await buffer(process.stdin);
  if (bytes.length <= MAX_BYTES) return fromUtf8(bytes);
  throw new Proof402Error("private_key_invalid", "Standard input holds more than a private key or a keystore.", {
    next: "Give one key, such as: proof402 init --import - < key.",
  });
}
