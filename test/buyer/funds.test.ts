import { createWalletClient, http } from "viem";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import { foundry } from "viem/chains";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { openBuyer } from "../../src/buyer/open.ts";
import type { Buyer, BuyResult } from "../../src/buyer/types.ts";
import { openChain } from "../../src/chain/chain.ts";
import type { Config } from "../../src/config/schema.ts";
import { devUsd } from "../../src/devnet/contracts/dev-usd.artifact.ts";
import type { PaymentMethod } from "../../src/evidence/methods/methods.ts";
import { approvePermit2 } from "../../src/payment/allowance.ts";
import { walletFromPrivateKey } from "../../src/payment/wallet.ts";
import { openDatabase } from "../../src/storage/database.ts";
import { isPayment, openWorld, PRICE, unpaid, type Trick, type World } from "../hostile/world.ts";
import { ETH_FEATURES } from "../support/devnet.ts";
import { buyWith } from "../support/buy.ts";
import { eventually } from "../support/eventually.ts";

let world: World;
beforeAll(async () => {
  world = await openWorld();
});
afterAll(() => world.stop());

const LACKS = { eip3009: "insufficient_funds", permit2: "allowance_too_low" } as const;
const honestly: Trick = (_request, honest) => honest();

/** A buyer with funds for so many inferences: by EIP-3009 its balance, by Permit2 what that may move. */
async function fundedFor(
  { by, times, trick = honestly }: { by: PaymentMethod; times: bigint; trick?: Trick },
  change?: (config: Config) => void,
) {
  const { devnet } = world.market;
  const key = generatePrivateKey();
  const { address } = privateKeyToAccount(key);
  const funds = by === "eip3009" ? times * PRICE : 100n * PRICE;
  await devnet.bank.fund(address);
  await devnet.bank.token.mint(address, funds);
  const attack = await world.attack(trick, (config) => {
    config.payment.assets = config.payment.assets.slice(0, 1);
    for (const asset of config.payment.assets) asset.methods = [by];
    change?.(config);
  });
  const { config } = attack;
  const [network] = config.networks;
  const [asset] = config.payment.assets;
  if (network === undefined || asset === undefined) throw new Error("the devnet has a network and an asset");
  const wallet = walletFromPrivateKey(key);
  if (by === "permit2") {
    const db = await openDatabase(config.database);
    await approvePermit2({ db, chain: openChain(network), wallet, asset, amount: times * PRICE });
    await db.destroy();
  }
  const open = async (): Promise<Buyer> => {
    const buyer = await openBuyer({ config, wallet });
    onTestFinished(() => buyer.close());
    return buyer;
  };
  return {
    open,
    /** Somebody else with the wallet's key takes all that it holds. */
    async drain(): Promise<void> {
      const owner = createWalletClient({
        account: privateKeyToAccount(key),
        chain: foundry,
        transport: http(devnet.rpcUrl),
      });
      const { abi } = devUsd;
      const to = `0x${"de".repeat(20)}` as const;
      const hash = await owner.writeContract({
        address: devnet.token,
        abi,
        functionName: "transfer",
        args: [to, funds],
      });
      await devnet.bank.client.waitForTransactionReceipt({ hash });
    },
    /** Different calls never take each other up. */
    buy: (buyer: Buyer, nth: number): Promise<BuyResult> =>
      buyWith(buyer, { model: "eth-risk", input: { features: ETH_FEATURES.features.map((one) => one + nth / 100) } }),
    signed: (): number => new Set(attack.seen.filter(isPayment).map((one) => one.headers["payment-signature"])).size,
    left: async (): Promise<bigint> => funds - (await devnet.balanceOf(address.toLowerCase())),
  };
}

/** Holds payments back until the test lets them go on; `sent` resolves once so many are out. */
function gate(count: number, answer: Trick = honestly) {
  let goOn = (): void => undefined;
  let out = (): void => undefined;
  const going = new Promise<void>((resolve) => (goOn = resolve));
  const sent = new Promise<void>((resolve) => (out = resolve));
  let held = 0;
  const trick: Trick = async (request, honest) => {
    if (!isPayment(request)) return honest();
    held += 1;
    if (held === count) out();
    await going;
    return answer(request, honest);
  };
  return { trick, sent, goOn: () => goOn() };
}

const codeOf = (error: unknown): { code?: string; money?: string } => {
  const { code, money } = error as { code?: string; money?: string };
  return { ...(code === undefined ? {} : { code }), ...(money === undefined ? {} : { money }) };
};
const reasonOf = async (buyer: Buyer): Promise<string | null> => (await buyer.sellers())[0]?.hold?.reason ?? null;

describe.each<["eip3009" | "permit2"]>([["eip3009"], ["permit2"]])(
  "T83: funds by %s that suffice for one call",
  (by) => {
    test.each(["one buyer", "two processes"])("are signed away once by four calls at once of %s", async (of) => {
      const purse = await fundedFor({ by, times: 1n });
      const first = await purse.open();
      const second = of === "one buyer" ? first : await purse.open();
      const told = await Promise.all(
        [first, second, first, second].map((buyer, nth) =>
          purse.buy(buyer, nth).then(({ verdict }) => ({ verdict }), codeOf),
        ),
      );
      const refused = told.filter((one) => "code" in one);
      expect(refused).toEqual(Array.from({ length: 3 }, () => ({ code: LACKS[by], money: "not-moved" })));
      expect(purse.signed()).toBe(1);
      await eventually(async () => expect(await purse.left()).toBe(PRICE));
      expect((await first.spending()).recent.filter(({ state }) => state !== "released")).toHaveLength(1);
      expect(await reasonOf(first)).toBeNull();
    });

    test("and a call that comes while another is open is told how much is for that one", async () => {
      const { trick, sent, goOn } = gate(1);
      const purse = await fundedFor({ by, times: 1n, trick });
      const buyer = await purse.open();
      const first = purse.buy(buyer, 0);
      await sent;
      const error = (await purse.buy(buyer, 1).catch((thrown: unknown) => thrown)) as Error & { next: string };
      expect(codeOf(error)).toEqual({ code: LACKS[by], money: "not-moved" });
      expect(error.message).toContain("0.01 USDC ($0.01) of it is for payments that are signed and not settled yet");
      expect(error.next).toContain("wait until those are settled");
      goOn();
      expect(await first).toMatchObject({ paidNow: true });
    });
  },
);

test("T83: a payment that the chain shows taken is not counted a second time while the journal waits for its depth", async () => {
  const purse = await fundedFor({ by: "eip3009", times: 2n }, (config) =>
    config.networks.forEach((network) => (network.confirmations = 1000)),
  );
  const buyer = await purse.open();
  for (const nth of [0, 1]) {
    expect(await purse.buy(buyer, nth)).toMatchObject({ paidNow: true });
    await eventually(async () => expect(await purse.left()).toBe(PRICE * BigInt(nth + 1)));
  }
  expect((await buyer.spending()).recent.map(({ state }) => state)).toEqual(["answered", "answered"]);
  await expect(purse.buy(buyer, 2)).rejects.toMatchObject({ code: "insufficient_funds", money: "not-moved" });
  expect(purse.signed()).toBe(2);
});

test("T36: a seller that turns three payments down that the wallet cannot pay any more is not put on hold", async () => {
  const { trick, sent, goOn } = gate(3, (request) => unpaid(world, request)());
  const purse = await fundedFor({ by: "eip3009", times: 3n, trick });
  const buyer = await purse.open();
  const told = Promise.all([0, 1, 2].map((nth) => purse.buy(buyer, nth).catch((thrown: unknown) => thrown as Error)));
  await sent;
  await purse.drain();
  goOn();
  for (const error of await told) {
    expect(codeOf(error)).toEqual({ code: "payment_rejected", money: "may-move" });
    expect(error).toHaveProperty("message", expect.stringContaining("The wallet holds 0 USDC"));
  }
  await buyer.reconcile();
  expect((await buyer.spending()).recent.map(({ state, reason }) => [state, reason])).toEqual(
    Array.from({ length: 3 }, () => ["sent", "wallet_short"]),
  );
  expect(await reasonOf(buyer)).toBeNull();
});
