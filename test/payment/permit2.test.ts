import {
  createTestClient,
  createWalletClient,
  encodeFunctionData,
  hashTypedData,
  http,
  type Address,
  type Hex,
} from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { foundry } from "viem/chains";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { lowered } from "../../src/evidence/bytes.ts";
import { startAnvil, type Anvil } from "../../src/devnet/anvil.ts";
import { devMulticall } from "../../src/devnet/contracts/dev-multicall.artifact.ts";
import { devPermit2 } from "../../src/devnet/contracts/dev-permit2.artifact.ts";
import { openBank, type Bank } from "../../src/devnet/bank.ts";
import { PERMIT2, UPTO_PROXY } from "../../src/evidence/permit2.ts";
import { approvePermit2, readHoldings } from "../../src/payment/allowance.ts";
import { openChain, type Chain } from "../../src/chain/chain.ts";
import { markSent, markSigned, readPurchase } from "../../src/payment/journal.ts";
import { chooseOffer, readOffers } from "../../src/payment/offers.ts";
import { reconcile } from "../../src/payment/reconcile.ts";
import { reserve } from "../../src/payment/reserve.ts";
import { observeSettlement } from "../../src/payment/settlement.ts";
import { spending } from "../../src/payment/spending.ts";
import { payerOf } from "../../src/payment/methods/methods.ts";
import type { PurchaseRecord } from "../../src/payment/types.ts";
import { walletFromPrivateKey, type Wallet } from "../../src/payment/wallet.ts";
import type { AssetPolicy } from "../../src/payment/policy.ts";
import { openDatabase, type Db } from "../../src/storage/database.ts";
import { settleCall } from "../support/settle-call.ts";
import { NETWORK, PAYEE, policyWith, requirement, reservation } from "./fixtures.ts";

const ONE = 10n ** 18n;
const MULTICALL: Address = "0xcA11bde05977b3631167028862bE2a173976CA11";
const CONFIRMATIONS = 2;

let anvil: Anvil;
let bank: Bank;
let eyes: Chain;
let db: Db;
let wallet: Wallet;
let asset: AssetPolicy;
let facilitator: ReturnType<typeof openRelayer>;
let stranger: typeof facilitator;

const openRelayer = (key: Hex) =>
  createWalletClient({
    account: privateKeyToAccount(key),
    chain: foundry,
    transport: http(anvil.rpcUrl),
    pollingInterval: 20,
  });

beforeAll(async () => {
  anvil = await startAnvil();
  bank = await openBank(anvil);
  eyes = openChain({ network: NETWORK, rpcUrl: anvil.rpcUrl, confirmations: CONFIRMATIONS, pollMilliseconds: 20 });
  db = await openDatabase(":memory:");
  wallet = walletFromPrivateKey(await bank.fundedKey());
  facilitator = openRelayer(await bank.fundedKey());
  stranger = openRelayer(await bank.fundedKey());
  const { address, symbol, decimals, name, version } = bank.dai;
  const limit = String(50n * ONE);
  asset = {
    network: NETWORK,
    asset: address,
    symbol,
    decimals,
    usdStable: true,
    domain: { name, version },
    methods: ["permit2", "upto"],
    perCall: limit,
    perHour: limit,
    perDay: limit,
    total: limit,
  };
  await bank.dai.mint(wallet.address, 100n * ONE);
  await approvePermit2({ db, chain: eyes, wallet, asset, amount: 50n * ONE });
});
afterAll(async () => {
  await db.destroy();
  await anvil.stop();
});

const mine = (blocks: number): Promise<void> =>
  createTestClient({ chain: foundry, transport: http(anvil.rpcUrl), mode: "anvil" }).mine({ blocks });
const chainNow = async (): Promise<Date> => new Date(Number((await bank.client.getBlock()).timestamp) * 1000);
/** The next block comes this many seconds after the purchase's deadline. */
const passDeadline = async ({ payment }: PurchaseRecord, seconds: number): Promise<void> => {
  const test = createTestClient({ chain: foundry, transport: http(anvil.rpcUrl), mode: "anvil" });
  await test.setNextBlockTimestamp({ timestamp: BigInt(payment.validBefore + seconds) });
  await mine(1);
};
const holds = async (): Promise<bigint> => (await readHoldings(eyes, asset.asset, wallet.address)).balance;

it("reads what a wallet holds as of a block, and as of the newest", async () => {
  const block = await bank.client.getBlockNumber();
  const before = await readHoldings(eyes, asset.asset, wallet.address);
  await bank.dai.mint(wallet.address, ONE);
  expect(await readHoldings(eyes, asset.asset, wallet.address, { block })).toEqual(before);
  expect(await readHoldings(eyes, asset.asset, wallet.address)).toEqual({ ...before, balance: before.balance + ONE });
});

/** A purchase as it stands when its process dies right after signing, dated by the chain's own clock. */
async function signedPurchase(scheme: "exact" | "upto", amount: bigint): Promise<PurchaseRecord> {
  const extra = { assetTransferMethod: "permit2", facilitatorAddress: facilitator.account.address };
  const required = readOffers({
    x402Version: 2,
    accepts: [requirement({ scheme, asset: asset.asset, amount: String(amount), extra })],
  });
  if (!required.ok) throw new Error(required.refusal.message);
  const policy = policyWith([asset]);
  const facilitators = [lowered(facilitator.account.address)];
  const chosen = chooseOffer({ policy, payTo: [lowered(PAYEE)], facilitators, required: required.required });
  if (!chosen.ok) throw new Error(JSON.stringify(chosen.refusals));
  const { offer, accepted } = chosen.offers[0];
  const now = await chainNow();
  const result = await reserve(db, reservation({ now, policy, offer, accepted, payer: wallet.address }));
  if (result.kind !== "reserved") throw new Error(result.kind);
  await markSigned(db, result.purchase.id, { now });
  return result.purchase;
}

type Terms = { requested?: bigint; owner?: Address };
/** The call by which a facilitator settles a purchase. */
async function settleData({ payment, offer }: PurchaseRecord, terms: Terms = {}): Promise<{ to: Address; data: Hex }> {
  const signTypedData = () => wallet.signAuthorization(payment, offer);
  const { to, input } = await settleCall(
    { ...payment, payer: terms.owner ?? payment.payer },
    { signTypedData },
    terms.requested,
  );
  return { to, data: input };
}

/** Sends whatever becomes of it, and says what did. */
async function send(
  from: typeof facilitator,
  call: { to: Address; data: Hex },
): Promise<{ hash: Hex; status: string }> {
  const hash = await from.sendTransaction({ ...call, gas: 500_000n });
  const { status } = await bank.client.waitForTransactionReceipt({ hash });
  return { hash, status };
}

const stateOf = async ({ id }: PurchaseRecord) => {
  const found = await readPurchase(db, id);
  return [found?.state, found?.settledAmount];
};
const reconciled = async () => reconcile({ db, chains: new Map([[NETWORK, eyes]]), now: await chainNow() });
const used = async (): Promise<{ reserved: bigint; spent: bigint }> => {
  const [found] = (await spending(db, policyWith([asset]), await chainNow())).assets;
  return { reserved: BigInt(found?.reserved ?? -1), spent: BigInt(found?.spent ?? -1) };
};

describe("x402's contracts, as the devnet stands in for them", () => {
  it("never move more than an upto permit's cap, nor for another facilitator, nor twice", async () => {
    const purchase = await signedPurchase("upto", ONE);
    const before = await holds();
    for (const [from, requested] of [
      [facilitator, ONE + 1n],
      [facilitator, 2n ** 256n - 1n],
      [stranger, 1n],
    ] as const)
      expect((await send(from, await settleData(purchase, { requested }))).status).toBe("reverted");
    expect(await holds()).toBe(before);
    expect((await send(facilitator, await settleData(purchase, { requested: 7n }))).status).toBe("success");
    expect((await send(facilitator, await settleData(purchase, { requested: 1n }))).status).toBe("reverted");
    expect(before - (await holds())).toBe(7n);
  });

  it("move exactly an exact permit's amount, once, from its signer only", async () => {
    const purchase = await signedPurchase("exact", ONE / 3n);
    const before = await holds();
    const other = await settleData(purchase, { owner: facilitator.account.address });
    expect((await send(facilitator, other)).status).toBe("reverted");
    expect((await send(facilitator, await settleData(purchase))).status).toBe("success");
    expect((await send(facilitator, await settleData(purchase))).status).toBe("reverted");
    expect(before - (await holds())).toBe(ONE / 3n);
  });

  it("are the only spenders: whoever submits the permit to Permit2 itself gets nothing", async () => {
    const purchase = await signedPurchase("exact", ONE);
    const { payment, offer } = purchase;
    const typed = payerOf(payment).typedDataOf(payment, { name: "", version: "" });
    expect(hashTypedData(typed)).toBe(payment.authorizationHash);
    const data = encodeFunctionData({
      abi: devPermit2.abi,
      functionName: "permitWitnessTransferFrom",
      args: [
        {
          permitted: { token: payment.asset, amount: ONE },
          nonce: BigInt(payment.nonce),
          deadline: BigInt(payment.validBefore),
        },
        { to: stranger.account.address, requestedAmount: ONE },
        payment.payer,
        payment.authorizationHash,
        "Witness witness)TokenPermissions(address token,uint256 amount)Witness(address to,uint256 validAfter)",
        await wallet.signAuthorization(payment, offer),
      ],
    });
    const before = await holds();
    expect((await send(stranger, { to: PERMIT2, data })).status).toBe("reverted");
    expect(await holds()).toBe(before);
  });

  it("take no permit after its deadline", async () => {
    const purchase = await signedPurchase("exact", ONE);
    await passDeadline(purchase, 1);
    expect((await send(facilitator, await settleData(purchase))).status).toBe("reverted");
  });
});

describe("a permit in the journal", () => {
  it("that was never sent is counted until its deadline lies behind a confirmed block, and given back then", async () => {
    await reconciled();
    const before = await used();
    const purchase = await signedPurchase("upto", 3n * ONE);
    expect(await used()).toEqual({ ...before, reserved: before.reserved + 3n * ONE });
    await reconciled();
    expect(await stateOf(purchase)).toEqual(["signed", null]);
    await passDeadline(purchase, 0);
    await mine(1);
    await reconciled();
    expect(await stateOf(purchase)).toEqual(["signed", null]);
    await passDeadline(purchase, 30);
    await reconciled();
    // Past the deadline, but not as deep in the chain as is believed.
    expect(await stateOf(purchase)).toEqual(["signed", null]);
    await mine(CONFIRMATIONS);
    await reconciled();
    expect(await stateOf(purchase)).toEqual(["released", null]);
    expect((await used()).reserved).toBeLessThanOrEqual(before.reserved);
  });

  it.each([
    ["exact", ONE, ONE],
    ["upto", 3n * ONE, ONE / 7n],
  ] as const)("%s: what was settled while its process was dead is found on chain", async (scheme, cap, moves) => {
    const before = await holds();
    const purchase = await signedPurchase(scheme, cap);
    await markSent(db, purchase.id, { now: await chainNow() });
    const { hash } = await send(facilitator, await settleData(purchase, { requested: moves }));
    await reconciled();
    expect(await stateOf(purchase)).toEqual(["sent", null]);
    await mine(CONFIRMATIONS);
    const spent = (await used()).spent;
    await reconciled();
    expect(await stateOf(purchase)).toEqual(["settled", String(moves)]);
    expect((await readPurchase(db, purchase.id))?.transaction).toBe(hash);
    expect((await used()).spent - spent).toBe(moves);
    expect(before - (await holds())).toBe(moves);
  });

  it("is not taken as settled by a transaction that quotes it while it settles another", async () => {
    const [quoted, settled] = [await signedPurchase("upto", 3n * ONE), await signedPurchase("upto", 3n * ONE)];
    const call = await settleData(settled, { requested: 1n });
    const quote = (await settleData(quoted, { requested: 1n })).data.slice(2);
    const { hash, status } = await send(facilitator, { ...call, data: `${call.data}${quote}` });
    expect(status).toBe("success");
    await mine(CONFIRMATIONS);
    expect(await observeSettlement(eyes, quoted.payment, { transactionHint: hash })).toEqual({ state: "pending" });
    expect(await observeSettlement(eyes, settled.payment, { transactionHint: hash })).toMatchObject({
      state: "settled",
      amount: "1",
      // What trails the call is not kept.
      evidence: { to: UPTO_PROXY, input: call.data },
    });
    await reconciled();
    expect(await stateOf(quoted)).toEqual(["signed", null]);
  });

  it("that somebody used through another contract goes on counting in full, since no call shows its use", async () => {
    const purchase = await signedPurchase("exact", ONE);
    const { to: target, data: callData } = await settleData(purchase);
    const data = encodeFunctionData({
      abi: devMulticall.abi,
      functionName: "aggregate3",
      args: [[{ target, allowFailure: false, callData }]],
    });
    const { hash, status } = await send(stranger, { to: MULTICALL, data });
    expect(status).toBe("success");
    await mine(CONFIRMATIONS);
    expect(await observeSettlement(eyes, purchase.payment, { transactionHint: hash })).toEqual({ state: "pending" });
    await passDeadline(purchase, 30);
    await mine(CONFIRMATIONS);
    await reconciled();
    expect(await stateOf(purchase)).toEqual(["signed", null]);
    expect((await used()).reserved).toBeGreaterThanOrEqual(ONE);
  });
});
