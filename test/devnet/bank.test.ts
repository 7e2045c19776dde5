import fc from "fast-check";
import {
  createTestClient,
  createWalletClient,
  domainSeparator,
  http,
  pad,
  parseEventLogs,
  parseSignature,
  publicActions,
  toHex,
  zeroAddress,
  type Address,
  type Hex,
  type TransactionReceipt,
} from "viem";
import { privateKeyToAccount, type PrivateKeyAccount } from "viem/accounts";
import { foundry } from "viem/chains";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CHAIN_ID } from "../../src/devnet/anvil.ts";
import { devUsd } from "../../src/devnet/contracts/dev-usd.artifact.ts";
import { openBank, startAnvil, type Anvil, type Bank } from "../../src/devnet/index.ts";
import {
  argumentsOf,
  domainOf,
  FOREVER,
  freshNonce,
  newAccount,
  signAs,
  type Authorization,
} from "./authorizations.ts";

const { abi } = devUsd;
/** Order of secp256k1. */
const N = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;

let anvil: Anvil;
let bank: Bank;
/** Pays gas and submits what others signed. */
let relayer: ReturnType<typeof openRelayer>;
let payer: PrivateKeyAccount;
let payee: PrivateKeyAccount;

const openRelayer = (key: Hex) =>
  createWalletClient({
    account: privateKeyToAccount(key),
    chain: foundry,
    transport: http(anvil.rpcUrl),
    pollingInterval: 20,
  }).extend(publicActions);

beforeAll(async () => {
  anvil = await startAnvil();
  bank = await openBank(anvil);
  relayer = openRelayer(await bank.fundedKey());
  payer = newAccount();
  payee = newAccount();
  await bank.token.mint(payer.address, 1_000_000n);
});
afterAll(() => anvil.stop());

const authorization = (changes: Partial<Authorization> = {}): Authorization => ({
  from: payer.address,
  to: payee.address,
  value: 100n,
  validAfter: 0n,
  validBefore: FOREVER,
  nonce: freshNonce(),
  ...changes,
});

const sign = (message: Authorization, signer = payer): Promise<Hex> =>
  signAs(signer, bank.token, "TransferWithAuthorization", message);

type Sent = { vrs: Hex } | { bytes: Hex };
type Name = "transferWithAuthorization" | "receiveWithAuthorization";

/** Simulates first, so that a refusal carries the contract's reason; then sends and waits. */
async function submit(
  message: Authorization,
  signature: Sent,
  name: Name = "transferWithAuthorization",
  from = relayer,
): Promise<TransactionReceipt> {
  const to = { address: bank.token.address, abi, functionName: name, account: from.account } as const;
  const fields = argumentsOf(message);
  let hash: Hex;
  if ("bytes" in signature) {
    const args = [...fields, signature.bytes] as const;
    await relayer.simulateContract({ ...to, args });
    hash = await from.writeContract({ ...to, args });
  } else {
    const { r, s, yParity } = parseSignature(signature.vrs);
    const args = [...fields, 27 + yParity, r, s] as const;
    await relayer.simulateContract({ ...to, args });
    hash = await from.writeContract({ ...to, args });
  }
  return relayer.waitForTransactionReceipt({ hash });
}

const isUsed = (owner: Address, nonce: Hex): Promise<boolean> =>
  relayer.readContract({
    address: bank.token.address,
    abi,
    functionName: "authorizationState",
    args: [owner, nonce],
  });

async function cancel(authorizer: Address, nonce: Hex, signer: PrivateKeyAccount): Promise<TransactionReceipt> {
  const signature = await signer.signTypedData({
    domain: domainOf(bank.token),
    types: {
      CancelAuthorization: [
        { name: "authorizer", type: "address" },
        { name: "nonce", type: "bytes32" },
      ],
    },
    primaryType: "CancelAuthorization",
    message: { authorizer, nonce },
  });
  const { r, s, yParity } = parseSignature(signature);
  const { request } = await relayer.simulateContract({
    address: bank.token.address,
    abi,
    functionName: "cancelAuthorization",
    args: [authorizer, nonce, 27 + yParity, r, s],
  });
  return relayer.waitForTransactionReceipt({ hash: await relayer.writeContract(request) });
}

const balances = async (): Promise<{ payer: bigint; payee: bigint }> => ({
  payer: await bank.balanceOf(payer.address),
  payee: await bank.balanceOf(payee.address),
});

describe("a transfer by signature (EIP-3009)", () => {
  it.each(["vrs", "bytes"] as const)("moves exactly the signed value, signature given as %s", async (form) => {
    const before = await balances();
    const message = authorization({ value: 1234n });
    expect(await isUsed(payer.address, message.nonce)).toBe(false);
    const signature = await sign(message);
    const receipt = await submit(message, form === "vrs" ? { vrs: signature } : { bytes: signature });
    expect(await balances()).toEqual({ payer: before.payer - 1234n, payee: before.payee + 1234n });
    expect(await isUsed(payer.address, message.nonce)).toBe(true);
    expect(parseEventLogs({ abi, logs: receipt.logs }).map((log) => [log.eventName, log.args])).toEqual([
      ["AuthorizationUsed", { authorizer: payer.address, nonce: message.nonce }],
      ["Transfer", { from: payer.address, to: payee.address, value: 1234n }],
    ]);
  });

  it("is possible once", async () => {
    const message = authorization();
    const signature = await sign(message);
    await submit(message, { vrs: signature });
    const before = await balances();
    await expect(submit(message, { vrs: signature })).rejects.toThrow("authorization is used or canceled");
    await expect(submit(message, { bytes: signature })).rejects.toThrow("authorization is used or canceled");
    expect(await balances()).toEqual(before);
  });

  it("is possible once however many are in flight", async () => {
    const message = authorization();
    const { r, s, yParity } = parseSignature(await sign(message));
    const before = await balances();
    const senders = await Promise.all([1, 2, 3].map(async () => openRelayer(await bank.fundedKey())));
    const hashes = await Promise.all(
      senders.map((sender) =>
        // A gas limit given beforehand: no estimate stops those that will fail.
        sender.writeContract({
          address: bank.token.address,
          abi,
          functionName: "transferWithAuthorization",
          args: [...argumentsOf(message), 27 + yParity, r, s],
          gas: 200_000n,
        }),
      ),
    );
    const receipts = await Promise.all(hashes.map((hash) => relayer.waitForTransactionReceipt({ hash })));
    expect(receipts.map(({ status }) => status).toSorted()).toEqual(["reverted", "reverted", "success"]);
    expect(await balances()).toEqual({ payer: before.payer - 100n, payee: before.payee + 100n });
  });

  it("is refused from the second on at which it expires, and up to the second from which it is valid", async () => {
    const clock = createTestClient({ mode: "anvil", chain: foundry, transport: http(anvil.rpcUrl) });
    const now = (await relayer.getBlock()).timestamp + 100n;
    let count = 0n;
    const at = async (message: Authorization): Promise<string> => {
      const { r, s, yParity } = parseSignature(await sign(message));
      await clock.setNextBlockTimestamp({ timestamp: now + count });
      count += 1n;
      const hash = await relayer.writeContract({
        address: bank.token.address,
        abi,
        functionName: "transferWithAuthorization",
        args: [...argumentsOf(message), 27 + yParity, r, s],
        gas: 200_000n,
      });
      return (await relayer.waitForTransactionReceipt({ hash })).status;
    };
    expect(await at(authorization({ validBefore: now }))).toBe("reverted");
    expect(await at(authorization({ validBefore: now + 2n }))).toBe("success");
    expect(await at(authorization({ validAfter: now + 2n }))).toBe("reverted");
    expect(await at(authorization({ validAfter: now + 2n }))).toBe("success");
  });

  it("says why it is refused: expired, not yet valid, balance", async () => {
    const expired = authorization({ validBefore: 1n });
    const early = authorization({ validAfter: FOREVER - 1n });
    const dear = authorization({ value: 2n ** 255n });
    await expect(submit(expired, { vrs: await sign(expired) })).rejects.toThrow("authorization is expired");
    await expect(submit(early, { vrs: await sign(early) })).rejects.toThrow("authorization is not yet valid");
    await expect(submit(dear, { vrs: await sign(dear) })).rejects.toThrow("transfer amount exceeds balance");
    expect(await isUsed(payer.address, dear.nonce)).toBe(false);
  });

  it("is refused without the payer's own signature", async () => {
    const message = authorization();
    const before = await balances();
    await expect(submit(message, { vrs: await sign(message, newAccount()) })).rejects.toThrow("invalid signature");
    await expect(submit(message, { bytes: "0x" })).rejects.toThrow("invalid signature");
    await expect(submit(message, { bytes: pad("0x1b", { size: 65 }) })).rejects.toThrow("invalid signature");
    const nobody = authorization({ from: zeroAddress, value: 0n });
    await expect(submit(nobody, { bytes: pad("0x1b", { size: 65 }) })).rejects.toThrow("invalid signature");
    expect(await balances()).toEqual(before);
    expect(await isUsed(payer.address, message.nonce)).toBe(false);
  });

  it("is refused with the malleable twin of a good signature", async () => {
    const message = authorization();
    const { r, s, yParity } = parseSignature(await sign(message));
    const twin: Hex = `${r}${pad(toHex(N - BigInt(s)), { size: 32 }).slice(2)}${toHex(28 - yParity).slice(2)}`;
    await expect(submit(message, { bytes: twin })).rejects.toThrow("malleable");
  });

  it("is refused when any signed field was changed", async () => {
    const signed = authorization();
    const signature = await sign(signed);
    const other = newAccount().address;
    const changes = fc.oneof(
      fc.bigInt({ min: 0n, max: 1000n }).map((value) => ({ value })),
      fc.bigInt({ min: 1n, max: 1000n }).map((validAfter) => ({ validAfter })),
      fc.bigInt({ min: 2n ** 40n, max: FOREVER - 1n }).map((validBefore) => ({ validBefore })),
      fc.uint8Array({ minLength: 32, maxLength: 32 }).map((nonce) => ({ nonce: toHex(nonce) })),
      fc.constantFrom({ to: other }, { from: payee.address }),
    );
    await fc.assert(
      fc.asyncProperty(changes, async (change) => {
        fc.pre(!("value" in change && change.value === signed.value));
        await expect(submit({ ...signed, ...change }, { vrs: signature })).rejects.toThrow("invalid signature");
      }),
      { numRuns: 30 },
    );
    // The one that was signed is still good: what failed above failed for its change.
    await submit(signed, { vrs: signature });
  });
});

describe("a receipt by signature (EIP-3009)", () => {
  it.each(["vrs", "bytes"] as const)("is for the payee to submit, signature given as %s", async (form) => {
    const collector = openRelayer(await bank.fundedKey());
    const message = authorization({ to: collector.account.address });
    const signature = await signAs(payer, bank.token, "ReceiveWithAuthorization", message);
    const sent = form === "vrs" ? { vrs: signature } : { bytes: signature };
    await expect(submit(message, sent, "receiveWithAuthorization")).rejects.toThrow("caller must be the payee");
    await submit(message, sent, "receiveWithAuthorization", collector);
    expect(await bank.balanceOf(collector.account.address)).toBe(100n);
    await expect(submit(message, sent, "receiveWithAuthorization", collector)).rejects.toThrow("used or canceled");
  });

  it("and a transfer do not take each other's signatures", async () => {
    const collector = openRelayer(await bank.fundedKey());
    const message = authorization({ to: collector.account.address });
    const toReceive = await signAs(payer, bank.token, "ReceiveWithAuthorization", message);
    await expect(submit(message, { vrs: toReceive })).rejects.toThrow("invalid signature");
    const toTransfer = { vrs: await sign(message) };
    await expect(submit(message, toTransfer, "receiveWithAuthorization", collector)).rejects.toThrow(
      "invalid signature",
    );
  });
});

describe("a cancellation (EIP-3009)", () => {
  it("ends an authorization for good", async () => {
    const message = authorization();
    const receipt = await cancel(payer.address, message.nonce, payer);
    expect(parseEventLogs({ abi, logs: receipt.logs }).map((log) => [log.eventName, log.args])).toEqual([
      ["AuthorizationCanceled", { authorizer: payer.address, nonce: message.nonce }],
    ]);
    expect(await isUsed(payer.address, message.nonce)).toBe(true);
    await expect(submit(message, { vrs: await sign(message) })).rejects.toThrow("authorization is used or canceled");
  });

  it("is the authorizer's alone, and comes too late after the transfer", async () => {
    const message = authorization();
    await expect(cancel(payer.address, message.nonce, payee)).rejects.toThrow("invalid signature");
    await submit(message, { vrs: await sign(message) });
    await expect(cancel(payer.address, message.nonce, payer)).rejects.toThrow("authorization is used or canceled");
  });
});

describe("the token", () => {
  it("is minted by its deployer only", async () => {
    const mint = relayer.simulateContract({
      address: bank.token.address,
      abi,
      functionName: "mint",
      args: [relayer.account.address, 1n],
    });
    await expect(mint).rejects.toThrow("only the minter");
  });

  it("has the EIP-712 domain of USDC", async () => {
    const separator = await relayer.readContract({
      address: bank.token.address,
      abi,
      functionName: "DOMAIN_SEPARATOR",
    });
    const domain = { name: "USD Coin", version: "2", chainId: CHAIN_ID, verifyingContract: bank.token.address };
    expect(separator).toBe(domainSeparator({ domain }));
  });

  it("takes a permit once, in order, and spends no more than it allows (EIP-2612)", async () => {
    const spender = relayer.account.address;
    const permit = async (value: bigint, nonce: bigint, deadline = FOREVER) => {
      const signature = await payer.signTypedData({
        domain: domainOf(bank.token),
        types: {
          Permit: [
            { name: "owner", type: "address" },
            { name: "spender", type: "address" },
            { name: "value", type: "uint256" },
            { name: "nonce", type: "uint256" },
            { name: "deadline", type: "uint256" },
          ],
        },
        primaryType: "Permit",
        message: { owner: payer.address, spender, value, nonce, deadline },
      });
      const { r, s, yParity } = parseSignature(signature);
      const { request } = await relayer.simulateContract({
        address: bank.token.address,
        abi,
        functionName: "permit",
        args: [payer.address, spender, value, deadline, 27 + yParity, r, s],
      });
      await relayer.waitForTransactionReceipt({ hash: await relayer.writeContract(request) });
    };
    const spend = async (value: bigint) => {
      const { request } = await relayer.simulateContract({
        address: bank.token.address,
        abi,
        functionName: "transferFrom",
        args: [payer.address, payee.address, value],
      });
      await relayer.waitForTransactionReceipt({ hash: await relayer.writeContract(request) });
    };
    await expect(permit(50n, 1n)).rejects.toThrow("invalid signature");
    await expect(permit(50n, 0n, 1n)).rejects.toThrow("permit is expired");
    await permit(50n, 0n);
    await expect(permit(50n, 0n)).rejects.toThrow("invalid signature");
    await expect(spend(51n)).rejects.toThrow("allowance too low");
    await spend(30n);
    await expect(spend(21n)).rejects.toThrow("allowance too low");
    await spend(20n);
  });

  it("can be deployed again with other decimals, and takes no signature made for the first", async () => {
    const other = await bank.deploy({ name: "Other", symbol: "OTH", version: "1", decimals: 18 });
    await other.mint(payer.address, 5n);
    const read = { address: other.address, abi } as const;
    expect(await relayer.readContract({ ...read, functionName: "decimals" })).toBe(18);
    expect(await relayer.readContract({ ...read, functionName: "symbol" })).toBe("OTH");
    const message = authorization({ value: 1n });
    const foreign = relayer.simulateContract({
      ...read,
      functionName: "transferWithAuthorization",
      args: [...argumentsOf(message), await sign(message)],
    });
    await expect(foreign).rejects.toThrow("invalid signature");
    const own = await signAs(payer, other, "TransferWithAuthorization", message);
    await relayer.simulateContract({
      ...read,
      functionName: "transferWithAuthorization",
      args: [...argumentsOf(message), own],
    });
  });
});
