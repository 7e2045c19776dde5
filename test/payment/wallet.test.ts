import { secp256k1 } from "@noble/curves/secp256k1.js";
import { execFileSync } from "node:child_process";
import { chmodSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { inspect } from "node:util";
import { decodeFunctionData, erc20Abi, getAddress, hashTypedData, parseTransaction, recoverAddress } from "viem";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import { describe, expect, it } from "vitest";
import { fromHex0x, toHex0x, type Address } from "../../src/evidence/bytes.ts";
import { Proof402Error } from "../../src/errors.ts";
import { PERMIT2 } from "../../src/evidence/permit2.ts";
import { deriveNonce, planPayment } from "../../src/payment/plan.ts";
import { loadWallet } from "../../src/payment/load-wallet.ts";
import { walletFromAccount, walletFromPrivateKey, type Wallet } from "../../src/payment/wallet.ts";
import { SECRET_DATA, SECRET_HASH } from "../../src/payment/wallet-secret.ts";
import { accept, policyWith, SECRET, temporaryDirectory, usdc } from "./fixtures.ts";

const KEY = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
const { offer } = accept();
const planFor = (payer: Address) =>
  planPayment({
    offer,
    payer,
    nonce: deriveNonce(SECRET, "call-0001", 1),
    now: new Date(1.7e12),
    policy: policyWith(),
  });

/** Everything a log, a trace or an agent could see of a value. */
const shownOf = (value: unknown): string =>
  [
    inspect(value, { depth: 10, showHidden: true, getters: true }),
    JSON.stringify(value) ?? "",
    String(value),
    value instanceof Error ? `${value.stack}${JSON.stringify(value)}${inspect(value.cause, { depth: 10 })}` : "",
  ].join("\n");

const errorOf = async (work: () => unknown): Promise<Proof402Error> => {
  try {
    await work();
  } catch (error) {
    if (Proof402Error.isInstance(error)) return error;
    throw error;
  }
  throw new Error("did not throw");
};

describe("signing", () => {
  it("signs what viem would sign for the same typed data, and the same again", async () => {
    const key = generatePrivateKey();
    const account = privateKeyToAccount(key);
    const wallet = walletFromPrivateKey(key);
    const payment = planFor(wallet.address);
    const signature = await wallet.signAuthorization(payment, offer);
    const typed = {
      domain: { ...usdc.domain, chainId: 31337, verifyingContract: toHex0x(fromHex0x(usdc.asset)) },
      types: {
        TransferWithAuthorization: [
          { name: "from", type: "address" },
          { name: "to", type: "address" },
          { name: "value", type: "uint256" },
          { name: "validAfter", type: "uint256" },
          { name: "validBefore", type: "uint256" },
          { name: "nonce", type: "bytes32" },
        ],
      },
      primaryType: "TransferWithAuthorization",
      message: {
        from: account.address,
        to: toHex0x(fromHex0x(payment.payTo)),
        value: BigInt(payment.amount),
        validAfter: BigInt(payment.validAfter),
        validBefore: BigInt(payment.validBefore),
        nonce: toHex0x(fromHex0x(payment.nonce)),
      },
    } as const;
    const hash = hashTypedData(typed);
    expect(hash).toBe(payment.authorizationHash);
    expect(wallet.address).toBe(account.address.toLowerCase());
    expect(signature).toBe(await account.signTypedData(typed));
    expect(await wallet.signAuthorization(payment, offer)).toBe(signature);
    expect(await walletFromAccount(account).signAuthorization(payment, offer)).toBe(signature);
    expect(await recoverAddress({ hash, signature })).toBe(account.address);
  });

  it("signs nothing that differs in any field from what was planned", async () => {
    const wallet = walletFromPrivateKey(KEY);
    const payment = planFor(wallet.address);
    const changed = [
      { amount: "20001" },
      { payTo: `0x${"77".repeat(20)}` },
      { payer: `0x${"88".repeat(20)}` },
      { nonce: `0x${"99".repeat(32)}` },
      { validBefore: payment.validBefore + 1 },
      { validAfter: 1 },
      { network: "eip155:1" },
      { asset: `0x${"66".repeat(20)}` },
      { authorizationHash: `0x${"00".repeat(32)}` },
    ] as const;
    for (const change of changed) {
      const error = await errorOf(() => wallet.signAuthorization({ ...payment, ...change }, offer));
      expect(error.code, JSON.stringify(change)).toBe("authorization_mismatch");
    }
    // Even where the offer is changed with it.
    const twice = await errorOf(() =>
      wallet.signAuthorization({ ...payment, amount: "20001" }, { ...offer, amount: "20001" }),
    );
    expect(twice.code).toBe("authorization_mismatch");
    const domain = await errorOf(() =>
      wallet.signAuthorization(payment, { ...offer, extra: { name: "USD Coin", version: "9" } }),
    );
    expect(domain.code).toBe("authorization_mismatch");
  });

  it("refuses an account's answer that is not its own signature", async () => {
    const account = privateKeyToAccount(KEY);
    const other = privateKeyToAccount(generatePrivateKey());
    const wallet = walletFromAccount({ ...account, signTypedData: other.signTypedData });
    const error = await errorOf(() => wallet.signAuthorization(planFor(wallet.address), offer));
    expect(error.code).toBe("signature_invalid");
  });
});

describe("an approval", () => {
  const fees = { chainId: 31337, nonce: 0, gas: 60_000n, maxFeePerGas: 2n, maxPriorityFeePerGas: 1n };
  const approve = (wallet: Wallet, amount: bigint) =>
    wallet.signOwnerCall({ kind: "approve", asset: usdc.asset, amount }, null, fees);

  it("is of Permit2 and of the amount given, by a key or an account alike", async () => {
    const key = generatePrivateKey();
    const signed = await approve(walletFromPrivateKey(key), 5n);
    expect(await approve(walletFromAccount(privateKeyToAccount(key)), 5n)).toBe(signed);
    const { to, data, value } = parseTransaction(signed);
    expect([to?.toLowerCase(), value ?? 0n]).toEqual([usdc.asset, 0n]);
    expect(decodeFunctionData({ abi: erc20Abi, data: data ?? "0x" })).toEqual({
      functionName: "approve",
      args: [getAddress(PERMIT2), 5n],
    });
  });

  it.each([2n ** 256n - 1n, 2n ** 255n, 2n ** 160n - 1n])("without a limit (%s) is never signed", async (amount) => {
    const key = generatePrivateKey();
    for (const wallet of [walletFromPrivateKey(key), walletFromAccount(privateKeyToAccount(key))])
      await expect(approve(wallet, amount)).rejects.toMatchObject({ code: "approval_too_wide" });
  });
});

describe("a derived secret", () => {
  it("is of what viem would sign, and the same wherever the key is held", async () => {
    expect(SECRET_HASH).toBe(hashTypedData(SECRET_DATA));
    const secret = await walletFromPrivateKey(KEY).deriveSecret("payment nonces");
    expect(secret).toMatch(/^[0-9a-f]{64}$/);
    const account = privateKeyToAccount(KEY);
    expect(await walletFromAccount(account).deriveSecret("payment nonces")).toBe(secret);
  });

  it("is another for each purpose and each key, and lasts", async () => {
    const [one, other] = [walletFromPrivateKey(KEY), walletFromPrivateKey(generatePrivateKey())];
    const secrets = [
      await one.deriveSecret("payment nonces"),
      await one.deriveSecret("channel salts"),
      await other.deriveSecret("payment nonces"),
    ];
    expect(new Set(secrets).size).toBe(3);
    expect(await one.deriveSecret("payment nonces")).toBe(secrets[0]);
  });

  it("is not given by an account that signs differently each time, for another address, or not at all", async () => {
    const account = privateKeyToAccount(KEY);
    const other = privateKeyToAccount(generatePrivateKey());
    // Any k makes a valid signature: as signers do that draw it at random.
    const drawn = () => {
      const options = { prehash: false, format: "recovered", extraEntropy: true } as const;
      const signature = secp256k1.sign(fromHex0x(SECRET_HASH), fromHex0x(KEY), options);
      return Promise.resolve(toHex0x(Uint8Array.of(...signature.subarray(1), 27 + (signature[0] ?? 0))));
    };
    for (const signTypedData of [drawn, other.signTypedData, () => Promise.reject(new Error("declined"))])
      expect(await walletFromAccount({ ...account, signTypedData }).deriveSecret("payment nonces")).toBeNull();
  });
});

describe("the key", () => {
  it("shows nowhere: not in the wallet, its signatures' errors or its printing", async () => {
    const wallet = walletFromPrivateKey(KEY);
    const error = await errorOf(() => wallet.signAuthorization({ ...planFor(wallet.address), amount: "1" }, offer));
    for (const value of [wallet, error, { nested: { wallet } }])
      expect(shownOf(value)).not.toMatch(/ac0974bec39a17e3/i);
    expect(shownOf(wallet)).toContain(wallet.address);
    expect(Object.keys(wallet).toSorted()).toEqual([
      "address",
      "deriveSecret",
      "signAuthorization",
      "signDeposit",
      "signOwnerCall",
    ]);
    expect(Object.isFrozen(wallet)).toBe(true);
  });

  it.each([
    ["no hex", "hunter2-hunter2-hunter2"],
    ["no prefix", KEY.slice(2)],
    ["a digit short", KEY.slice(0, -1)],
    ["zero", `0x${"00".repeat(32)}`],
    ["the group order", "0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141"],
  ])("that is not one (%s) is named by field and not quoted", async (_name, key) => {
    const error = await errorOf(() => loadWallet({ env: { PROOF402_PRIVATE_KEY: key } }));
    expect(error).toMatchObject({ code: "private_key_invalid", details: { field: "PROOF402_PRIVATE_KEY" } });
    expect(shownOf(error)).not.toContain(key.slice(0, 16));
  });

  it("is read from a file that only its owner can read, and the environment comes first", async () => {
    const file = join(temporaryDirectory(), "key");
    writeFileSync(file, `${KEY}\n`, { mode: 0o600 });
    const address = privateKeyToAccount(KEY).address.toLowerCase();
    expect((await loadWallet({ privateKeyFile: file, env: {} }))?.address).toBe(address);
    const other = generatePrivateKey();
    const fromEnv = await loadWallet({ privateKeyFile: file, env: { PROOF402_PRIVATE_KEY: other } });
    expect(fromEnv?.address).toBe(privateKeyToAccount(other).address.toLowerCase());
    expect(await loadWallet({ env: {} })).toBeNull();
  });

  it.each([0o640, 0o604, 0o644, 0o660])("in a file of mode %o is refused", async (mode) => {
    const file = join(temporaryDirectory(), "key");
    writeFileSync(file, KEY);
    chmodSync(file, mode);
    const error = await errorOf(() => loadWallet({ privateKeyFile: file, env: {} }));
    expect(error.code).toBe("key_file_permissions");
    expect(shownOf(error)).not.toMatch(/ac0974bec39a17e3/i);
  });

  it("is not waited for in a pipe, nor looked for in a file too large to be one", async () => {
    const directory = temporaryDirectory();
    const pipe = join(directory, "pipe");
    execFileSync("mkfifo", ["-m", "600", pipe]);
    const huge = join(directory, "huge");
    writeFileSync(huge, "", { mode: 0o600 });
    truncateSync(huge, 2 ** 40);
    for (const [privateKeyFile, reason] of [
      [pipe, "not_a_file"],
      ["/dev/zero", "not_a_file"],
      [huge, "too_large"],
    ] as const) {
      const error = await errorOf(() => loadWallet({ privateKeyFile, env: {} }));
      expect(error).toMatchObject({ code: "key_file_unreadable", details: { field: "wallet.privateKeyFile", reason } });
    }
  });

  it("in a missing or malformed file is an error that names the field", async () => {
    const directory = temporaryDirectory();
    const missing = await errorOf(() => loadWallet({ privateKeyFile: join(directory, "none"), env: {} }));
    expect(missing).toMatchObject({ code: "key_file_unreadable", details: { field: "wallet.privateKeyFile" } });
    const file = join(directory, "key");
    writeFileSync(file, `${KEY}${KEY}`, { mode: 0o600 });
    const malformed = await errorOf(() => loadWallet({ privateKeyFile: file, env: {} }));
    expect(malformed).toMatchObject({ code: "private_key_invalid", details: { field: "wallet.privateKeyFile" } });
    expect(shownOf(malformed)).not.toMatch(/ac0974bec39a17e3/i);
    const folder = await errorOf(() => loadWallet({ privateKeyFile: directory, env: {} }));
    expect(folder.code).toBe("key_file_unreadable");
  });
});
