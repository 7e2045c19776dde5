import { generatePrivateKey } from "viem/accounts";
import { openBuyer } from "../../src/buyer/open.ts";
import type { Buyer } from "../../src/buyer/types.ts";
import { openChain } from "../../src/chain/chain.ts";
import { approvePermit2, readHoldings } from "../../src/payment/allowance.ts";
import { walletFromPrivateKey } from "../../src/payment/wallet.ts";
import { openDatabase, type Db } from "../../src/storage/database.ts";
import { databasePlace } from "../support/database-place.ts";
import type { Market } from "../support/devnet.ts";
import { accountOf, openSessionSeller, sessionConfig } from "../support/session-seller.ts";

const FUNDS = 10_000_000n;

/** A funded wallet that shares its permits over calls to a seller of its own, and what chain and seller say of it. */
export async function openSharedPurse(market: Market) {
  const seller = await openSessionSeller(market);
  const privateKey = generatePrivateKey();
  const { bank } = market.devnet;
  await bank.fund(accountOf(privateKey) as `0x${string}`);
  await bank.token.mint(accountOf(privateKey) as `0x${string}`, FUNDS);
  const config = await sessionConfig(market, seller, { calls: 1000 });
  config.payment.callsPerHour = 10_000;
  config.database = await databasePlace(config.database);
  const [network] = config.networks;
  const [asset] = config.payment.assets;
  if (network === undefined || asset === undefined) throw new Error("the devnet has a network and assets");
  Object.assign(asset, { perHour: String(FUNDS), perDay: String(FUNDS), total: String(FUNDS) });
  const wallet = walletFromPrivateKey(privateKey);
  const chain = openChain(network);
  const using = async <T>(work: (db: Db) => Promise<T>): Promise<T> => {
    const db = await openDatabase(config.database);
    try {
      return await work(db);
    } finally {
      await db.destroy();
    }
  };
  await using((db) => approvePermit2({ db, chain, wallet, asset, amount: FUNDS }));
  return {
    seller,
    orders: <More extends object>(more: More) => ({ config, privateKey, ...more }),
    using,
    /** A buyer in this process, whose clock is so many seconds ahead. */
    open: (ahead = 0): Promise<Buyer> =>
      openBuyer({ config, wallet, clock: () => new Date(Date.now() + ahead * 1000) }),
    /** What left the wallet, base units. */
    left: async (): Promise<bigint> => FUNDS - (await readHoldings(chain, asset.asset, wallet.address)).balance,
    /** How often each number was sent with a payment or a token, and how often it was charged. */
    came: () =>
      seller.came.map(({ body }) => (JSON.parse(body) as { inputs: { data: number[] }[] }).inputs[0]?.data[0]),
    charged: () => seller.sessions.flatMap(({ asked }) => asked),
  };
}
export type SharedPurse = Awaited<ReturnType<typeof openSharedPurse>>;
