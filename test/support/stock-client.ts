import { ExactEvmScheme } from "@x402/evm/exact/client";
import { wrapFetchWithPayment, x402Client } from "@x402/fetch";
import { privateKeyToAccount } from "viem/accounts";
import type { Market } from "./devnet.ts";

/** The stock x402 client with the devnet's funded key, allowed to spend its token. It sends by `through`. */
export function payingFetch(market: Market, through: typeof fetch = fetch): { send: typeof fetch; address: string } {
  const account = privateKeyToAccount(market.devnet.privateKey);
  const network = `eip155:${market.devnet.chainId}` as const;
  const client = new x402Client()
    .register(network, new ExactEvmScheme(account))
    .setSpendControls({ allowedAssets: [{ network, asset: market.devnet.token, maxAmountPerPayment: "100000" }] });
  return { send: wrapFetchWithPayment(through, client), address: account.address };
}
