import { decodePaymentResponseHeader, wrapFetchWithPayment, x402Client } from "@x402/fetch";
import { ExactEvmScheme } from "@x402/evm/exact/client";
import type { Hex } from "viem";
import { privateKeyToAccount } from "viem/accounts";
import type { Devnet } from "../../src/devnet/index.ts";

/** A paid answer as a stock client sees it: exact bytes, headers and what the seller says of the settlement. */
export type Bought = {
  status: number;
  headers: Headers;
  sent: string;
  received: Uint8Array<ArrayBuffer>;
  settled: ReturnType<typeof decodePaymentResponseHeader> | null;
};

/** The stock x402 client over fetch, allowed to pay with the devnet's token, at most `cap` base units a time. */
export function stockFetch(devnet: Devnet, options: { privateKey?: Hex; cap?: string } = {}) {
  const signer = privateKeyToAccount(options.privateKey ?? devnet.privateKey);
  const network = `eip155:${devnet.chainId}` as const;
  const client = new x402Client().register(network, new ExactEvmScheme(signer)).setSpendControls({
    allowedAssets: [{ network, asset: devnet.token, maxAmountPerPayment: options.cap ?? "10000" }],
  });
  return wrapFetchWithPayment(fetch, client);
}

/** One inference, paid by the stock client. */
export async function stockBuy(
  devnet: Devnet,
  url: string,
  features: readonly number[],
  options: { privateKey?: Hex; cap?: string } = {},
): Promise<Bought> {
  const sent = JSON.stringify({
    id: "stock-buyer",
    inputs: [{ name: "features", datatype: "FP32", shape: [1, features.length], data: features }],
  });
  const response = await stockFetch(devnet, options)(url, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: sent,
  });
  const header = response.headers.get("payment-response");
  return {
    status: response.status,
    headers: response.headers,
    sent,
    received: new Uint8Array(await response.arrayBuffer()),
    settled: header === null ? null : decodePaymentResponseHeader(header),
  };
}
