import { spawn } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { appraisalPolicyOf } from "../../src/buyer/context.ts";
import { openBuyer } from "../../src/buyer/open.ts";
import type { Buyer } from "../../src/buyer/types.ts";
import type { Config } from "../../src/config/schema.ts";
import { openChannel } from "../../src/payment/channel-owner.ts";
import { openChain } from "../../src/chain/chain.ts";
import { openDatabase } from "../../src/storage/database.ts";
import { walletFromPrivateKey, type Wallet } from "../../src/payment/wallet.ts";
import { benchJournal } from "./journal.ts";
import { buyPlainly, INPUT, openMarket, stockFetch, type Market } from "./market.ts";
import { interleaved, row, type Arm, type Line } from "./measure.ts";
import { benchVerify } from "./verify.ts";

const PROXY = fileURLToPath(new URL("./delay-proxy.js", import.meta.url));

/** The answer is timed; its settlement is waited for before anything else is. */
const buyWith =
  (buyer: Buyer): Arm =>
  async () => {
    const result = await buyer.buy("eth-risk", INPUT, { seller: "honest" });
    if (result.appraisal.assurance !== "attested") throw new Error("the purchase was not verified");
    return () => buyer.getReceipt(result.receipt.id, { waitSeconds: 10 });
  };

/** A line of this round-trip time to the seller, in a process of its own. */
async function openLine(origin: string, roundTripMs: number): Promise<{ origin: string; stop(): void }> {
  const child = spawn(process.execPath, [PROXY, new URL(origin).port, String(roundTripMs)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const port = await new Promise<string>((resolve) =>
    child.stdout.once("data", (line: Buffer) => resolve(String(line))),
  );
  return { origin: `http://127.0.0.1:${port.trim()}`, stop: () => void child.kill() };
}

/** Puts money for every round into a channel with this seller. */
async function openChannelOf(config: Config, wallet: Wallet): Promise<void> {
  const [asset] = config.payment.assets;
  const [seller] = config.sellers;
  const [network] = config.networks;
  if (asset === undefined || seller === undefined || network === undefined) throw new Error("the devnet has them");
  const db = await openDatabase(config.database);
  await openChannel({
    db,
    chain: openChain(network),
    wallet,
    seller,
    asset,
    amount: BigInt(asset.total) / 2n,
    now: new Date(),
  });
  await db.destroy();
}

/** The same configuration, paying by vouchers. */
function byVoucher(config: Config): Config {
  const assets = config.payment.assets.map((asset) => ({ ...asset, methods: ["voucher" as const] }));
  return { ...config, payment: { ...config.payment, assets } };
}

/** The stock client against ours, with a fresh quote each time and with a known one, over a line of this length. */
async function comparePurchases(
  market: Market,
  options: {
    rounds: number;
    roundTripMs: number;
    /** The database that knows the wallet's channel. */
    channels: string;
    target: { fresh: number; known: number; voucher: number };
  },
  then: (buyer: Buyer) => Promise<Line[]> = () => Promise.resolve([]),
): Promise<Line[]> {
  const { rounds, roundTripMs, channels, target } = options;
  const seller = market.config.sellers.find(({ id }) => id === "honest");
  if (seller?.origin === undefined) throw new Error("the devnet has an honest seller");
  const line = roundTripMs === 0 ? null : await openLine(seller.origin, roundTripMs);
  const origin = line?.origin ?? seller.origin;
  const wallet = walletFromPrivateKey(market.key);
  const configOf = (name: string, quoteSeconds: number): Config => ({
    ...market.config,
    sellers: [{ ...seller, origin }],
    database: join(market.directory, `${name}-${roundTripMs}.db`),
    market: { ...market.config.market, quoteSeconds },
  });
  const open = (name: string, quoteSeconds: number): Promise<Buyer> =>
    openBuyer({ config: configOf(name, quoteSeconds), wallet });
  const [known, fresh] = [await open("known", 300), await open("fresh", 0)];
  const voucher = await openBuyer({ config: byVoucher({ ...configOf("voucher", 300), database: channels }), wallet });
  try {
    const paid = stockFetch(market);
    const times = await interleaved(
      {
        unpaid: async () => {
          await (await fetch(`${origin}/v2/models/eth-risk`)).text();
        },
        stock: async () => {
          await buyPlainly(paid, origin);
        },
        fresh: buyWith(fresh),
        known: buyWith(known),
        // Its settlement is a claim made now and then, which nobody waits for.
        voucher: async () => void (await buyWith(voucher)()),
      },
      // A seller anchors its answers in batches a moment later, whoever bought them.
      { rounds, warmup: 5, pauseMs: 350 },
    );
    const ms = (name: string): number => times[name] ?? Number.NaN;
    const against = (limit: number) => ({ base: { name: "stock", ms: ms("stock"), target: limit } });
    return [
      row("unpaid call (model metadata, fetch)", ms("unpaid")),
      row("stock @x402/fetch, paid call, nothing verified", ms("stock")),
      row("proof402, fresh quote: journal, pay, verify, receipt", ms("fresh"), against(target.fresh)),
      row("proof402, known quote: journal, pay, verify, receipt", ms("known"), against(target.known)),
      row("proof402, known quote, voucher of a channel", ms("voucher"), against(target.voucher)),
      ...(await then(known)),
    ];
  } finally {
    await Promise.all([known.close(), fresh.close(), voucher.close()]);
    line?.stop();
  }
}

/** Purchases against the stock client near and far, the journal's part of them, and offline verification of what they left. */
export async function benchPurchases(rounds: number): Promise<Line[]> {
  const market = await openMarket();
  try {
    const channels = join(market.directory, "voucher.db");
    const near = { rounds, channels, roundTripMs: 0, target: { fresh: 1.1, known: 0.95, voucher: 0.4 } };
    const far = { rounds, channels, roundTripMs: 40, target: { fresh: 1.1, known: 0.65, voucher: 0.65 } };
    const sellers = market.config.sellers.filter(({ id }) => id === "honest");
    await openChannelOf({ ...market.config, sellers, database: channels }, walletFromPrivateKey(market.key));
    return [
      ...(await comparePurchases(market, near, async (buyer) =>
        benchVerify(await buyer.listReceipts({ limit: rounds }), appraisalPolicyOf(market.config, "attested")),
      )),
      "",
      "The same over a line of 40 ms round-trip time",
      ...(await comparePurchases(market, far)),
      "",
      "Policy and journal",
      ...(await benchJournal(market.config, market.directory, rounds)),
    ];
  } finally {
    await market.stop();
  }
}
