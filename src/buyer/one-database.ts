import type { Config } from "../config/schema.ts";
import { journalSecret } from "../payment/journal.ts";
import type { Wallet } from "../payment/wallet.ts";
import type { Db } from "../storage/database.ts";
import { noteDatabase, type KnownDatabase } from "../storage/known-databases.ts";
import type { Warning } from "./types.ts";

/**
 * The secret that nonces are derived from, hex. It is the wallet's own, so that two databases of one wallet make one nonce
 * of one idempotency key, and the chain takes one payment. Where the wallet gives none, or there is no wallet, it is the
 * database's. Purchases begun under another secret keep the nonce that their row holds.
 *
 * The warnings say what having one database per wallet is needed for, and where it is not so.
 */
export async function openNonceSecret(
  db: Db,
  wallet: Wallet | null,
  config: Config,
): Promise<{ nonceSecret: string; warnings: Warning[] }> {
  if (wallet === null) return { nonceSecret: await journalSecret(db), warnings: [] };
  const own = await wallet.deriveSecret("payment nonces");
  return {
    nonceSecret: own ?? (await journalSecret(db)),
    warnings: [...(own === null ? [NONCES_OF_DATABASE] : []), ...(await notedDatabases(db, wallet, config))],
  };
}

const NONCES_OF_DATABASE: Warning = {
  code: "nonces_of_database",
  message:
    "The account does not sign the same data the same way twice, so payment nonces come from this database's secret. Use no second database with this wallet: it would pay for the same idempotency key again.",
};

async function notedDatabases(db: Db, { address }: Wallet, { wallet, database }: Config): Promise<Warning[]> {
  const folder = wallet.databasesFolder;
  if (folder === undefined || database === ":memory:") return [];
  const others = await noteDatabase(db, { folder, address, path: database });
  return others.map(secondDatabase);
}

/** What the owner should know of another database of the wallet. */
export const secondDatabase = ({ path, noted }: KnownDatabase): Warning => ({
  code: "second_database",
  message: `This wallet is used with another database, ${path}. Each counts its own spending, so together they may spend the caps of both. Use one of them; once the other is gone for good, remove ${noted}.`,
});
