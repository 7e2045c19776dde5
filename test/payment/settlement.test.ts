import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { inspect } from "node:util";
import { decodePaymentSignatureHeader } from "@x402/core/http";
import { x402ResourceServer } from "@x402/core/server";
import { toFacilitatorEvmSigner } from "@x402/evm";
import { ExactEvmScheme } from "@x402/evm/exact/facilitator";
import type { PaymentRequirements } from "@x402/core/types";
import { getAddress, parseSignature, type Hex } from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { isAuthorizationUsed, readTransfer } from "../../src/evidence/eip3009.ts";
import { Proof402Error } from "../../src/errors.ts";
import { openChain, type Chain } from "../../src/chain/chain.ts";
import { markAnswered, markSent, markSigned, openPurchases, readPurchase } from "../../src/payment/journal.ts";
import { reserve } from "../../src/payment/reserve.ts";
import { spending } from "../../src/payment/spending.ts";
import { paymentHeader } from "../../src/payment/plan.ts";
import type { PaymentPolicy } from "../../src/payment/policy.ts";
import { reconcile } from "../../src/payment/reconcile.ts";
import { observeSettlement } from "../../src/payment/settlement.ts";
import type { SettlementView } from "../../src/payment/settlement-view.ts";
import type { PurchaseRecord } from "../../src/payment/types.ts";
import { walletFromPrivateKey } from "../../src/payment/wallet.ts";
import type { Payment } from "../../src/receipts/schema.ts";
import { openDatabase, type Db } from "../../src/storage/database.ts";
import { startAnvil, type Anvil } from "../../src/devnet/anvil.ts";
import { newKey, openTestChain, type TestChain } from "./chain/token.ts";
import { accept, NETWORK, PAYEE, policyWith, requirement, reservation, temporaryDirectory, usdc } from "./fixtures.ts";

let anvil: Anvil;
let chain: TestChain;
let eyes: Chain;
let policy: PaymentPolicy;
let db: Db;
const key = newKey();
const wallet = walletFromPrivateKey(key);

beforeAll(async () => {
  anvil = await startAnvil();
  chain = await openTestChain(anvil.rpcUrl);
  eyes = openChain({ network: NETWORK, rpcUrl: anvil.rpcUrl, confirmations: 2, pollMilliseconds: 20 });
  policy = policyWith([{ ...usdc, asset: chain.token }]);
  db = await openDatabase(":memory:");
});
afterAll(async () => {
  await db.destroy();
  await anvil.stop();
});

const chainNow = async (): Promise<Date> => new Date(Number((await chain.client.getBlock()).timestamp) * 1000);

/** A reserved purchase, dated by the chain's own clock. */
async function purchase(into: Db = db, amount = "20000"): Promise<PurchaseRecord> {
  const { offer, accepted } = accept(requirement({ asset: chain.token, amount }), policy);
  const result = await reserve(
    into,
    reservation({ now: await chainNow(), policy, offer, accepted, payer: wallet.address }),
  );
  if (result.kind !== "reserved") throw new Error(result.kind);
  return result.purchase;
}

/** What a seller's facilitator does with a signed authorization. */
async function submit({ payment, offer }: PurchaseRecord): Promise<Hex> {
  const { v, r, s } = parseSignature(await wallet.signAuthorization(payment, offer));
  const { payer, payTo, amount, validAfter, validBefore, nonce } = payment;
  return chain.call("transferWithAuthorization", [
    payer,
    payTo,
    amount,
    validAfter,
    validBefore,
    nonce,
    Number(v),
    r,
    s,
  ]);
}

async function cancel({ payment }: PurchaseRecord): Promise<Hex> {
  const signature = await privateKeyToAccount(key).signTypedData({
    domain: { ...usdc.domain, chainId: 31337, verifyingContract: chain.token },
    types: {
      CancelAuthorization: [
        { name: "authorizer", type: "address" },
        { name: "nonce", type: "bytes32" },
      ],
    },
    primaryType: "CancelAuthorization",
    message: { authorizer: payment.payer, nonce: payment.nonce },
  });
  const { v, r, s } = parseSignature(signature);
  return chain.call("cancelAuthorization", [payment.payer, payment.nonce, Number(v), r, s]);
}

const mine = (blocks: number, interval = 1): Promise<void> => chain.client.mine({ blocks, interval });
const passExpiry = async ({ validBefore }: Payment): Promise<void> => {
  await chain.client.setNextBlockTimestamp({ timestamp: BigInt(validBefore + 1) });
  await mine(1);
};

function expectSettled(view: SettlementView, { payment }: PurchaseRecord, transaction: string): void {
  if (view.state !== "settled") throw new Error(view.state);
  expect(view).toMatchObject({ transaction, amount: payment.amount });
  const { logs } = view.evidence;
  expect(logs.some((log) => isAuthorizationUsed(log, payment.asset, payment.payer, payment.nonce))).toBe(true);
  expect(logs.map((log) => readTransfer(log, payment.asset))).toContainEqual({
    from: payment.payer,
    to: payment.payTo,
    value: BigInt(payment.amount),
  });
}

describe("what the chain says of an authorization", () => {
  it("unused and alive: pending, whatever the seller says", async () => {
    const bought = await purchase();
    expect(await observeSettlement(eyes, bought.payment)).toEqual({ state: "pending" });
    const hints = ["", "0x12", `0x${"ab".repeat(32)}`, `0x${"ZZ".repeat(32)}`, "ignore this"];
    for (const transactionHint of hints)
      expect(await observeSettlement(eyes, bought.payment, { transactionHint })).toEqual({ state: "pending" });
  });

  it("used: settled once confirmed, with a hint and without", async () => {
    const bought = await purchase();
    const transaction = await submit(bought);
    expect(await observeSettlement(eyes, bought.payment, { transactionHint: transaction })).toEqual({
      state: "pending",
    });
    await mine(1);
    expect(await observeSettlement(eyes, bought.payment)).toEqual({ state: "pending" });
    await mine(1);
    expectSettled(await observeSettlement(eyes, bought.payment, { transactionHint: transaction }), bought, transaction);
    expectSettled(await observeSettlement(eyes, bought.payment), bought, transaction);
  });

  it("T13: a transaction that is not this payment's is no settlement, and the true one is found in spite of it", async () => {
    const [bought, other] = [await purchase(), await purchase()];
    const plain = await chain.call("transfer", [PAYEE, "20000"]);
    const foreign = await submit(other);
    await mine(3);
    const hints = [plain, foreign];
    for (const transactionHint of hints)
      expect(await observeSettlement(eyes, bought.payment, { transactionHint })).toEqual({ state: "pending" });
    const transaction = await submit(bought);
    await mine(2);
    for (const transactionHint of hints)
      expectSettled(await observeSettlement(eyes, bought.payment, { transactionHint }), bought, transaction);
  });

  it("used thousands of blocks before now and after the search begins: found without a hint", async () => {
    // More blocks than one query may span lie in the hour before the payment.
    await mine(2100);
    const bought = await purchase();
    const transaction = await submit(bought);
    expect((await chain.client.getBlock()).number).toBeGreaterThan(2100n);
    await mine(300, 60);
    expectSettled(await observeSettlement(eyes, bought.payment), bought, transaction);
  });

  it("unused past its end: expired, only once a confirmed block is past it", async () => {
    const bought = await purchase();
    await passExpiry(bought.payment);
    expect(await observeSettlement(eyes, bought.payment)).toEqual({ state: "pending" });
    await mine(1);
    expect(await observeSettlement(eyes, bought.payment)).toEqual({ state: "pending" });
    await mine(1);
    const view = await observeSettlement(eyes, bought.payment);
    expect(view).toMatchObject({
      state: "expired",
      reason: "authorization_expired",
      evidence: { outcome: "expired", logs: [] },
    });
    expect(view.state === "expired" && view.evidence.blockTime).toBeGreaterThan(bought.payment.validBefore);
    await expect(submit(bought)).rejects.toThrow(/expired/);
  });

  it("used at its last second: settled and never expired", async () => {
    const bought = await purchase();
    await chain.client.setNextBlockTimestamp({ timestamp: BigInt(bought.payment.validBefore - 1) });
    const transaction = await submit(bought);
    await passExpiry(bought.payment);
    await mine(2);
    expectSettled(await observeSettlement(eyes, bought.payment), bought, transaction);
  });

  it("canceled by its owner: expired, as canceled", async () => {
    const bought = await purchase();
    await cancel(bought);
    await mine(3);
    expect(await observeSettlement(eyes, bought.payment)).toEqual({ state: "pending" });
    await passExpiry(bought.payment);
    await mine(2);
    expect(await observeSettlement(eyes, bought.payment)).toMatchObject({
      state: "expired",
      reason: "authorization_canceled",
    });
  });

  it("used by a token that moved another amount: settled with raw evidence, counted in full", async () => {
    const bought = await purchase();
    await chain.call("setFee", ["5"]);
    const transaction = await submit(bought);
    await chain.call("setFee", ["0"]);
    await mine(2);
    // The hint alone is not enough here, since the transfer is not exact: the use is found by its event.
    const view = await observeSettlement(eyes, bought.payment, { transactionHint: transaction });
    expect(view).toMatchObject({ state: "settled", transaction, amount: "20000" });
    const moved =
      view.state === "settled" ? view.evidence.logs.map((log) => readTransfer(log, chain.token)?.value) : [];
    expect(moved).toContain(19_995n);
  });
});

describe("an RPC", () => {
  it("of another chain is not believed", async () => {
    const bought = await purchase();
    const wrong = openChain({ network: "eip155:8453", rpcUrl: anvil.rpcUrl, confirmations: 0, pollMilliseconds: 20 });
    await expect(observeSettlement(wrong, bought.payment)).rejects.toMatchObject({ code: "wrong_chain" });
  });

  it("that fails is an error without its address, which may hold a key, and is asked again later", async () => {
    const bought = await purchase();
    let answer = "not json";
    const server = createServer((request, response) => {
      request.resume().on("end", () => response.setHeader("content-type", "application/json").end(answer));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    const rpcUrl = `http://127.0.0.1:${port}/v2/hunter2secret`;
    const failing = openChain({ network: NETWORK, rpcUrl, confirmations: 0, pollMilliseconds: 20 });
    for (const [text, code] of [
      ["not json", "chain_unreachable"],
      ["{}", "chain_answer_unusable"],
      ['{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"send me keys"}}', "chain_unreachable"],
    ] as const) {
      answer = text;
      const error: unknown = await observeSettlement(failing, bought.payment).catch((thrown: unknown) => thrown);
      if (!Proof402Error.isInstance(error)) throw error;
      expect(error.code).toBe(code);
      expect(inspect(error, { depth: 10 }) + error.stack + JSON.stringify(error)).not.toMatch(
        /hunter2secret|send me keys/,
      );
    }
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
});

describe("reconciling the journal with the chain", () => {
  it("settles what moved, releases what cannot move, leaves the rest, and does so once however often it runs", async () => {
    const path = `${temporaryDirectory()}/journal.db`;
    const own = await openDatabase(path);
    const second = await openDatabase(path);
    const chains = new Map([[NETWORK, eyes]]);
    const bring = async (to: "signed" | "sent" | "answered"): Promise<PurchaseRecord> => {
      const bought = await purchase(own, "10000");
      const now = await chainNow();
      await markSigned(own, bought.id, { now });
      if (to !== "signed") await markSent(own, bought.id, { now });
      if (to === "answered") await markAnswered(own, bought.id, { receiptId: `r-${bought.id}`, now });
      return bought;
    };
    const paid = [await bring("signed"), await bring("sent"), await bring("answered")];
    const unpaid = [await bring("signed"), await bring("sent"), await bring("answered")];
    const stale = await purchase(own, "10000");
    for (const bought of paid) await submit(bought);
    const last = unpaid.at(-1)?.payment;
    if (last === undefined) throw new Error("unreachable");
    await passExpiry(last);
    await mine(120);
    const alive = await bring("sent");
    const fresh = await purchase(own, "10000");
    const now = await chainNow();

    const summaries = await Promise.all([reconcile({ db: own, chains, now }), reconcile({ db: second, chains, now })]);
    const sumOf = (pick: "settled" | "released") => summaries.reduce((total, summary) => total + summary[pick], 0);
    expect(sumOf("settled")).toBe(3);
    expect(sumOf("released")).toBe(4);
    expect(await reconcile({ db: own, chains, now })).toEqual({
      settled: 0,
      released: 0,
      pending: 2,
      unreachable: [],
      contradicted: [],
      overcharged: [],
    });
    for (const bought of paid)
      expect(await readPurchase(own, bought.id)).toMatchObject({ state: "settled", settledAmount: "10000" });
    for (const bought of unpaid)
      expect(await readPurchase(own, bought.id)).toMatchObject({ state: "released", reason: "authorization_expired" });
    expect(await readPurchase(own, stale.id)).toMatchObject({ state: "released", reason: "never_signed" });
    expect((await openPurchases(own)).map((one) => one.id).toSorted()).toEqual([alive.id, fresh.id].toSorted());
    expect((await spending(own, policy, now)).assets[0]).toMatchObject({ spent: "30000", reserved: "20000" });
    // The slow process whose reservation was released cannot sign any more.
    expect(await markSigned(own, stale.id, { now })).toMatchObject({ ok: false, state: "released" });
    await Promise.all([own.destroy(), second.destroy()]);
  });

  it("releases nothing when the chain cannot be asked", async () => {
    const own = await openDatabase(":memory:");
    const bought = await purchase(own);
    await markSigned(own, bought.id, { now: await chainNow() });
    const now = new Date(Date.now() + 1e9);
    expect(await reconcile({ db: own, chains: new Map(), now })).toEqual({
      settled: 0,
      released: 0,
      pending: 1,
      unreachable: [NETWORK],
      contradicted: [],
      overcharged: [],
    });
    const dead = openChain({ network: NETWORK, rpcUrl: "http://127.0.0.1:1", confirmations: 0, pollMilliseconds: 20 });
    expect(await reconcile({ db: own, chains: new Map([[NETWORK, dead]]), now })).toMatchObject({
      pending: 1,
      unreachable: [NETWORK],
    });
    expect((await readPurchase(own, bought.id))?.state).toBe("signed");
    await own.destroy();
  });
});

describe("the stock x402 seller", () => {
  it("matches our payment to its requirement and its facilitator settles it", async () => {
    // Its facilitator goes by this machine's clock, so its chain must too.
    const fresh = await startAnvil();
    onTestFinished(() => fresh.stop());
    const { client, token } = await openTestChain(fresh.rpcUrl);
    const own = policyWith([{ ...usdc, asset: token }]);
    // EIP-55 case and fields we do not know, as a seller may send them: quoted back unchanged.
    const written = requirement({ asset: getAddress(token), extra: { ...usdc.domain, memo: { deep: [1, "x"] } } });
    const { offer, accepted } = accept(written, own);
    const { payment } = reservation({ policy: own, offer, accepted, payer: wallet.address });
    const payload = decodePaymentSignatureHeader(
      paymentHeader({ payment, accepted, signature: await wallet.signAuthorization(payment, offer) }),
    );
    const requirements = written as unknown as PaymentRequirements;
    expect(new x402ResourceServer().findMatchingRequirements([requirements], payload)).toBe(requirements);
    const signer = toFacilitatorEvmSigner({ ...client, address: client.account.address } as unknown as Parameters<
      typeof toFacilitatorEvmSigner
    >[0]);
    const facilitator = new ExactEvmScheme(signer);
    expect(await facilitator.verify(payload, requirements)).toMatchObject({ isValid: true, payer: wallet.address });
    const result = await facilitator.settle(payload, requirements);
    expect(result).toMatchObject({ success: true });
    const eye = openChain({ network: NETWORK, rpcUrl: fresh.rpcUrl, confirmations: 0, pollMilliseconds: 20 });
    const view = await observeSettlement(eye, payment, { transactionHint: result.transaction });
    expect(view).toMatchObject({ state: "settled", transaction: result.transaction, amount: "20000" });
  });
});
