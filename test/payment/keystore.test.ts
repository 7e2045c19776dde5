import { chmodSync, writeFileSync } from "node:fs";
import { inspect } from "node:util";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Proof402Error } from "../../src/errors.ts";
import { loadWallet } from "../../src/payment/load-wallet.ts";
import { openKeystore } from "../../src/payment/keystore.ts";
import { walletFromPrivateKey } from "../../src/payment/wallet.ts";
import { temporaryDirectory } from "./fixtures.ts";

// The two examples of the Web3 Secret Storage Definition ("Test Vectors"), of one key and one password.
const PASSWORD = "testpassword";
const KEY = "0x7a28b5ba57c53603b0b07b56bba752f7784bf506fa95edc395f5cf6c7514fe9d";
const pbkdf2 = {
  crypto: {
    cipher: "aes-128-ctr",
    cipherparams: { iv: "6087dab2f9fdbbfaddc31a909735c1e6" },
    ciphertext: "5318b4d5bcd28de64ee5559e671353e16f075ecae9f99c7a79a38af5f869aa46",
    kdf: "pbkdf2",
    kdfparams: {
      c: 262144,
      dklen: 32,
      prf: "hmac-sha256",
      salt: "ae3cd4e7013836a3df6bd7241b12db061dbe2c6785853cce422d148a624ce0bd",
    },
    mac: "517ead924a9d0dc3124507e3393d175ce3ff7c1e96529c6c555ce9e51205e9b2",
  },
  id: "3198bc9c-6672-5ab3-d995-4942343ae5b6",
  version: 3,
};
const scrypt = {
  crypto: {
    cipher: "aes-128-ctr",
    cipherparams: { iv: "83dbcc02d8ccb40e466191a123791e0e" },
    ciphertext: "d172bf743a674da9cdad04534d56926ef8358534d458fffccd4e6ad2fbde479c",
    kdf: "scrypt",
    kdfparams: {
      dklen: 32,
      n: 262144,
      r: 1,
      p: 8,
      salt: "ab0c7876052600dd703518d6fc3fe8984592145b591fc8fb5c6d43190334ba19",
    },
    mac: "2103ac29920d71da29f15d75b4a16dbe95cfd7ff8faea1056c33131d846e3097",
  },
  id: "3198bc9c-6672-5ab3-d995-4942343ae5b6",
  version: 3,
};
const { address } = walletFromPrivateKey(KEY);

const errorOf = async (work: () => Promise<unknown>): Promise<Proof402Error> => {
  const error = await work().then(
    () => null,
    (thrown: unknown) => thrown,
  );
  if (Proof402Error.isInstance(error)) return error;
  throw new Error("did not throw a Proof402Error");
};
const open = (keystore: unknown, password = PASSWORD): Promise<string> =>
  openKeystore(JSON.stringify(keystore), password, "wallet.keystoreFile");

describe("a keystore", () => {
  it.each([
    ["pbkdf2", pbkdf2],
    ["scrypt", scrypt],
    ["spelled Crypto", { Crypto: pbkdf2.crypto, id: pbkdf2.id, version: 3 }],
    ["with its address", { ...pbkdf2, address: address.slice(2).toUpperCase() }],
  ])("of the specification opens: %s", async (_name, keystore) => {
    expect(await open(keystore)).toBe(KEY);
  });

  it.each([
    ["another password", pbkdf2, "testpassworD"],
    ["an empty password", pbkdf2, ""],
    ["a changed ciphertext", { ...pbkdf2, crypto: { ...pbkdf2.crypto, ciphertext: "00".repeat(32) } }, PASSWORD],
    ["a changed mac", { ...pbkdf2, crypto: { ...pbkdf2.crypto, mac: "00".repeat(32) } }, PASSWORD],
  ])("does not open with %s, and no error shows a secret", async (_name, keystore, password) => {
    const error = await errorOf(() => open(keystore, password));
    expect(error.code).toBe("keystore_password_wrong");
    expect(inspect(error, { depth: 10 })).not.toMatch(/testpassword|7a28b5ba/i);
  });

  it("that names another address than its key has is refused", async () => {
    expect((await errorOf(() => open({ ...pbkdf2, address: "00".repeat(20) }))).code).toBe("keystore_invalid");
  });

  it.each([
    ["asks scrypt for gigabytes", { n: 2 ** 22, r: 64 }],
    ["asks scrypt for minutes", { n: 2 ** 20, r: 1, p: 64 }],
    ["asks scrypt for as many again, each of them small", { n: 2 ** 18, r: 8, p: 5 }],
    ["asks scrypt for a cost that is no power of two", { n: 262143 }],
    ["has a salt of no length", { salt: "" }],
  ])("that %s is refused before any work", async (_name, changes) => {
    const keystore = { ...scrypt, crypto: { ...scrypt.crypto, kdfparams: { ...scrypt.crypto.kdfparams, ...changes } } };
    expect((await errorOf(() => open(keystore))).code).toBe("keystore_invalid");
  });

  it("that asks PBKDF2 for minutes is refused before any work", async () => {
    const kdfparams = { ...pbkdf2.crypto.kdfparams, c: 10_000_000 };
    expect((await errorOf(() => open({ ...pbkdf2, crypto: { ...pbkdf2.crypto, kdfparams } }))).code).toBe(
      "keystore_invalid",
    );
  });

  it("that is anything else is refused with a code and never quoted", async () => {
    await fc.assert(
      fc.asyncProperty(fc.oneof(fc.string(), fc.json(), fc.constant(KEY)), async (text) => {
        const error = await errorOf(() => openKeystore(text, PASSWORD, "wallet.keystoreFile"));
        expect(error.code).toBe("keystore_invalid");
        expect(text.length <= 8 || !error.message.includes(text)).toBe(true);
      }),
    );
  });
});

describe("loading a wallet from a keystore", () => {
  function files(password: string): { keystoreFile: string; keystorePasswordFile: string } {
    const directory = temporaryDirectory();
    const keystoreFile = join(directory, "keystore.json");
    const keystorePasswordFile = join(directory, "password");
    writeFileSync(keystoreFile, JSON.stringify(pbkdf2));
    writeFileSync(keystorePasswordFile, password, { mode: 0o600 });
    return { keystoreFile, keystorePasswordFile };
  }

  it("takes the password from a file, without the line break at its end", async () => {
    expect((await loadWallet({ ...files(`${PASSWORD}\n`), env: {} }))?.address).toBe(address);
  });

  it("refuses a keystore that others can write to, and one that is no file", async () => {
    const { keystoreFile } = files(PASSWORD);
    const env = { PROOF402_KEYSTORE_PASSWORD: PASSWORD };
    chmodSync(keystoreFile, 0o664);
    expect((await errorOf(() => loadWallet({ keystoreFile, env }))).code).toBe("key_file_permissions");
    expect((await errorOf(() => loadWallet({ keystoreFile: "/dev/zero", env }))).code).toBe("key_file_unreadable");
  });

  it("takes the password from the environment before the file", async () => {
    const env = { PROOF402_KEYSTORE_PASSWORD: PASSWORD };
    expect((await loadWallet({ ...files("wrong"), env }))?.address).toBe(address);
  });

  it("refuses a password file that others can read, and says when none is given", async () => {
    const { keystoreFile, keystorePasswordFile } = files(PASSWORD);
    chmodSync(keystorePasswordFile, 0o644);
    const open = await errorOf(() => loadWallet({ keystoreFile, keystorePasswordFile, env: {} }));
    expect(open).toMatchObject({ code: "key_file_permissions", details: { field: "wallet.keystorePasswordFile" } });
    expect((await errorOf(() => loadWallet({ keystoreFile, env: {} }))).code).toBe("keystore_password_missing");
  });
});
