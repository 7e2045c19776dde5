import { createUpstream, serveLocally, type Served } from "../../src/devnet/index.ts";
import type { Market } from "./devnet.ts";

/** A requirement of x402 v2, paid by EIP-3009 to the market's seller of chats. */
export function requirementOf({ devnet }: Market, amount = "2500"): Record<string, unknown> {
  const [asset] = devnet.config.payment.assets;
  const { payTo } = devnet.sellers.chat!;
  const rest = { payTo, maxTimeoutSeconds: 120, extra: { ...asset!.domain } };
  return { scheme: "exact", network: `eip155:${devnet.chainId}`, asset: devnet.token, amount, ...rest };
}

/** Has a payment settled by the market's facilitator, and gives its answer. */
export async function settleAt(
  { devnet }: Market,
  payment: Record<string, unknown>,
  accepted: unknown,
): Promise<Record<string, unknown> & { success: boolean }> {
  const body = JSON.stringify({
    x402Version: 2,
    paymentPayload: { x402Version: 2, accepted, payload: payment["payload"] },
    paymentRequirements: accepted,
  });
  const headers = { "content-type": "application/json" };
  const answer = await fetch(`${devnet.facilitatorUrl}/settle`, { method: "POST", headers, body });
  return (await answer.json()) as Record<string, unknown> & { success: boolean };
}

/** The value of a `PAYMENT-REQUIRED` header. */
export const requiredHeader = (accepts: readonly unknown[]): string =>
  Buffer.from(JSON.stringify({ x402Version: 2, resource: { url: "http://x" }, accepts })).toString("base64");

export type ChatServer = Served & {
  /** Payments that were settled on chain, each as its header decoded. */
  settled: { name: string; payment: Record<string, unknown> }[];
};

/**
 * A seller of chats that asks for money as it is told to, has each payment settled, and then answers as it is told to, or
 * as the built-in upstream does.
 */
export async function chatServer(
  market: Market,
  {
    unpaid = () =>
      new Response("{}", { status: 402, headers: { "payment-required": requiredHeader([requirementOf(market)]) } }),
    paid = (request) => createUpstream()(request),
    models,
  }: {
    models?: () => Response;
    unpaid?: () => Response;
    paid?: (request: Request) => Response | Promise<Response>;
  } = {},
): Promise<ChatServer> {
  const settled: ChatServer["settled"] = [];
  const upstream = createUpstream();
  const served = await serveLocally(async (request) => {
    if (request.method === "GET") return models?.() ?? upstream(request);
    const name = ["payment-signature", "x-payment"].find((one) => request.headers.has(one));
    if (name === undefined) return unpaid();
    const payment = JSON.parse(atob(request.headers.get(name)!)) as Record<string, unknown>;
    const settlement = await settleAt(market, payment, payment["accepted"] ?? requirementOf(market));
    if (!settlement.success) return unpaid();
    settled.push({ name, payment });
    const came = await paid(request);
    const told = new Headers(came.headers);
    told.set("payment-response", btoa(JSON.stringify(settlement)));
    return new Response(await came.arrayBuffer(), { status: came.status, headers: told });
  });
  return { ...served, settled };
}

/** A buyer whose only seller is this one, under the name and payee of the market's seller of chats. */
export const buyerOf = (market: Market, { origin }: Served): ReturnType<Market["buyer"]> =>
  market.buyer((config) => {
    config.sellers = config.sellers.filter(({ id }) => id === "chat");
    for (const seller of config.sellers) seller.origin = origin;
  });
