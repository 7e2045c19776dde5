import { AsyncLocalStorage } from "node:async_hooks";
import { createMcpHandler, Server } from "@modelcontextprotocol/server";
import { Hono, type Context } from "hono";
import { membersIn } from "../../evidence/json-text.ts";
import { isRecord } from "../../evidence/record.ts";
import { requestPartOf } from "../../evidence/tool-parts.ts";
import { VERSION } from "../../version.ts";
import type { NodePayment } from "../payment.ts";
import type { ServedModel } from "../payment-gate.ts";
import type { Order } from "../sell.ts";
import { paymentIn } from "./called.ts";
import { orderOf } from "./order.ts";
import { errorResult, resultOf, type ToolResult } from "./tool-result.ts";
import { canBeTool, toolOf } from "./tool-schema.ts";

/** The counter that sells: a request of HTTP whose order was read, or one that only asks for its price. */
export type AtCounter = {
  sell: (c: Context, order: Order) => Promise<Response>;
  askForPayment: (c: Context, served: ServedModel) => Promise<Response>;
};

const INSTRUCTIONS =
  "Each tool is one run of a model, paid for by x402. Without a payment a call is answered with its price. With one, in `_meta` of the call, it is answered once the payment settled; the same payment brings the same answer again.";

/**
 * Sells models as tools of an MCP server at one address, in both eras of the protocol. A paid call goes to the same counter as over
 * HTTP, as a request that carries its payment in the header: one gate, one book of paid calls, one signature. Nothing is kept between
 * requests. A caller that gives up ends nothing: its answer stays under its payment. Pages of any origin may ask, since only a payment
 * buys and nothing here knows a visitor.
 */
export function createMcpTools(
  served: readonly ServedModel[],
  payment: NodePayment,
  counter: AtCounter,
): (c: Context) => Promise<Response> {
  const { network, asset } = payment;
  const sold = served.filter(canBeTool);
  const tools = sold.map((one) => toolOf(one, { network, asset: asset.toLowerCase() }));
  const byName = new Map(sold.map((one) => [one.model.name, one]));
  // Its server hands over values. The exact text of the request is what is signed.
  const asking = new AsyncLocalStorage<Came>();
  const inside = counterInside(counter);

  const call = async (came: Came | undefined, params: Called): Promise<ToolResult> => {
    const one = byName.get(params.name);
    if (one === undefined) return errorResult(`no tool has the name "${params.name.slice(0, 128).toWellFormed()}"`);
    const part = requestPartOf(membersIn(came?.text ?? "")?.get("params") ?? "");
    if (came === undefined || part === null)
      return errorResult("send one call in a request, and name no member of it twice");
    const header = paymentIn(params._meta);
    const asked = params.arguments ?? {};
    const offered = async (): Promise<Record<string, unknown> | null> => {
      const answer: unknown = await (await inside(came, { served: one })).json();
      return isRecord(answer) ? answer : null;
    };
    // A call that can only be refused is refused before it is asked to pay.
    if (header === undefined && Object.keys(asked).length === 0)
      return resultOf(await inside(came, { served: one }), offered);
    const order = orderOf(one, asked, part);
    if (typeof order === "string") return errorResult(order);
    return resultOf(await inside(came, { order }, header), offered);
  };

  const handler = createMcpHandler(() => {
    const came = asking.getStore();
    // oxlint-disable-next-line typescript/no-deprecated -- its successor writes schemas and checks arguments by one of its own
    const server = new Server(
      { name: "proof402-node", version: VERSION },
      { capabilities: { tools: {} }, instructions: INSTRUCTIONS },
    );
    server.setRequestHandler("tools/list", () => ({ tools }) as never);
    server.setRequestHandler("tools/call", async ({ params }) => (await call(came, params as Called)) as never);
    return server;
  });

  return async (c) => {
    const text = await c.req.text();
    const { method, url, headers } = c.req.raw;
    const request = new Request(url, { method, headers, ...(text === "" ? {} : { body: text }) });
    return asking.run({ text, url }, () => handler.fetch(request));
  };
}

/** A request as it came. */
type Came = { text: string; url: string };

type Called = { name: string; arguments?: Record<string, unknown>; _meta?: Record<string, unknown> };

/** What a request to the counter is about. */
type About = { order: Order } | { served: ServedModel };

/** A way to the counter that no request from outside takes: at the tools' own address, with a payment in its header. */
function counterInside({ sell, askForPayment }: AtCounter) {
  const app = new Hono<{ Bindings: About }>();
  app.onError((_error, c) => c.json({ error: "internal error" }, 500));
  app.post("*", (c) => ("order" in c.env ? sell(c, c.env.order) : askForPayment(c, c.env.served)));
  return async ({ url }: Came, about: About, payment?: string): Promise<Response> => {
    const headers = payment === undefined ? {} : { "payment-signature": payment };
    return app.fetch(new Request(url, { method: "POST", headers }), about);
  };
}
