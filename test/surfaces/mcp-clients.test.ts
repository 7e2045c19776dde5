import type { ToolMessage } from "@langchain/core/messages";
import { createMCPClient } from "@ai-sdk/mcp";
import { Experimental_StdioMCPTransport as AiStdio } from "@ai-sdk/mcp/mcp-stdio";
import { MultiServerMCPClient } from "@langchain/mcp-adapters";
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { Client as LegacyClient } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport as LegacyStdio } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport as LegacyHttp } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { MCPServerStdio, MCPServerStreamableHttp } from "@openai/agents";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { serveMcpHttp, type ServedMcp } from "../../mcp-server/http/serve.ts";
import { openBuyer } from "../../src/buyer/open.ts";
import { loadConfig } from "../../src/config/load.ts";
import { writeDevnet } from "../../src/devnet/index.ts";
import { CLI } from "../support/cli.ts";
import { ETH_FEATURES, openMarket, type Market } from "../support/devnet.ts";
import { bearer, clientNamed, ERAS } from "../support/mcp-http.ts";

let market: Market;
let config: string;
let served: ServedMcp;
beforeAll(async () => {
  market = await openMarket();
  ({ config } = await writeDevnet(market.devnet, market.directory));
  served = await serveMcpHttp(
    async () => openBuyer({ config: await loadConfig({ path: config }), wallet: market.devnet.wallet }),
    { clients: [clientNamed("desk")] },
  );
});
afterAll(async () => {
  await served.stop();
  await market.stop();
});

/** What a client library makes of the server, in one form. */
type Seen = {
  tools: () => Promise<{ name: string; description: string | undefined }[]>;
  call: (name: string, args: Record<string, unknown>) => Promise<unknown>;
  close: () => Promise<unknown>;
};
type Transport = "stdio" | "http";

const command = () => ({
  command: process.execPath,
  args: [CLI, "--config", config, "mcp"],
  env: { PATH: process.env["PATH"] ?? "" },
});
const headers = bearer("desk");
const address = () => new URL(served.url);
const named = ({ name, description }: { name: string; description?: string | undefined }) => ({ name, description });

const v2 =
  (era: keyof typeof ERAS) =>
  async (over: Transport): Promise<Seen> => {
    const client = new Client({ name: "test", version: "1" }, { versionNegotiation: ERAS[era] });
    await client.connect(
      over === "stdio"
        ? new StdioClientTransport(command())
        : new StreamableHTTPClientTransport(address(), { requestInit: { headers } }),
    );
    return {
      tools: async () => (await client.listTools()).tools.map(named),
      call: async (name, args) => (await client.callTool({ name, arguments: args })).structuredContent,
      close: () => client.close(),
    };
  };

async function v1(over: Transport): Promise<Seen> {
  const client = new LegacyClient({ name: "test", version: "1" });
  const http = () => new LegacyHttp(address(), { requestInit: { headers } });
  await client.connect(over === "stdio" ? new LegacyStdio(command()) : http());
  return {
    tools: async () => (await client.listTools()).tools.map(named),
    call: async (name, args) => (await client.callTool({ name, arguments: args })).structuredContent,
    close: () => client.close(),
  };
}

async function langchain(over: Transport): Promise<Seen> {
  const client = new MultiServerMCPClient({
    proof402: over === "stdio" ? { transport: "stdio", ...command() } : { transport: "http", url: served.url, headers },
  });
  const tools = await client.getTools();
  return {
    tools: () => Promise.resolve(tools.map(named)),
    async call(name, args) {
      const tool = tools.find((one) => one.name === name);
      try {
        const message = (await tool?.invoke({ type: "tool_call", id: "call-1", name, args })) as ToolMessage;
        const parts = message.artifact as { type: string; data: unknown }[];
        return parts.find(({ type }) => type === "mcp_structured_content")?.data;
      } catch (error) {
        // These adapters throw a failure, and keep its text.
        return { error: { code: /Error (\w+):/.exec(String(error))?.[1] } };
      }
    },
    close: () => client.close(),
  };
}

async function ai(over: Transport): Promise<Seen> {
  const client = await createMCPClient({
    transport: over === "stdio" ? new AiStdio(command()) : { type: "http", url: served.url, headers },
  });
  const tools = await client.tools();
  return {
    tools: () => Promise.resolve(Object.entries(tools).map(([name, { description }]) => ({ name, description }))),
    async call(name, args) {
      const result = (await tools[name]?.execute(args, { toolCallId: "call-1", messages: [] })) as {
        structuredContent?: unknown;
      };
      return result.structuredContent;
    },
    close: () => client.close(),
  };
}

async function openai(over: Transport): Promise<Seen> {
  const { env, ...spawned } = command();
  const server =
    over === "stdio"
      ? new MCPServerStdio({ ...spawned, env })
      : new MCPServerStreamableHttp({ url: served.url, requestInit: { headers } });
  await server.connect();
  return {
    tools: async () => (await server.listTools()).map(named),
    call: async (name, args) => (await server.callToolResult(name, args)).structuredContent,
    close: () => server.close(),
  };
}

const CLIENTS: Record<string, (over: Transport) => Promise<Seen>> = {
  "the v2 client, 2026": v2("2026-07-28"),
  "the v2 client, 2025": v2("2025-11-25"),
  "the v1 client": v1,
  "LangChain's adapters": langchain,
  "the AI SDK's client": ai,
  "the client of OpenAI Agents": openai,
};

describe.each(["stdio", "http"] as const)("over %s", (over) => {
  /** One purchase for all: each client takes it up by its key. */
  const key = crypto.randomUUID();
  const purchase = { model: "eth-risk", input: ETH_FEATURES, seller: "honest", idempotency_key: key };

  test("every client sees the same tools, and gets the same answer, receipt and error", async () => {
    const seen: Record<string, unknown>[] = [];
    for (const open of Object.values(CLIENTS)) {
      const client = await open(over);
      try {
        const bought = (await client.call("buy_inference", purchase)) as {
          answer: unknown;
          paidNow: boolean;
          receipt: { id: string };
        };
        const read = (await client.call("get_receipt", { id: bought.receipt.id })) as { exchange: unknown };
        const { error } = (await client.call("get_receipt", { id: "p402_none" })) as { error: { code: string } };
        const { answer, paidNow, receipt } = bought;
        seen.push({
          tools: await client.tools(),
          answer,
          paidNow,
          id: receipt.id,
          exchange: read.exchange,
          code: error.code,
        });
      } finally {
        await client.close();
      }
    }
    const [first] = seen;
    expect(first).toMatchObject({ paidNow: true, code: "receipt_not_found" });
    const rest = seen.slice(1).map((one, at) => [Object.keys(CLIENTS)[at + 1], one]);
    expect(rest).toEqual(rest.map(([name]) => [name, { ...first, paidNow: false }]));
  });
});
