import { generatePrivateKey } from "viem/accounts";
import { openBuyer } from "../../src/buyer/open.ts";
import type { Buyer, BuyRequest, BuyResult } from "../../src/buyer/types.ts";
import { openChain } from "../../src/chain/chain.ts";
import { approvePermit2, readHoldings } from "../../src/payment/allowance.ts";
import { walletFromPrivateKey } from "../../src/payment/wallet.ts";
import { openDatabase } from "../../src/storage/database.ts";
import { buyWith } from "./buy.ts";
import type { Market } from "./devnet.ts";
import { accountOf, openSessionSeller, sessionConfig } from "./session-seller.ts";

/** What a purse's wallet holds at the start, base units. */
const FUNDS = 1_000_000n;

export type PurseTerms = { terms?: object; caps?: object };

/**
 * A funded wallet, a seller whose permits serve many calls, and a buyer that shares them. What has to be closed is put on the list
 * of what was opened.
 */
export async function openPurseOf(
  market: Market,
  opened: (() => Promise<unknown>)[],
  { terms = {}, caps = {} }: PurseTerms = {},
) {
  const seller = await openSessionSeller(market);
  opened.push(() => seller.stop());
  const key = generatePrivateKey();
  const { bank } = market.devnet;
  await bank.fund(accountOf(key) as `0x${string}`);
  await bank.token.mint(accountOf(key) as `0x${string}`, FUNDS);
  const config = await sessionConfig(market, seller, terms);
  const [network] = config.networks;
  const [asset] = config.payment.assets;
  if (network === undefined || asset === undefined) throw new Error("the devnet has a network and assets");
  Object.assign(asset, caps);
  const wallet = walletFromPrivateKey(key);
  const chain = openChain(network);
  const db = await openDatabase(config.database);
  opened.push(() => db.destroy());
  await approvePermit2({ db, chain, wallet, asset, amount: FUNDS < BigInt(asset.total) ? FUNDS : BigInt(asset.total) });
  let late = 0;
  const clock = (): Date => new Date(Date.now() + late);
  const open = async (by = clock): Promise<Buyer> => {
    const buyer = await openBuyer({ config, wallet, clock: by });
    opened.push(() => buyer.close());
    return buyer;
  };
  const buyer = await open();
  return {
    seller,
    buyer,
    chains: new Map([[network.network, chain]]),
    db,
    config,
    clock,
    open,
    /** From here on the buyer's clock is so many seconds ahead. */
    passes: (seconds: number): void => void (late += seconds * 1000),
    buy: (x: number, bounds: Partial<BuyRequest> = {}): Promise<BuyResult> =>
      buyWith(buyer, { model: "m", input: { x: [x] }, idempotencyKey: `call-${x}-of-this-test`, ...bounds }),
    /** What left the wallet, base units. */
    left: async (): Promise<bigint> => FUNDS - (await readHoldings(chain, asset.asset, wallet.address)).balance,
  };
}
export type Purse = Awaited<ReturnType<typeof openPurseOf>>;

/** Has the chain decide everything, and gives what the books say of it. */
export async function booksOf({ buyer }: Pick<Purse, "buyer">) {
  await buyer.reconcile();
  const { assets, recent } = await buyer.spending();
  const [asset] = assets;
  if (asset === undefined) throw new Error("an asset is configured");
  return { spent: BigInt(asset.spent), reserved: BigInt(asset.reserved), recent };
}
