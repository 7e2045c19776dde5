import { toFunctionSelector } from "viem";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { openBuyer } from "../../src/buyer/open.ts";
import { openChain } from "../../src/chain/chain.ts";
import { CHANNELS } from "../../src/evidence/channel.ts";
import { openChannel } from "../../src/payment/channel-owner.ts";
import { surveyChannels } from "../../src/payment/channel-recover.ts";
import { walletFromPrivateKey } from "../../src/payment/wallet.ts";
import { openDatabase } from "../../src/storage/database.ts";
import { ETH_FEATURES, openMarket, type Market } from "../support/devnet.ts";
import { rpcInFront } from "../support/rpc.ts";
import { buyWith } from "../support/buy.ts";

let market: Market;
beforeAll(async () => {
  market = await openMarket();
});
afterAll(() => market.stop());

const DEPOSIT = 200_000n;
const SELECTOR = toFunctionSelector("channels(bytes32)");

/** A wallet with an unused channel, and an RPC that says so much of it was claimed while it lies. */
async function liedTo({ claimed, witness, depth = 0 }: { claimed: bigint; witness: boolean; depth?: number }) {
  const { devnet } = market;
  let lying = false;
  const rpc = await rpcInFront(devnet.rpcUrl, async ({ method, params: [asked] }, honest) => {
    const { to, data } = (asked ?? {}) as { to?: string; data?: string };
    const isAsked = to?.toLowerCase() === CHANNELS.toLowerCase() && data?.startsWith(SELECTOR) === true;
    if (!lying || method !== "eth_call" || !isAsked) return undefined;
    const [balance = ""] =
      String(await honest())
        .slice(2)
        .match(/.{64}/g) ?? [];
    return { result: `0x${balance}${claimed.toString(16).padStart(64, "0")}` };
  });
  const config = market.config((made) => {
    made.sellers = made.sellers.filter(({ id }) => id === "honest");
    made.payment.assets = made.payment.assets.slice(0, 1);
    for (const asset of made.payment.assets) asset.methods = ["eip3009", "voucher"];
    for (const network of made.networks) {
      network.rpcUrl = rpc.url;
      if (witness) network.witnessRpcUrl = devnet.rpcUrl;
    }
  });
  const [network] = config.networks;
  const [asset] = config.payment.assets;
  const [seller] = config.sellers;
  if (network === undefined || asset === undefined || seller === undefined) throw new Error("the devnet has them");
  const key = generatePrivateKey();
  const { address } = privateKeyToAccount(key);
  await devnet.bank.fund(address);
  await devnet.bank.token.mint(address, 1_000_000n);
  const wallet = walletFromPrivateKey(key);
  const db = await openDatabase(config.database);
  onTestFinished(() => db.destroy());
  const chain = openChain(network);
  await openChannel({ db, chain, wallet, seller, asset, amount: DEPOSIT, now: new Date() });
  network.confirmations = depth;
  const buyer = await openBuyer({ config, wallet });
  onTestFinished(() => buyer.close());
  return {
    buyer,
    /** One look of each kind, in which the RPC lies. */
    lie: async (): Promise<void> => {
      lying = true;
      await buyer.reconcile();
      const { payer } = await buyer.spending();
      if (payer === null) throw new Error("the buyer has a wallet");
      const looked = { db, chainOf: () => openChain(network), payer, sellers: [seller], assets: [asset] };
      await surveyChannels({ ...looked, now: new Date() });
      lying = false;
    },
    spent: async (): Promise<string | undefined> => (await buyer.spending()).assets[0]?.spent,
  };
}

describe("T24: an RPC's word that a channel's seller claimed more than it did", () => {
  test("is not believed against the second RPC: nothing is counted, and the next call is paid", async () => {
    const { buyer, lie, spent } = await liedTo({ claimed: 100_000_000n, witness: true });
    await lie();
    expect(await spent()).toBe("0");
    const bought = await buyWith(buyer, { model: "eth-risk", input: ETH_FEATURES });
    expect(bought.receipt.core.payment).toMatchObject({ method: "eip3009" });
  });

  test("counts no more than was put in, where no second RPC contradicts it", async () => {
    const { lie, spent } = await liedTo({ claimed: 100_000_000n, witness: false });
    await lie();
    expect(await spent()).toBe(String(DEPOSIT));
  });

  test("is not believed before the chain's confirmations lie on top", async () => {
    const { lie, spent } = await liedTo({ claimed: DEPOSIT, witness: false, depth: 1_000_000 });
    await lie();
    expect(await spent()).toBe("0");
  });
});
