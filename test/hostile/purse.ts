import { join } from "node:path";
import { parseAbiItem } from "viem";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import { openBuyer } from "../../src/buyer/open.ts";
import type { Buyer } from "../../src/buyer/types.ts";
import { configSchema, type ConfigInput } from "../../src/config/schema.ts";
import { walletFromPrivateKey } from "../../src/payment/wallet.ts";
import { openDatabase, type Db } from "../../src/storage/database.ts";
import { databasePlace } from "../support/database-place.ts";
import type { Market } from "../support/devnet.ts";

const FUNDS = 10_000_000n;

/** A funded wallet with a journal of its own, and what the chain and the journal say of it. */
export async function openPurse(market: Market, change: (config: ConfigInput) => void = () => undefined) {
  const privateKey = generatePrivateKey();
  const payer = privateKeyToAccount(privateKey).address;
  await market.devnet.bank.token.mint(payer, FUNDS);
  const file = join(market.directory, `purse-${payer}.db`);
  const config: ConfigInput = { ...structuredClone(market.devnet.config), database: file };
  change(config);
  const database = await databasePlace(config.database ?? file);
  config.database = database;
  /** The database for one piece of work. */
  const using = async <T>(work: (db: Db) => Promise<T>): Promise<T> => {
    const db = await openDatabase(database);
    try {
      return await work(db);
    } finally {
      await db.destroy();
    }
  };
  return {
    orders: <More extends object>(more: More) => ({ config, privateKey, ...more }),
    open: (): Promise<Buyer> =>
      openBuyer({ config: configSchema.parse(config), wallet: walletFromPrivateKey(privateKey) }),
    using,
    /** Every attempt in the journal. */
    journal: () => using((db) => db.selectFrom("purchases").select(["idempotency_key", "state", "nonce"]).execute()),
    /** What left the wallet, and the authorizations of it that were used. */
    async chain() {
      const used = await market.devnet.bank.client.getLogs({
        address: market.devnet.token,
        event: parseAbiItem("event AuthorizationUsed(address indexed authorizer, bytes32 indexed nonce)"),
        args: { authorizer: payer },
        fromBlock: 0n,
      });
      return {
        left: FUNDS - (await market.devnet.balanceOf(payer)),
        nonces: used.map(({ args }) => String(args.nonce)),
      };
    },
  };
}
