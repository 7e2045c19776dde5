import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { openBuyer } from "../../src/buyer/open.ts";
import type { Buyer } from "../../src/buyer/types.ts";
import type { Config } from "../../src/config/schema.ts";
import { walletFromPrivateKey } from "../../src/payment/wallet.ts";
import { isCatalog, isPayment, isPurchase, listAt, openWorld, PRICE, quoteWith, unpaid } from "../hostile/world.ts";
import type { Required, World } from "../hostile/world.ts";
import { failure } from "../http/servers.ts";
import { ETH_FEATURES } from "../support/devnet.ts";
import { buyWith } from "../support/buy.ts";

let world: World;
beforeAll(async () => {
  world = await openWorld();
});
afterAll(() => world.stop());

const DAI_PRICE = PRICE * 10n ** 12n;
const call = { model: "eth-risk", input: ETH_FEATURES, seller: "honest" };

/** A buyer whose wallet holds so much of each token, and its clock. */
async function holding(
  { usdc = 0n, dai = 0n }: { usdc?: bigint; dai?: bigint },
  change?: (config: Config) => void,
): Promise<{ buyer: Buyer; payer: string; pass: (ms: number) => void }> {
  const { market } = world;
  const key = generatePrivateKey();
  const payer = privateKeyToAccount(key).address;
  if (usdc > 0n) await market.devnet.bank.token.mint(payer, usdc);
  if (dai > 0n) await market.devnet.bank.dai.mint(payer, dai);
  let ahead = 0;
  const clock = (): Date => new Date(Date.now() + ahead);
  const buyer = await openBuyer({ config: market.config(change), wallet: walletFromPrivateKey(key), clock });
  onTestFinished(() => buyer.close());
  return { buyer, payer: payer.toLowerCase(), pass: (ms) => void (ahead += ms) };
}
const symbols = async (buyer: Buyer) => (await buyer.spending()).recent.map(({ symbol, amount }) => [symbol, amount]);

describe("T83: a seller's offers in order of preference", () => {
  test("the wallet pays the first that it holds enough for", async () => {
    const { buyer } = await holding({ usdc: PRICE - 1n, dai: DAI_PRICE });
    const bought = await buyWith(buyer, { ...call, wait: "verified" });
    expect(bought).toMatchObject({ paidNow: true, appraisal: { verdict: "verified" } });
    expect(await symbols(buyer)).toEqual([["DAI", String(DAI_PRICE)]]);
  });

  test("so it does from the offers that it knows from before, once a balance is used up", async () => {
    const { buyer, pass } = await holding({ usdc: PRICE, dai: DAI_PRICE });
    await buyWith(buyer, { ...call, wait: "verified" });
    // A balance that sufficed is believed for a while.
    pass(20_000);
    expect(await buyWith(buyer, call)).toMatchObject({ paidNow: true });
    expect(await symbols(buyer)).toEqual([
      ["DAI", String(DAI_PRICE)],
      ["USDC", String(PRICE)],
    ]);
  });

  test("it pays by another method where Permit2 may move too little", async () => {
    const { buyer } = await holding({ usdc: PRICE }, ({ payment: { assets } }) => {
      for (const asset of assets) asset.methods = ["permit2", "eip3009"];
    });
    expect((await buyWith(buyer, call)).receipt.core.payment).toMatchObject({
      method: "eip3009",
      amount: String(PRICE),
    });
  });

  test("with too little for any, each balance that is short is named and nothing is signed", async () => {
    const { buyer, payer } = await holding({ usdc: 1n, dai: 1n });
    const error = await failure(buyWith(buyer, call));
    expect(error).toMatchObject({ code: "insufficient_funds", money: "not-moved" });
    expect(error.message).toContain("holds 0.000001 USDC");
    expect(error.message).toContain("holds 0.000000000000000001 DAI");
    expect(error.next).toContain(`Send USDC on ${world.market.config().networks[0]?.network} to ${payer}`);
    expect(error.details["short"]).toMatchObject([
      { code: "insufficient_funds", holds: "1", asked: String(PRICE) },
      { code: "insufficient_funds", holds: "1", asked: String(DAI_PRICE) },
    ]);
    expect((await buyer.spending()).recent).toEqual([]);
  });
});

describe("T83: a payment in another asset beside one that is still out", () => {
  const required = (answer: Response): Required =>
    JSON.parse(Buffer.from(answer.headers.get("payment-required") ?? "", "base64").toString()) as Required;

  /** Serves one call, then turns each payment down for a dearer one, and asks a call that comes back for DAI. */
  const greedy = async () => {
    const { dai } = world.market.devnet.bank;
    let served = false;
    const attack = await world.attack(async (request, honest) => {
      if (isCatalog(request) && served) return listAt(honest, "20000");
      if (!isPurchase(request) || !served) return honest();
      const asked = unpaid(world, request);
      if (isPayment(request))
        return quoteWith(asked, ({ accepts }) => void Object.assign(accepts[0] ?? {}, { amount: "20000" }));
      const all = required(await asked());
      const accepts = all.accepts.filter(({ asset }) => String(asset).toLowerCase() === dai.address.toLowerCase());
      expect(accepts.length).toBeGreaterThan(0);
      return quoteWith(asked, () => ({ ...all, accepts }));
    });
    await dai.mint(attack.payer, DAI_PRICE);
    await attack.buy();
    served = true;
    return attack;
  };

  test("is not made: caps, bounds and approvals hold both in one asset only", async () => {
    const attack = await greedy();
    const error = await failure(attack.buy());
    expect(error).toMatchObject({ code: "payment_rejected", money: "may-move", details: { reason: "other_asset" } });
    expect(error.idempotencyKey).toBeDefined();
    expect(attack.payments().map(({ accepted }) => accepted["amount"])).toEqual(["10000", "10000"]);
    expect(await attack.plunder()).toBe(2n * PRICE);
    expect((await attack.buyer.spending()).recent.map(({ symbol }) => symbol)).toEqual(["USDC", "USDC"]);
  });
});
