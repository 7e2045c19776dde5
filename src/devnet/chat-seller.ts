import { decodePaymentSignatureHeader } from "@x402/core/http";
import { HTTPFacilitatorClient } from "@x402/core/server";
import { ExactEvmScheme } from "@x402/evm/exact/server";
import { UptoEvmScheme } from "@x402/evm/upto/server";
import { paymentMiddleware, setSettlementOverrides, x402ResourceServer } from "@x402/hono";
import { Hono, type Context } from "hono";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import type { Address } from "viem";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import type { ConfigInput } from "../config/schema.ts";
import { jsonOf, lowered, textOf, utf8 } from "../evidence/bytes.ts";
import { serveLocally } from "./serve.ts";
import type { Token } from "./bank.ts";
import type { Upstream } from "./upstream.ts";

/** The price of an answer, and under `upto` of each of its tokens, base units. */
const PRICE = "10000";
const PER_TOKEN = 20n;
/** Entries of an upstream's list that are sold. */
const MAX_MODELS = 100;

/** Its name in a market. */
export type ChatSellerName = "chat";

/** A seller of chats that runs, and its entry in a buyer's configuration. */
export type OpenChatSeller = {
  name: ChatSellerName;
  origin: string;
  payTo: Address;
  entry: NonNullable<ConfigInput["sellers"]>[number];
};

/** What a seller of chats on this machine stands on. */
type ChatSelling = {
  upstream: Upstream;
  network: `eip155:${number}`;
  token: Token;
  payTo: Address;
  facilitatorUrl: string;
};

/** Starts the seller under a payee of its own. Throws Proof402Error `port_taken`. */
export async function openChatSeller(
  selling: Omit<ChatSelling, "payTo">,
  { port }: { port?: number | undefined } = {},
): Promise<OpenChatSeller & { stop: () => Promise<void> }> {
  const payTo = lowered(privateKeyToAccount(generatePrivateKey()).address);
  const { origin, stop } = await serveLocally(createChatSeller({ ...selling, payTo }), port);
  const entry = { id: "chat", provider: "openai-x402", origin, payTo: [payTo], assurance: "none" } as const;
  return { name: "chat", origin, payTo, entry: { ...entry, payTo: [...entry.payTo] }, stop };
}

/**
 * A seller of an OpenAI-compatible API by x402, before any upstream. It has only what x402's own middleware gives it: it
 * signs nothing, and sends an answer when it is paid. `exact` is paid by EIP-3009 at the full price, `upto` by Permit2 for
 * the tokens that the upstream counts.
 */
function createChatSeller({ upstream, network, token, payTo, facilitatorUrl }: ChatSelling): Upstream {
  const server = new x402ResourceServer(new HTTPFacilitatorClient({ url: facilitatorUrl }))
    .register(network, new ExactEvmScheme())
    .register(network, new UptoEvmScheme());
  const price = { asset: token.address, amount: PRICE, extra: { name: token.name, version: token.version } };
  const accepts = (["exact", "upto"] as const).map((scheme) => ({ scheme, network, payTo, price }));
  const app = new Hono();
  app.get("/v1/models", async (c) => {
    const answer = await upstream(new Request(c.req.url));
    const listed = (await answer.json()) as { data: object[] };
    const listedPrice = { network, asset: token.address, amount: PRICE };
    const data = listed.data.slice(0, MAX_MODELS).map((one) => ({ ...one, price: listedPrice }));
    return c.json({ object: "list", data });
  });
  app.use(paymentMiddleware({ "POST /v1/chat/completions": { accepts }, "POST /v1/completions": { accepts } }, server));
  const answer = async (c: Context): Promise<Response> => {
    const asked = new Uint8Array(await c.req.arrayBuffer());
    const body = withUsage(asked);
    const came = await upstream(new Request(c.req.url, { method: "POST", body }));
    const bytes = new Uint8Array(await came.arrayBuffer());
    if (came.ok && isMetered(c)) setSettlementOverrides(c, { amount: dueFor(bytes) });
    // The context's own answer keeps the header that overrides the amount.
    return c.body(bytes, came.status as ContentfulStatusCode, { "content-type": typeOf(came) });
  };
  app.post("/v1/chat/completions", answer);
  app.post("/v1/completions", answer);
  return async (request) => app.fetch(request);
}

const typeOf = ({ headers }: Response): string => headers.get("content-type") ?? "application/json";

/** Whether the request's payment, which the middleware took, lets the seller name the amount. */
const isMetered = (c: Context): boolean =>
  decodePaymentSignatureHeader(c.req.header("payment-signature") ?? "").accepted.scheme === "upto";

/** A stream is asked to count its tokens: the price is by them. */
function withUsage(body: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const asked = jsonOf(body) as { stream?: unknown; stream_options?: object } | null;
  if (asked?.stream !== true) return body;
  return utf8(JSON.stringify({ ...asked, stream_options: { ...asked.stream_options, include_usage: true } }));
}

/** What an `upto` payment is settled at: by the last count of tokens in the answer, or all of it without one. */
function dueFor(answer: Uint8Array): string {
  const counts = [...(textOf(answer) ?? "").matchAll(/"total_tokens":\s*(\d{1,12})/g)];
  const last = counts.at(-1)?.[1];
  const due = last === undefined ? BigInt(PRICE) : BigInt(last) * PER_TOKEN;
  return String(due < BigInt(PRICE) ? due : BigInt(PRICE));
}
