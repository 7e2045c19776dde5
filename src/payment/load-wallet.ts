import { Proof402Error } from "../errors.ts";
import { OTHERS, readTextFile, type Unread } from "../files/read-file.ts";
import { namedAddress, openKeystore } from "./keystore.ts";
import { walletFromPrivateKey, type Wallet } from "./wallet.ts";

/** Where the wallet's key is: paths of files. At most one of the first two is set. */
export type WalletFiles = {
  /** Holds one 0x-prefixed private key. */
  privateKeyFile?: string | undefined;
  /** Web3 Secret Storage v3, as geth, cast and MetaMask's exports write it. */
  keystoreFile?: string | undefined;
  /** Holds the keystore's password; `PROOF402_KEYSTORE_PASSWORD` takes its place when set. */
  keystorePasswordFile?: string | undefined;
};

/** Longest private key or password file, bytes. */
const KEY_BYTES = 1024;
const KEYSTORE_BYTES = 65_536;

/**
 * The wallet of `PROOF402_PRIVATE_KEY` in `env`, or else of the key file or keystore, or null where none is set.
 *
 * Throws Proof402Error naming the field and never the key or password: `private_key_invalid`, `key_file_unreadable`,
 * `key_file_permissions` for a file with a secret in the clear that group or others may read or a keystore they may
 * write to, and for keystores `keystore_invalid`, `keystore_password_missing` and `keystore_password_wrong`.
 *
 * @example
 * ```ts
 * import { loadConfig, loadWallet } from "proof402";
 *
 * const config = await loadConfig();
 * const wallet = await loadWallet({ ...config.wallet, env: process.env });
 * ```
 */
export async function loadWallet(
  options: WalletFiles & { env: Readonly<Record<string, string | undefined>> },
): Promise<Wallet | null> {
  const { env, privateKeyFile, keystoreFile } = options;
  const fromEnv = env.PROOF402_PRIVATE_KEY;
  if (fromEnv !== undefined && fromEnv !== "") return walletFromPrivateKey(fromEnv.trim(), "PROOF402_PRIVATE_KEY");
  if (privateKeyFile !== undefined) {
    const text = await readFile(privateKeyFile, "wallet.privateKeyFile", { maxBytes: KEY_BYTES, inTheClear: true });
    return walletFromPrivateKey(text.trim(), "wallet.privateKeyFile");
  }
  if (keystoreFile === undefined) return null;
  const keystore = await readKeystore(keystoreFile);
  return walletFromPrivateKey(await openKeystore(keystore, await passwordOf(options), KEYSTORE), KEYSTORE);
}

/** The address of the wallet of {@link loadWallet}. A keystore with its address in it needs no password. */
export async function loadAddress(options: Parameters<typeof loadWallet>[0]): Promise<string | null> {
  const { env, privateKeyFile, keystoreFile } = options;
  const isElsewhere = (env.PROOF402_PRIVATE_KEY ?? "") !== "" || privateKeyFile !== undefined;
  const keystore = isElsewhere || keystoreFile === undefined ? null : await readKeystore(keystoreFile);
  const named = keystore === null ? null : namedAddress(keystore, KEYSTORE);
  return named ?? (await loadWallet(options))?.address ?? null;
}

const KEYSTORE = "wallet.keystoreFile";
const readKeystore = (path: string): Promise<string> =>
  readFile(path, KEYSTORE, { maxBytes: KEYSTORE_BYTES, inTheClear: false });

async function passwordOf({ env, keystorePasswordFile }: Parameters<typeof loadWallet>[0]): Promise<string> {
  const fromEnv = env.PROOF402_KEYSTORE_PASSWORD;
  if (fromEnv !== undefined && fromEnv !== "") return fromEnv;
  if (keystorePasswordFile !== undefined) {
    const field = "wallet.keystorePasswordFile";
    const text = await readFile(keystorePasswordFile, field, { maxBytes: KEY_BYTES, inTheClear: true });
    // Editors end a file with a line break, which is no part of the password.
    return text.replace(/\r?\n$/, "");
  }
  throw new Proof402Error("keystore_password_missing", "The keystore's password is not given.", {
    next: "Set PROOF402_KEYSTORE_PASSWORD, or wallet.keystorePasswordFile in the configuration.",
  });
}

const REASONS = {
  missing: "is not there",
  unreadable: "cannot be read",
  not_a_file: "is no regular file",
  too_large: "is larger than a file of its kind",
  not_utf8: "is not UTF-8 text",
} as const;

async function readFile(
  path: string,
  field: string,
  { maxBytes, inTheClear }: { maxBytes: number; inTheClear: boolean },
): Promise<string> {
  const read = await readTextFile(path, { maxBytes, denied: inTheClear ? OTHERS.anything : OTHERS.write });
  if ("text" in read) return read.text;
  if (read.problem !== "permissions") {
    throw new Proof402Error("key_file_unreadable", `The file of ${field} ${REASONS[read.problem]}.`, {
      next: "Check the path; it is relative to the configuration file.",
      details: { field, reason: read.problem },
    });
  }
  throw rightsRefused(field, read, inTheClear);
}

/** The error for a key's or password's file with rights for others. `field` names the file. */
export const rightsRefused = (
  field: string,
  { of, mode }: Extract<Unread, { problem: "permissions" }>,
  inTheClear: boolean,
): Proof402Error =>
  new Proof402Error(
    "key_file_permissions",
    of === "folder"
      ? `Everyone may write to the folder of ${field}'s file, and so replace it.`
      : `The file of ${field} can be ${inTheClear ? "read" : "written"} by others than its owner.`,
    {
      next:
        of === "folder"
          ? "Run chmod o-w on the folder."
          : inTheClear
            ? "Run chmod 600 on it, and consider its secret known to everyone who had access."
            : "Run chmod go-w on it.",
      details: { field, mode },
    },
  );
