import { openBuyer } from "../buyer/open.ts";
import type { Buyer } from "../buyer/types.ts";
import { loadConfig } from "../config/load.ts";
import type { Config } from "../config/schema.ts";
import { Proof402Error } from "../errors.ts";
import { openDatabase, type Db } from "../storage/database.ts";
import { shownDatabase } from "../storage/postgres-address.ts";
import { note, type GlobalOptions } from "./globals.ts";

/** The configuration named on the command line or found as `loadConfig` finds it. */
export const configOf = (options: GlobalOptions): Promise<Config> =>
  loadConfig(options.config === undefined ? {} : { path: options.config });

/** Opens a buyer over the configuration and its wallet, if there is one. */
export async function openFor(options: GlobalOptions): Promise<Buyer> {
  const config = await configOf(options);
  const buyer = await usable(config.database, () => openBuyer({ config }));
  for (const { message } of buyer.warnings) note(`Warning: ${message}`);
  return buyer;
}

/** Opens a buyer for the length of one command and always closes it. */
export async function withBuyer<T>(options: GlobalOptions, work: (buyer: Buyer) => Promise<T>): Promise<T> {
  const buyer = await openFor(options);
  try {
    return await work(buyer);
  } finally {
    await buyer.close();
  }
}

/** Opens the store for commands without a key or a question: no wallet, no network, no background work. */
export async function withStore<T>(options: GlobalOptions, work: (db: Db) => Promise<T>): Promise<T> {
  const config = await configOf(options);
  const db = await usable(config.database, () => openDatabase(config.database));
  try {
    return await work(db);
  } finally {
    await db.destroy();
  }
}

/** The driver's and the file system's complaints about the database, as an error that names it. */
export async function usable<T>(database: string, open: () => Promise<T>): Promise<T> {
  try {
    return await open();
  } catch (error) {
    throw Proof402Error.isInstance(error) ? error : unusable(database, error);
  }
}

export const unusable = (database: string, cause?: unknown): Proof402Error =>
  new Proof402Error("database_unusable", `${shownDatabase(database)} cannot be used as the buyer's database.`, {
    next: "Check that it can be written and was made by proof402. The configuration's database, or PROOF402_DATABASE, names it.",
    cause,
  });
