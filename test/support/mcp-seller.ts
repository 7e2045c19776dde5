import { serveLocally, type Served } from "../../src/devnet/index.ts";
import type { Market } from "./devnet.ts";
import { requirementOf, settleAt } from "./chat-server.ts";

type Fields = Record<string, unknown>;

/** How a seller of tools writes its offers and takes payments. The last two as their sources have it. */
export type Dialect = "specification" | "cloudflare" | "vercel";

/** A paid call as the seller sees it. */
export type PaidCall = {
  params: Fields & { name: string; arguments: Fields; _meta: Fields };
  payment: Fields;
  /** Has the payment settled: the facilitator's answer. Counts it. */
  settle: () => Promise<Fields & { success: boolean }>;
  /** The honest result, with the settlement in its dialect. */
  result: (settlement: Fields) => Fields;
  /** The offer as a result. */
  offer: (change?: Fields) => Fields;
};

/** What a message is answered with: a result, or an answer of HTTP in its place. */
type Reply = Fields | Response;

export type McpSeller = Served & {
  /** Every request of tools/call, in order. */
  calls: PaidCall["params"][];
  /** The bodies that came, each as its text. */
  texts: string[];
  settled: Fields[];
  /** Ends every session. */
  forget(): void;
};

const TOOL = {
  name: "forecast",
  description: "Weather of a place.",
  inputSchema: {
    type: "object",
    properties: { place: { type: "string", description: "a town" }, days: { type: "integer", minimum: 1 } },
    required: ["place"],
  },
};

/** A server of MCP that sells one tool and gives a second one away, written by hand from the wire. */
export async function mcpSeller(
  market: Market,
  {
    dialect = "specification",
    era = "modern",
    stream = false,
    marked = true,
    unpaid = ({ offer }) => offer(),
    paid = async ({ settle, result, offer }) => {
      const settlement = await settle();
      return settlement.success ? result(settlement) : offer({ error: String(settlement["errorReason"]) });
    },
    write = (id, result) => JSON.stringify({ jsonrpc: "2.0", id, result }),
    price = () => "2500",
    describe = () => TOOL.description,
  }: {
    dialect?: Dialect;
    era?: "modern" | "legacy";
    /** Answers in an event stream, after a notification. */
    stream?: boolean;
    /** Whether the list says that the tool is sold. */
    marked?: boolean;
    unpaid?: (call: PaidCall) => Reply | Promise<Reply>;
    paid?: (call: PaidCall) => Reply | Promise<Reply>;
    /** The text of the response to a call. */
    write?: (id: unknown, result: Fields) => string;
    price?: () => string;
    /** What the list says of the tool at that time. */
    describe?: () => string;
  } = {},
): Promise<McpSeller> {
  const sessions = new Set<string>();
  const seller: Omit<McpSeller, keyof Served> = { calls: [], texts: [], settled: [], forget: () => sessions.clear() };
  const complete = era === "modern" ? { resultType: "complete" } : {};
  const listed = {
    ...TOOL,
    ...(dialect === "vercel" ? { annotations: marked ? { paymentHint: true } : {} } : {}),
    ...(marked && dialect !== "vercel" ? { _meta: { "agents-x402/paymentRequired": true } } : {}),
  };
  const free = { name: "ping", inputSchema: { type: "object" } };

  const offerOf = (change: Fields = {}): Fields => {
    const { amount, ...rest } = requirementOf(market, price());
    const first = {
      ...rest,
      maxAmountRequired: amount,
      resource: "mcp://tool/forecast",
      description: "",
      mimeType: "text/plain",
    };
    const required =
      dialect === "vercel"
        ? { x402Version: 1, error: "_meta.x402.payment is required", accepts: [first], ...change }
        : {
            x402Version: 2,
            error: "PAYMENT_REQUIRED",
            resource: { url: "mcp://tool/forecast" },
            accepts: [{ ...rest, amount }],
            ...change,
          };
    const content = [{ type: "text", text: JSON.stringify(required) }];
    return dialect === "cloudflare"
      ? { isError: true, _meta: { "x402/error": required }, content }
      : { isError: true, structuredContent: required, content };
  };

  const paymentIn = (meta: Fields): Fields | null => {
    const found = meta[dialect === "vercel" ? "x402.payment" : "x402/payment"];
    if (dialect === "specification") return typeof found === "object" && found !== null ? (found as Fields) : null;
    return typeof found === "string" ? (JSON.parse(atob(found)) as Fields) : null;
  };

  const callOf = (params: PaidCall["params"]): PaidCall => {
    const payment = paymentIn(params._meta ?? {}) ?? {};
    return {
      params,
      payment,
      offer: offerOf,
      async settle() {
        const settlement = await settleAt(market, payment, payment["accepted"] ?? requirementOf(market, price()));
        if (settlement.success) seller.settled.push(payment);
        return settlement;
      },
      result: (settlement) => ({
        content: [{ type: "text", text: `Fair weather in ${String(params.arguments?.["place"])}.` }],
        _meta: { [dialect === "vercel" ? "x402.payment-response" : "x402/payment-response"]: settlement },
      }),
    };
  };

  const send = (text: string): Response =>
    stream
      ? new Response(
          `id: 1\r\ndata: \r\n\r\nevent: message\r\ndata: ${JSON.stringify({ jsonrpc: "2.0", method: "notifications/progress", params: { progressToken: 1, progress: 1 } })}\r\n\r\nevent: message\r\ndata: ${text}\r\n\r\n`,
          { headers: { "content-type": "text/event-stream" } },
        )
      : new Response(text, { headers: { "content-type": "application/json" } });

  const served = await serveLocally(async (request) => {
    if (new URL(request.url).pathname !== "/mcp" || request.method !== "POST") return new Response("", { status: 404 });
    const text = await request.text();
    const message = JSON.parse(text) as { id?: unknown; method: string; params?: PaidCall["params"] };
    const { id, method } = message;
    const failed = (code: number, status = 200): Response =>
      Response.json({ jsonrpc: "2.0", id, error: { code, message: "no" } }, { status });
    if (era === "modern") {
      if (message.params?._meta?.["io.modelcontextprotocol/protocolVersion"] !== "2026-07-28")
        return failed(-32_022, 400);
      if (request.headers.get("mcp-method") !== method) return failed(-32_020, 400);
      if (method === "server/discover")
        return send(
          JSON.stringify({
            jsonrpc: "2.0",
            id,
            result: { ...complete, supportedVersions: ["2026-07-28"], capabilities: { tools: {} } },
          }),
        );
    } else {
      if (method === "server/discover") return failed(-32_000, 400);
      if (method === "initialize") {
        const session = crypto.randomUUID();
        sessions.add(session);
        const result = {
          protocolVersion: "2025-06-18",
          capabilities: { tools: {} },
          serverInfo: { name: "x", version: "1" },
        };
        return Response.json({ jsonrpc: "2.0", id, result }, { headers: { "mcp-session-id": session } });
      }
      if (!sessions.has(request.headers.get("mcp-session-id") ?? ""))
        return new Response("no session", { status: 404 });
      if (method === "notifications/initialized") return new Response(null, { status: 202 });
    }
    if (method === "tools/list")
      return send(
        JSON.stringify({
          jsonrpc: "2.0",
          id,
          result: { ...complete, tools: [free, { ...listed, description: describe() }] },
        }),
      );
    if (method !== "tools/call" || message.params === undefined) return failed(-32_601);
    seller.texts.push(text);
    seller.calls.push(message.params);
    if (message.params.name !== "forecast")
      return send(JSON.stringify({ jsonrpc: "2.0", id, result: { content: [] } }));
    const reply = await (paymentIn(message.params._meta ?? {}) === null ? unpaid : paid)(callOf(message.params));
    return reply instanceof Response ? reply : send(write(id, { ...complete, ...reply }));
  });
  return Object.assign(seller, served);
}

/** The entry of such a seller in a configuration. */
export const mcpEntry = (market: Market, { origin }: Served): Fields => ({
  id: "tools",
  provider: "mcp-tool",
  origin,
  payTo: [market.devnet.sellers.chat?.payTo],
  assurance: "none",
});
