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
import type { Buyer } from "../../src/buyer/types.ts";
import { serializeReceipt } from "../../src/receipts/receipt.ts";
import { callTool } from "../../src/tools/call.ts";
import { CLI, runCli } from "../support/cli.ts";
import { ETH_FEATURES, openMarket, writeVariant, type Market } from "../support/devnet.ts";

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

describe("texts of surfaces", () => {
  const OF_TOOLS = /\b(?:list_models|buy_inference|get_receipt|verify_receipt|max_usd|wait_seconds|idempotency_key)\b/;
  // A sentence to the owner may name the owner's commands.
  const OF_COMMANDS = /\bproof402 [a-z]|(?<=^| )--[a-z]/;
  const ADDRESS = /0x[0-9a-f]{40}\b/;
  /** An address with its holder's name or part beside it. */
  const NAMED = /(?:payee|wallet|Permit2 \()\s?0x[0-9a-f]{40}|\(0x[0-9a-f]{40}\)|0x[0-9a-f]{40} \(/g;

  const faultsIn = (text: string, surface: "command" | "tool"): string[] => {
    const { token, config: settings } = market.devnet;
    const caps = settings.payment.assets.flatMap(({ perCall, perHour, perDay, total }) => [
      perCall,
      perHour,
      perDay,
      total,
    ]);
    const inBaseUnits = new RegExp(`\\bbase units?\\b|(?<![\\w.-])(?:10000|4000|3000|${caps.join("|")})(?![\\w.-])`);
    const sentences = text.split(/(?<=[.;!?])\s|\n/);
    return sentences.flatMap((sentence) => [
      ...(inBaseUnits.test(sentence) ? [`base units: ${sentence}`] : []),
      ...(sentence.toLowerCase().includes(token.toLowerCase()) ? [`a token's address: ${sentence}`] : []),
      ...(/\d (?:USDC|DAI)\b|\$\d/.test(sentence) && ADDRESS.test(sentence.replaceAll(NAMED, ""))
        ? [`a bare address: ${sentence}`]
        : []),
      ...(surface === "command" && OF_TOOLS.test(sentence) ? [`a tool: ${sentence}`] : []),
      ...(surface === "tool" && OF_COMMANDS.test(sentence) && !/\bowner\b/i.test(sentence)
        ? [`a command: ${sentence}`]
        : []),
    ]);
  };

  /** Commands that run until they are ended, or whose output is a document. Their own tests read them. */
  const ELSEWHERE = ["demo", "devnet", "mcp", "node serve", "node reference", "node zk compile"];

  /** The commands that end in work, as the help of each level lists them. */
  async function commandsUnder(words: readonly string[] = []): Promise<string[]> {
    const { stdout } = await runCli([...words, "--help"], { apart: false });
    const listed = /^Commands:\n([^]*?)(?:\n\n|$)/m.exec(stdout)?.[1] ?? "";
    const names = [...listed.matchAll(/^ {2}([a-z]+)/gm)]
      .map(([, name = ""]) => name)
      .filter((name) => name !== "help");
    if (names.length === 0) return [words.join(" ")];
    return (await Promise.all(names.map((name) => commandsUnder([...words, name])))).flat();
  }

  test("no command tells base units, a bare address or a tool, done or refused, and JSON names the next step", async () => {
    const inFolder = (name: string): string => join(market.directory, name);
    const asking = await writeVariant(config, inFolder("asking.json"), ({ payment }) => {
      for (const asset of payment.assets) asset.approveAbove = "1";
    });
    const tight = await writeVariant(config, inFolder("tight.json"), ({ payment }) => {
      for (const asset of payment.assets) asset.perCall = "9999";
    });
    const buy = ["buy", "eth-risk", "--input", JSON.stringify(ETH_FEATURES), "--seller"];
    const told = new Map<string, string[]>();
    const faults: string[] = [];
    /** Runs a command, notes its faults and gives its text. */
    const run = async (path: string | null, ...words: string[]): Promise<string> => {
      const { code, stdout, stderr } = await runCli([...(path === null ? [] : ["--config", path]), ...words], {
        apart: false,
      });
      const isJson = words.includes("--json");
      const name = words.slice(0, 3).join(" ");
      told.set(name, [...(told.get(name) ?? []), String(code)]);
      const found = faultsIn(isJson ? stderr : `${stdout}\n${stderr}`, "command");
      if (isJson) {
        const { next, error } = JSON.parse(stdout) as { next?: unknown; error?: { next?: unknown } };
        const step = error === undefined ? next : error.next;
        if (typeof step !== "string" || OF_TOOLS.test(step)) found.push(`next: ${JSON.stringify(step)}`);
      }
      faults.push(...found.map((fault) => `${words.join(" ").slice(0, 60)}: ${fault}`));
      return stdout + stderr;
    };
    const ofCommand = {
      shown: /receipts show (p402_\w+)/,
      waits: /waits as approval ([0-9a-f]{8})/,
      channel: /Channel (0x[0-9a-f]{64})/,
    };
    const foundIn = (text: string, what: RegExp): string => what.exec(text)?.[1] ?? `none in ${text}`;

    const bought = foundIn(await run(config, ...buy, "honest", "--wait", "verified"), ofCommand.shown);
    await run(config, ...buy, "honest", "--wait", "verified", "--json");
    const cheated = foundIn(await run(config, ...buy, "tampering"), ofCommand.shown);
    await run(config, ...buy, "unattested", "--assurance", "none");
    await run(config, ...buy, "nobody");
    await run(config, ...buy, "honest", "--max-usd", "0.001");
    await run(config, ...buy, "honest", "--max-usd", "0.001", "--json");
    await run(tight, ...buy, "honest");
    const waiting = [
      foundIn(await run(asking, ...buy, "honest", "--key", "waits-for-a-yes"), ofCommand.waits),
      foundIn(await run(asking, ...buy, "honest", "--key", "waits-for-a-no"), ofCommand.waits),
    ];
    const channel = foundIn(
      await run(config, "channel", "open", "--seller", "honest", "--asset", "USDC", "--amount", "0.25", "--yes"),
      ofCommand.channel,
    );
    const file = inFolder("words.json");
    for (const words of [
      ["approvals", "list"],
      ["approvals", "list", "--json"],
      ["approvals", "approve", waiting[0] ?? ""],
      ["approvals", "decline", waiting[1] ?? ""],
      ["approvals", "decline", "00000000"],
      ["models"],
      ["models", "--json"],
      ["models", "none-such"],
      ["receipts", "list"],
      ["receipts", "list", "--json"],
      ["receipts", "show", bought],
      ["receipts", "show", cheated],
      ["receipts", "show", "p402_none"],
      ["receipts", "export", bought, file],
      ["receipts", "export", bought, inFolder("words.html"), "--html", "--json"],
      ["receipts", "export", "--csv", inFolder("words.csv")],
      ["receipts", "import", file],
      ["receipts", "import", file, "--json"],
      ["receipts", "publish", bought, "--yes"],
      ["verify", file],
      ["verify", bought, "--json"],
      ["verify", cheated],
      ["verify", "--page", "--json"],
      ["trust", "export", inFolder("words-trust.json")],
      ["trust", "export", inFolder("words-trust.json"), "--json"],
      ["spending"],
      ["spending", "--reconcile", "--json"],
      ["doctor"],
      ["sellers", "list"],
      ["sellers", "list", "--json"],
      ["sellers", "release", "tampering"],
      ["sellers", "release", "honest", "--json"],
      ["sellers", "add", market.devnet.sellers.honest.origin, "--yes"],
      ["wallet", "show"],
      ["wallet", "show", "--json"],
      ["wallet", "address"],
      ["wallet", "approve", "--asset", "USDC", "--amount", "1", "--yes"],
      ["wallet", "approve", "--asset", "USDC", "--amount", "1", "--yes", "--json"],
      ["wallet", "approve", "--asset", "USDC", "--amount", "100000000", "--yes"],
      ["wallet", "approve", "--asset", "GOLD", "--amount", "1", "--yes"],
      ["channel", "list"],
      ["channel", "list", "--json"],
      ["channel", "open", "--seller", "honest", "--asset", "USDC", "--amount", "0.25", "--yes"],
      ["channel", "close", channel, "--yes"],
      ["channel", "close", channel, "--yes", "--json"],
      ["audit"],
      ["audit", "--json"],
      ["init", "--network", "base", "--wallet", "file"],
      ["node", "init", inFolder("no-model.onnx"), "--price", "0.01", "--pay-to", market.devnet.sellers.honest.payTo],
    ])
      await run(config, ...words);
    await run(null, "spending");
    expect(faults).toEqual([]);
    const ran = [...told.keys()];
    const left = (await commandsUnder()).filter(
      (name) => !ELSEWHERE.includes(name) && !ran.some((one) => `${one} `.startsWith(`${name} `)),
    );
    expect(left).toEqual([]);
  });

  test("no tool tells base units, a bare address or a command, done or refused", async () => {
    const [buyer, asking] = await Promise.all([
      market.buyer(),
      market.buyer(({ payment }) => {
        for (const asset of payment.assets) asset.approveAbove = "1";
      }),
    ]);
    const [{ receipt: bought }, { receipt: cheated }] = [
      await buyer.buy({ ...purchase }),
      await buyer.buy({ ...purchase, seller: "tampering", wait: "answer" }),
    ];
    const ended: string[] = [];
    const faults: string[] = [];
    for (const [name, args, by = buyer] of [
      ["list_models", {}],
      ["list_models", { model: "none-such" }],
      ["buy_inference", purchase],
      ["buy_inference", { ...purchase, seller: "unattested", assurance: "none", wait: "answer" }],
      ["buy_inference", { ...purchase, max_usd: 0.001 }],
      ["buy_inference", { ...purchase, seller: "tampering" }],
      ["buy_inference", { ...purchase, input: {} }],
      ["buy_inference", purchase, asking],
      ["get_receipt", { id: bought.id, detail: "detailed" }],
      ["get_receipt", { id: cheated.id }],
      ["get_receipt", { id: "p402_none" }],
      ["verify_receipt", { id: cheated.id }],
      ["verify_receipt", { content: new TextDecoder().decode(serializeReceipt(bought)) }],
      ["verify_receipt", { content: "{" }],
      ["spending", {}],
      ["spending", { limit: 1 }],
      ["spending", { limit: 0 }],
    ] as [string, Record<string, unknown>, Buyer?][]) {
      const tool = tools.find((one) => one.name === name);
      if (tool === undefined) throw new Error(`no tool ${name}`);
      const { status, text } = await callTool(tool, { buyer: by }, args);
      ended.push(`${name} ${status}`);
      faults.push(...faultsIn(text, "tool").map((fault) => `${name} ${JSON.stringify(args).slice(0, 60)}: ${fault}`));
    }
    expect(faults).toEqual([]);
    expect(new Set(ended).size).toBe(2 * tools.length);
  });

  test("these checks can fail", () => {
    const { token } = market.devnet;
    const [from] = ["0x00000000000000000000000000000000000000aa"];
    const faulty = [
      `Paid 10000 of it.`,
      "Paid 7 base units.",
      `In the token ${token}.`,
      `Paid 0.01 USDC ($0.01) to ${from}.`,
    ];
    for (const text of faulty)
      for (const surface of ["tool", "command"] as const) expect(faultsIn(text, surface)).toHaveLength(1);
    expect(faultsIn("Call get_receipt.", "command")).toHaveLength(1);
    expect(faultsIn("Run proof402 spending.", "tool")).toHaveLength(1);
    expect(faultsIn(`Paid 0.01 USDC ($0.01) to the payee ${from}.`, "tool")).toEqual([]);
  });
});
