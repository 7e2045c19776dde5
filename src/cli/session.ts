import { openBuyer } from "../buyer/open.ts";
import type { Buyer } from "../buyer/types.ts";
import { loadConfig } from "../config/load.ts";
import type { Config } from "../config/schema.ts";
import { loadWallet } from "../payment/wallet.ts";
import type { GlobalOptions } from "./globals.ts";

/** The configuration named on the command line or found as `loadConfig` finds it. */
export const configOf = (options: GlobalOptions): Promise<Config> => loadConfig(options.config === undefined ? {} : { path: options.config });

/** Opens a buyer over the configuration and its wallet, if there is one. */
export async function openFor(options: GlobalOptions): Promise<Buyer> {
  const config = await configOf(options);
  return openBuyer({ config, wallet: await loadWallet({ ...config.wallet, env: process.env }) });
}

/** Opens a buyer for the length of one command and closes it whatever happens. */
export async function withBuyer<T>(options: GlobalOptions, work: (buyer: Buyer) => Promise<T>): Promise<T> {
  const buyer = await openFor(options);
  try {
    return await work(buyer);
  } finally {
    await buyer.close();
  }
}
