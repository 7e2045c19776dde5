import type { JSONRPCMessage, Transport } from "@modelcontextprotocol/server";
import { joinThroughGuard, type GuardProxy } from "../../mcp-server/guard/proxy.ts";
import type { Buyer } from "../../src/buyer/types.ts";
import type { GuardConfig } from "../../src/guard/tool-config.ts";

export type Ran = { name: unknown; arguments: unknown; _meta: Record<string, unknown> };
export type Answer = Record<string, unknown>;
export type Result = {
  isError?: boolean;
  content?: { text: string }[];
  _meta?: Record<string, { state: string; error?: { code: string } }>;
};

/** A client and a server on the two sides of a guard, which say what they like. All that is sent is JSON. */
export type Between = {
  /** What the server was asked to run. */
  ran: Ran[];
  ask: (method: string, params?: unknown) => Promise<{ result?: Result; error?: { code: number; message: string } }>;
  /** Lets the server send what it likes. */
  serverSays: (message: unknown) => void;
  clientSays: (message: unknown) => void;
  heard: { toClient: JSONRPCMessage[]; toServer: JSONRPCMessage[] };
  proxy: GuardProxy;
};

const wire = (said: unknown): JSONRPCMessage => JSON.parse(JSON.stringify(said)) as JSONRPCMessage;

export async function betweenThem(
  config: GuardConfig,
  buyer: Buyer,
  tools: unknown[] | (() => unknown[]),
  answer: (ran: Ran) => Answer | null = () => ({ result: { content: [{ type: "text", text: "ran" }] } }),
  /** To every other request. */
  other: (method: string) => Answer = () => ({ result: {} }),
): Promise<Between> {
  const ran: Ran[] = [];
  const heard: Between["heard"] = { toClient: [], toServer: [] };
  const waiting = new Map<unknown, (answer: never) => void>();
  const server: Transport = {
    start: () => Promise.resolve(),
    close: () => Promise.resolve(),
    send(message) {
      const said = wire(message);
      heard.toServer.push(said);
      if (!("method" in said) || !("id" in said)) return Promise.resolve();
      const { id, method, params } = said;
      const listing = { result: { tools: typeof tools === "function" ? tools() : tools } };
      if (method === "tools/call") ran.push(params as Ran);
      const reply = method === "tools/list" ? listing : method === "tools/call" ? answer(params as Ran) : other(method);
      if (reply !== null) server.onmessage?.(wire({ jsonrpc: "2.0", id, ...reply }));
      return Promise.resolve();
    },
  };
  const client: Transport = {
    start: () => Promise.resolve(),
    close: () => Promise.resolve(),
    send(message) {
      const said = wire(message);
      heard.toClient.push(said);
      if (!("method" in said)) waiting.get(said.id)?.(said as never);
      return Promise.resolve();
    },
  };
  const proxy = await joinThroughGuard({
    client,
    server,
    config,
    buyer: () => Promise.resolve(buyer),
  });
  let id = 0;
  return {
    ran,
    heard,
    proxy,
    serverSays: (message) => server.onmessage?.(wire(message)),
    clientSays: (message) => client.onmessage?.(wire(message)),
    ask: (method, params) =>
      new Promise((resolve) => {
        id += 1;
        waiting.set(id, resolve);
        client.onmessage?.(wire({ jsonrpc: "2.0", id, method, ...(params === undefined ? {} : { params }) }));
      }),
  };
}
