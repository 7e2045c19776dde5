import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Client as LegacyClient } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport as LegacyStdio } from "@modelcontextprotocol/sdk/client/stdio.js";
import { Client } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import type { ToolMessage } from "@langchain/core/messages";
import { MultiServerMCPClient } from "@langchain/mcp-adapters";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { writeDevnet } from "../../src/devnet/index.ts";
import { createProof402Tools } from "../../src/langchain/index.ts";
import { tools } from "../../src/tools/index.ts";
import { CLI, runCli } from "../support/cli.ts";
import { ETH_FEATURES, openMarket, type Market } from "../support/devnet.ts";

let market: Market;
let config: string;
beforeAll(async () => {
  market = await openMarket();
  ({ config } = await writeDevnet(market.devnet, market.directory));
});
afterAll(() => market.stop());

const server = () => ({
  command: process.execPath,
  args: [CLI, "--config", config, "mcp"],
  env: { PATH: process.env["PATH"] ?? "" },
});

/** Every path of a value with its type: what "the same shape" means. Record keys that are data are kept as they are. */
function shapeOf(value: unknown, path = ""): string[] {
  if (Array.isArray(value)) return [...new Set(value.flatMap((item) => shapeOf(item, `${path}[]`)))].toSorted();
  if (typeof value === "object" && value !== null) {
    return Object.entries(value)
      .flatMap(([key, item]) => shapeOf(item, `${path}.${key}`))
      .toSorted();
  }
  return [`${path}: ${value === null ? "null" : typeof value}`];
}

const purchase = { model: "eth-risk", input: ETH_FEATURES, seller: "honest", wait: "verified" } as const;
type Bought = { answer: unknown; receipt: { verdict: string; assurance: string }; paidNow: boolean };

async function viaLangChain(name: string, args: Record<string, unknown>): Promise<unknown> {
  const buyer = await market.buyer();
  const tool = createProof402Tools({ buyer }).find((one) => one.name === name);
  const message = (await tool?.invoke({ type: "tool_call", id: crypto.randomUUID(), name, args })) as ToolMessage;
  const artifact = message.artifact as { data?: unknown; error?: unknown };
  return artifact.data ?? { error: artifact.error };
}

async function viaMcp(name: string, args: Record<string, unknown>): Promise<unknown> {
  const client = new Client({ name: "test", version: "1" });
  await client.connect(new StdioClientTransport(server()));
  try {
    return (await client.callTool({ name, arguments: args })).structuredContent;
  } finally {
    await client.close();
  }
}

async function viaLegacyMcp(name: string, args: Record<string, unknown>): Promise<unknown> {
  const client = new LegacyClient({ name: "test", version: "1" });
  await client.connect(new LegacyStdio(server()));
  try {
    return (await client.callTool({ name, arguments: args })).structuredContent;
  } finally {
    await client.close();
  }
}

async function viaAdapters(name: string, args: Record<string, unknown>): Promise<unknown> {
  const client = new MultiServerMCPClient({ proof402: { transport: "stdio", ...server() } });
  try {
    const tool = (await client.getTools()).find((one) => one.name === name);
    const message = (await tool?.invoke({ type: "tool_call", id: "call-1", name, args })) as ToolMessage;
    const parts = message.artifact as { type: string; data: unknown }[];
    return parts.find((part) => part.type === "mcp_structured_content")?.data;
  } finally {
    await client.close();
  }
}

async function viaCli(name: string, args: Record<string, unknown>): Promise<unknown> {
  const global = ["--config", config, "--json"];
  const words =
    name === "buy_inference"
      ? [
          "buy",
          String(args["model"]),
          "--input",
          JSON.stringify(args["input"]),
          "--seller",
          String(args["seller"]),
          ...(args["wait"] === "verified" ? ["--wait", "verified"] : []),
        ]
      : name === "list_models"
        ? ["models"]
        : ["spending"];
  return JSON.parse((await runCli([...global, ...words])).stdout);
}

const surfaces = {
  LangChain: viaLangChain,
  "MCP, v2 client": viaMcp,
  "MCP, v1 client": viaLegacyMcp,
  "MCP adapters of LangChain": viaAdapters,
  CLI: viaCli,
};

describe("every surface gives the same result", () => {
  test("of a purchase: verified, attested, the same fields with the same types", async () => {
    const shapes = new Map<string, string[]>();
    for (const [surface, call] of Object.entries(surfaces)) {
      const data = (await call("buy_inference", purchase)) as Bought;
      expect(data.receipt.verdict, surface).toBe("verified");
      expect(data.receipt.assurance, surface).toBe("attested");
      expect(data.paidNow, surface).toBe(true);
      shapes.set(surface, shapeOf(data));
    }
    const [first, ...others] = shapes.values();
    for (const shape of others) expect(shape).toEqual(first);
  });

  test.each(["list_models", "spending"])("of %s", async (name) => {
    const shapes: string[][] = [];
    for (const call of Object.values(surfaces)) shapes.push(shapeOf(await call(name, {})));
    const [first, ...others] = shapes;
    expect(first?.length).toBeGreaterThan(0);
    // Recent purchases differ from call to call: some have a receipt by then, some do not.
    const steady = (shape: string[] | undefined): string[] | undefined =>
      shape?.filter((line) => !line.includes(".recent"));
    for (const shape of others) expect(steady(shape)).toEqual(steady(first));
  });

  test("of a refusal: code, message, whether money moved, and what to do next", async () => {
    const refused = { model: "eth-risk", input: ETH_FEATURES, seller: "nobody" };
    const errors: unknown[] = [];
    for (const call of [viaLangChain, viaMcp, viaLegacyMcp, viaCli]) {
      errors.push(((await call("buy_inference", refused)) as { error: unknown }).error);
    }
    expect(errors[0]).toMatchObject({ code: "seller_not_found", money: "not-moved" });
    for (const error of errors) expect(error).toEqual(errors[0]);
    // LangChain's adapter turns an MCP error result into an exception with its text.
    await expect(viaAdapters("buy_inference", refused)).rejects.toThrow(/seller_not_found.*No money moved/s);
  });
});

describe("MCP", () => {
  test.each([
    [
      "v2 client",
      async () => {
        const client = new Client({ name: "test", version: "1" });
        await client.connect(new StdioClientTransport(server()));
        const listed = await client.listTools();
        await client.close();
        return listed.tools;
      },
    ],
    [
      "v1 client",
      async () => {
        const client = new LegacyClient({ name: "test", version: "1" });
        await client.connect(new LegacyStdio(server()));
        const listed = await client.listTools();
        await client.close();
        return listed.tools;
      },
    ],
  ])("lists the five tools with all annotations to a %s", async (_name, list) => {
    const listed = await list();
    expect(listed.map((tool) => tool.name)).toEqual(tools.map((tool) => tool.name));
    for (const tool of listed) {
      for (const hint of ["readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint"] as const) {
        expect(typeof tool.annotations?.[hint], `${tool.name}.${hint}`).toBe("boolean");
      }
      expect(tool.outputSchema).toBeDefined();
    }
  });

  test("lists tools without any configuration, and a call then says what is missing", async () => {
    const client = new Client({ name: "test", version: "1" });
    await client.connect(
      new StdioClientTransport({
        command: process.execPath,
        args: [CLI, "mcp"],
        cwd: "/tmp",
        env: { PATH: process.env["PATH"] ?? "", HOME: "/nonexistent" },
      }),
    );
    expect((await client.listTools()).tools).toHaveLength(tools.length);
    const result = await client.callTool({ name: "spending", arguments: {} });
    await client.close();
    expect(result.isError).toBe(true);
    expect(result.structuredContent).toMatchObject({ error: { code: "config_not_found" } });
  });

  test("text and structured content each stand alone", async () => {
    const client = new Client({ name: "test", version: "1" });
    await client.connect(new StdioClientTransport(server()));
    const result = await client.callTool({ name: "buy_inference", arguments: { ...purchase } });
    await client.close();
    const text = (result.content as { text: string }[])[0]?.text ?? "";
    const { receipt } = result.structuredContent as { receipt: { id: string } };
    expect(text).toContain(receipt.id);
    expect(text).toContain("VERIFIED");
    expect(text).toContain("probabilities");
    expect(text).toContain("Not proven");
  });
});

describe("the command line", () => {
  test("verify exits 0 verified, 1 failed, 2 open, 64 unreadable", async () => {
    const file = join(market.directory, "receipt.json");
    const bought = JSON.parse(
      (
        await runCli([
          "--config",
          config,
          "--json",
          "buy",
          "eth-risk",
          "--input",
          JSON.stringify(ETH_FEATURES),
          "--seller",
          "honest",
          "--wait",
          "verified",
        ])
      ).stdout,
    ) as { receipt: { id: string } };
    expect((await runCli(["--config", config, "receipts", "export", bought.receipt.id, file])).code).toBe(0);
    expect((await runCli(["--config", config, "verify", file])).code).toBe(0);
    expect((await runCli(["--config", config, "verify", bought.receipt.id])).code).toBe(0);
    expect((await runCli(["--config", config, "verify", file, "--at", "2030-01-01T00:00:00Z"])).code).toBe(1);
    expect((await runCli(["--config", config, "verify", file, "--assurance", "proven"])).code).toBe(2);
    // Without a configuration nothing is known of the seller: no verdict about it, neither good nor bad.
    expect((await runCli(["verify", file], { cwd: "/tmp" })).code).toBe(2);
    await writeFile(join(market.directory, "torn.json"), "{");
    expect((await runCli(["--config", config, "verify", join(market.directory, "torn.json")])).code).toBe(64);
    expect((await runCli(["--config", config, "verify", join(market.directory, "absent.json")])).code).toBe(64);
    expect((await runCli(["--config", config, "audit"])).code).toBe(0);
  });

  test("a tampered file is refused and says why", async () => {
    const file = join(market.directory, "receipt.json");
    const { readFile } = await import("node:fs/promises");
    const text = await readFile(file, "utf8");
    const tampered = join(market.directory, "tampered.json");
    await writeFile(tampered, text.replace('"amount": "10000"', '"amount": "10001"'));
    const result = await runCli(["--config", config, "verify", tampered]);
    expect(result.code).toBe(64);
    expect(result.stderr).toContain("receipt_id_mismatch");
  });

  test.each([
    [["frobnicate"]],
    [["verify"]],
    [["buy", "eth-risk"]],
    [["buy", "eth-risk", "--input", "{"]],
    [["verify", "x", "--at", "yesterday"]],
  ])("%j is a usage error", async (args) => {
    expect((await runCli(["--config", config, ...args])).code).toBe(64);
  });
});
