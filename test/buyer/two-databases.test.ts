import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { openBuyer } from "../../src/buyer/open.ts";
import type { Buyer, BuyRequest } from "../../src/buyer/types.ts";
import type { Config } from "../../src/config/schema.ts";
import type { PaymentMethod } from "../../src/evidence/methods/methods.ts";
import { approvePermit2, readHoldings } from "../../src/payment/allowance.ts";
import { openChain } from "../../src/chain/chain.ts";
import { release } from "../../src/payment/journal.ts";
import { walletFromPrivateKey } from "../../src/payment/wallet.ts";
import { openDatabase } from "../../src/storage/database.ts";
import { ETH_FEATURES, openMarket, type Market } from "../support/devnet.ts";
import { infront } from "../support/infront.ts";
import { rpcInFront } from "../support/rpc.ts";
import { buyWith } from "../support/buy.ts";

/** Reads many contracts in one call. */
const MULTICALL3 = "0xca11bde05977b3631167028862be2a173976ca11";

let market: Market;
beforeAll(async () => {
  market = await openMarket();
});
afterAll(() => market.stop());

/** As many rows as a price is for, so that an upto payment settles all of it, too. */
const INPUT = { features: Array.from({ length: 8 }, () => ETH_FEATURES.features) };
const CALL = { model: "eth-risk", input: INPUT, seller: "honest", idempotencyKey: "invoice-4711" };
const FUNDS = 10_000_000n;
const FUNDED = { USDC: FUNDS, DAI: FUNDS * 10n ** 12n };

/** How one database of the wallet pays: its policy lets only this through. */
type Way = { symbol: "USDC" | "DAI"; method: PaymentMethod };
const USDC: Way = { symbol: "USDC", method: "eip3009" };

/** Both tokens stand in each policy. Of the one that is not paid with, no call may cost as much as a call costs. */
const onlyBy =
  ({ symbol, method }: Way) =>
  (config: Config): void => {
    for (const asset of config.payment.assets) {
      if (asset.symbol === symbol) asset.methods = [method];
      else asset.perCall = "1";
    }
  };

/** A funded wallet without a database yet, that lets Permit2 move what it holds. */
async function openWallet() {
  const key = generatePrivateKey();
  const wallet = walletFromPrivateKey(key);
  const { bank } = market.devnet;
  await bank.fund(privateKeyToAccount(key).address);
  await bank.token.mint(privateKeyToAccount(key).address, FUNDED.USDC);
  await bank.dai.mint(privateKeyToAccount(key).address, FUNDED.DAI);
  const { networks, payment } = market.config();
  const [network] = networks;
  if (network === undefined) throw new Error("the devnet has a network");
  const chain = openChain(network);
  const db = await openDatabase(":memory:");
  for (const asset of payment.assets)
    await approvePermit2({ db, chain, wallet, asset, amount: BigInt(asset.perCall) * 10n });
  await db.destroy();
  return {
    /** A buyer of this wallet on a database of its own. */
    async open(...changes: ((config: Config) => void)[]): Promise<{ buyer: Buyer; database: string }> {
      const config = market.config((made) => changes.forEach((change) => change(made)));
      const buyer = await openBuyer({ config, wallet });
      onTestFinished(() => buyer.close());
      return { buyer, database: config.database };
    },
    /** What left it of either token, in calls at the seller's price. */
    async paidCalls(): Promise<number[]> {
      const left = payment.assets.map(async ({ asset, symbol }) => {
        const { balance } = await readHoldings(chain, asset, wallet.address);
        return Number((FUNDED[symbol as Way["symbol"]] - balance) / (FUNDED[symbol as Way["symbol"]] / 1000n));
      });
      return Promise.all(left);
    },
  };
}

const told = (buyer: Buyer, request: BuyRequest = CALL): Promise<unknown> =>
  buyWith(buyer, request).then(
    () => "bought",
    (error: unknown) => error,
  );

/** Bought, and settled on chain. */
async function bought(buyer: Buyer, request: BuyRequest = CALL): Promise<string | undefined> {
  const result = await buyWith(buyer, request);
  const { later } = await buyer.getReceipt(result.receipt.id, { waitSeconds: 20 });
  return later.flatMap(({ evidence }) =>
    evidence.kind === "settlement.x402" && typeof evidence.transaction === "string" ? [evidence.transaction] : [],
  )[0];
}

const paidElsewhere = (transaction: string | undefined) => ({
  code: "paid_elsewhere",
  money: "moved",
  idempotencyKey: CALL.idempotencyKey,
  details: { network: "eip155:31337", transaction },
});

describe("T44: a key that another database of the wallet has paid is not paid again", () => {
  test.each<[string, Way, Way, number[]]>([
    ["by the same token and method", USDC, USDC, [1, 0]],
    ["in another token", USDC, { symbol: "DAI", method: "eip3009" }, [1, 0]],
    ["by Permit2", USDC, { symbol: "USDC", method: "permit2" }, [1, 0]],
    ["by upto", USDC, { symbol: "USDC", method: "upto" }, [1, 0]],
    ["where that one paid by Permit2", { symbol: "DAI", method: "permit2" }, USDC, [0, 1]],
    ["where that one paid by upto", { symbol: "DAI", method: "upto" }, USDC, [0, 1]],
  ])("%s", async (_name, one, other, left) => {
    const wallet = await openWallet();
    const transaction = await bought((await wallet.open(onlyBy(one))).buyer);
    const second = await wallet.open(onlyBy(other));
    expect(await told(second.buyer)).toMatchObject(paidElsewhere(transaction));
    expect((await second.buyer.spending()).recent).toEqual([]);
    expect(await wallet.paidCalls()).toEqual(left);
  });

  test.each([
    ["the same token", USDC, [1, 0]],
    ["another token", { symbol: "DAI", method: "eip3009" }, [1, 0]],
  ] as [string, Way, number[]][])(
    "by a call without a key either that takes it up, in %s",
    async (_name, way, left) => {
      const wallet = await openWallet();
      const transaction = await bought((await wallet.open(onlyBy(USDC))).buyer);
      const second = await wallet.open(onlyBy(way), ({ payment }) => {
        for (const asset of payment.assets) asset.approveAbove = "0";
      });
      const asked = { ...CALL, approve: () => Promise.resolve("ask_later" as const) };
      const { idempotencyKey: _key, ...keyless } = CALL;
      expect(await told(second.buyer, asked)).toMatchObject({ code: "approval_pending" });
      const yes = { ...keyless, approve: () => Promise.resolve("approved" as const) };
      expect(await told(second.buyer, yes)).toMatchObject(paidElsewhere(transaction));
      expect(await wallet.paidCalls()).toEqual(left);
    },
  );

  test("in a token that this one knows only as a former one, and in one that it does not know it is", async () => {
    const dai = market.config().payment.assets.find(({ symbol }) => symbol === "DAI");
    if (dai === undefined) throw new Error("the devnet has it");
    const onlyUsdc = ({ payment }: Config): void =>
      void (payment.assets = payment.assets.filter(({ symbol }) => symbol === "USDC"));
    const former = ({ payment }: Config): void =>
      void (payment.formerAssets = [{ network: dai.network, asset: dai.asset }]);
    const wallet = await openWallet();
    const transaction = await bought((await wallet.open(onlyBy({ symbol: "DAI", method: "eip3009" }))).buyer);
    const knowing = await wallet.open(onlyUsdc, former);
    expect(await told(knowing.buyer)).toMatchObject(paidElsewhere(transaction));
    expect(await wallet.paidCalls()).toEqual([0, 1]);
    // The honest sentence of docs/limits.md.
    await bought((await wallet.open(onlyUsdc)).buyer);
    expect(await wallet.paidCalls()).toEqual([1, 1]);
  });

  test("whichever attempt of that one it was", async () => {
    const { honest } = market.devnet.sellers;
    const seller = { refuses: true, paid: 0 };
    const front = await infront(honest.origin, (path) => {
      if (path.endsWith("/infer")) seller.paid += 1;
      // The second request of a call carries the payment.
      return Promise.resolve(seller.refuses && seller.paid > 1 ? new Response(null, { status: 402 }) : null);
    });
    onTestFinished(() => front.stop());
    const wallet = await openWallet();
    const first = await wallet.open((config) => {
      for (const one of config.sellers) if (one.id === "honest") one.origin = front.origin;
    });
    expect(await told(first.buyer)).toMatchObject({ code: "payment_rejected", money: "may-move" });
    const db = await openDatabase(first.database);
    const { id } = await db.selectFrom("purchases").select("id").executeTakeFirstOrThrow();
    await release(db, id, { reason: "authorization_expired", unusable: true, now: new Date() });
    seller.refuses = false;
    const transaction = await bought(first.buyer);
    const attempts = await db.selectFrom("purchases").select(["attempt", "state"]).orderBy("attempt").execute();
    expect(attempts).toEqual([
      { attempt: 1, state: "released" },
      { attempt: 2, state: "settled" },
    ]);
    await db.destroy();

    const second = await wallet.open();
    expect(await told(second.buyer)).toMatchObject(paidElsewhere(transaction));
    expect(await wallet.paidCalls()).toEqual([1, 0]);
  });

  test("by whichever RPC shows it, and where none answers only what the token itself refuses is not paid", async () => {
    const wallet = await openWallet();
    const { networks } = market.config();
    const rpcUrl = networks[0]?.rpcUrl ?? "";
    const transaction = await bought((await wallet.open(onlyBy(USDC))).buyer);
    const blind = await rpcInFront(rpcUrl, ({ method, params }) => {
      const [call] = params as [{ data?: string; to?: string } | undefined];
      // Nothing of many contracts at once, and of every authorization that it is unused.
      if (method !== "eth_call") return undefined;
      if (call?.to === MULTICALL3) return { error: { code: -32_000, message: "no" } };
      return call?.data?.startsWith("0xe94a0102") === true ? { result: `0x${"0".repeat(64)}` } : undefined;
    });
    const seconded = await wallet.open(onlyBy({ symbol: "DAI", method: "eip3009" }), (config) => {
      for (const network of config.networks) Object.assign(network, { rpcUrl: blind.url, witnessRpcUrl: rpcUrl });
    });
    expect(await told(seconded.buyer)).toMatchObject(paidElsewhere(transaction));

    const dead = await wallet.open(onlyBy(USDC), (config) => {
      for (const network of config.networks) network.rpcUrl = "http://127.0.0.1:1";
      // Another authorization than the first, even within its second: of the very same one the seller keeps the answer.
      config.payment.maxAuthorizationSeconds = 45;
    });
    expect(await told(dead.buyer)).toMatchObject({ money: "may-move", idempotencyKey: CALL.idempotencyKey });
    expect(await wallet.paidCalls()).toEqual([1, 0]);
  });
});

describe("attempts of a key", () => {
  test("that were given up before they were signed count for nothing: both databases make the same nonces", async () => {
    const wallet = await openWallet();
    const { buyer, database } = await wallet.open(onlyBy(USDC));
    const caller = new AbortController();
    const { signal } = caller;
    const onProgress = ({ step }: { step: string }): void => {
      if (step === "reserved") caller.abort();
    };
    await expect(buyWith(buyer, CALL, { signal, onProgress })).rejects.toMatchObject({ code: "aborted" });
    await bought(buyer);
    const db = await openDatabase(database);
    const attempts = await db.selectFrom("purchases").select(["attempt", "state"]).execute();
    await db.destroy();
    expect(attempts).toEqual([{ attempt: 1, state: "settled" }]);
    expect(await wallet.paidCalls()).toEqual([1, 0]);
  });
});

test("a key that the buyer drew itself is looked up nowhere", async () => {
  const wallet = await openWallet();
  const rpc = await rpcInFront(market.config().networks[0]?.rpcUrl ?? "", () => undefined);
  const { buyer } = await wallet.open(onlyBy(USDC), (config) => {
    for (const network of config.networks) network.rpcUrl = rpc.url;
  });
  const looks = (): number =>
    rpc.calls.filter(({ method, params }) => method === "eth_call" && (params[0] as { to?: string }).to === MULTICALL3)
      .length;
  const { idempotencyKey: _key, ...unnamed } = CALL;
  await buyWith(buyer, unnamed);
  expect(looks()).toBe(0);
  await buyWith(buyer, CALL);
  expect(looks()).toBe(1);
});
