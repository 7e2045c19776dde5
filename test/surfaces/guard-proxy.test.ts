import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Client } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { Client as OlderClient } from "@modelcontextprotocol/sdk/client/index.js";
import { createMcpHandler } from "@modelcontextprotocol/server";
import { serve } from "@hono/node-server";
import { StdioClientTransport as OlderStdio } from "@modelcontextprotocol/sdk/client/stdio.js";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { bank } from "../support/mcp-bank.ts";
import { bundled } from "../support/bundled.ts";
import { CLI, runCli } from "../support/cli.ts";
import { openDecisionWorld, type DecisionWorld } from "../support/decision-buyer.ts";
import { eventually } from "../support/eventually.ts";

const upstream = bundled(join(import.meta.dirname, "../support/mcp-upstream.ts"));
let world: DecisionWorld;
let used = 0;
beforeAll(async () => {
  [world] = await Promise.all([openDecisionWorld(12), upstream.make()]);
});
afterAll(async () => {
  await world.close();
  upstream.remove();
});

const fresh = (): string => world.receipts[used++]!.id;
const LIMITS = {
  assurance: "attested",
  maxAge: 1_000_000_000,
  allowSimulated: true,
  allowImported: true,
  bind: {
    rules: [
      { check: { argument: "/to" }, in: [{ value: "ann" }, { value: "bob" }] },
      { check: { argument: "/amount" }, atMost: { value: 50 } },
      { check: { answer: "/class/0" }, equals: { value: 1 } },
    ],
  },
};
const RULES = {
  server: "bank",
  tools: { transfer: LIMITS, fails: LIMITS, waits: LIMITS, change: "pass" },
  others: "pass",
};

let ledger: string;
let rules: string;
let count = 0;
async function prepare(): Promise<void> {
  count += 1;
  ledger = join(world.folder, `ledger-${count}.jsonl`);
  rules = join(world.folder, `rules-${count}.json`);
  await Promise.all([writeFile(ledger, ""), writeFile(rules, JSON.stringify(RULES), { mode: 0o600 })]);
}
const booked = async (): Promise<{ tool: string; args?: unknown; meta?: Record<string, unknown> }[]> =>
  (await readFile(ledger, "utf8"))
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as { tool: string });

const server = () => ({
  command: process.execPath,
  args: [
    CLI,
    "--config",
    world.config,
    "guard",
    "serve",
    "--rules",
    rules,
    "--",
    process.execPath,
    upstream.file,
    ledger,
  ],
  env: { PATH: process.env["PATH"] ?? "" },
});

const open: { close(): Promise<void> }[] = [];
const closeAll = () => Promise.all(open.splice(0).map((one) => one.close()));
async function connect(era: "2026-07-28" | "2025-11-25", to = server()): Promise<Client> {
  const versionNegotiation = { mode: era === "2025-11-25" ? ("legacy" as const) : { pin: era } };
  const client = new Client({ name: "test", version: "1" }, { versionNegotiation });
  await client.connect(new StdioClientTransport(to));
  open.push(client);
  return client;
}
const outcomeOf = (result: { _meta?: Record<string, unknown> | undefined }) =>
  result._meta?.["proof402/guard"] as { state: string; claim?: string; error?: { code: string } } | undefined;

describe.each(["2026-07-28", "2025-11-25"] as const)("a client of %s behind the guard", (era) => {
  let client: Client;
  beforeAll(async () => {
    await prepare();
    client = await connect(era);
  });
  afterAll(async () => {
    await writeFile(`${ledger}.release`, "");
    await closeAll();
  });

  test("uses all of the server, and its guarded tools on receipts only", async () => {
    const { tools } = await client.listTools();
    expect(tools.map(({ name }) => name)).toEqual(["transfer", "get_balance", "fails", "waits", "change"]);
    const transfer = tools[0]!;
    expect(transfer.inputSchema.required).toEqual(["to", "amount", "receipt_id"]);
    expect(transfer._meta).toEqual({ "proof402/guarded": true });
    expect(transfer.annotations).toEqual({ destructiveHint: true });
    expect(tools[1]!.inputSchema.required ?? []).not.toContain("receipt_id");
    expect((await client.listResources()).resources).toMatchObject([{ uri: "account://one" }]);
    expect((await client.readResource({ uri: "account://one" })).contents).toMatchObject([{ text: "100" }]);
    const prompt = await client.getPrompt({ name: "ask", arguments: { who: "ann" } });
    expect(prompt.messages[0]!.content).toMatchObject({ text: "How is ann?" });
    const completed = await client.complete({
      ref: { type: "ref/resource", uri: "account://{name}" },
      argument: { name: "name", value: "" },
    });
    expect(completed.completion.values).toEqual(["one", "two"]);
    expect((await client.callTool({ name: "get_balance", arguments: {} })).content).toMatchObject([{ text: "100" }]);

    const id = fresh();
    const args = { to: "ann", amount: 25 };
    const without = await client.callTool({ name: "transfer", arguments: args });
    expect([without.isError, outcomeOf(without)?.error?.code]).toEqual([true, "receipt_not_found"]);
    const more = await client.callTool({ name: "transfer", arguments: { ...args, amount: 51, receipt_id: id } });
    expect(outcomeOf(more)?.error?.code).toBe("receipt_not_bound");
    expect(await booked()).toEqual([]);

    const sent = await client.callTool({
      name: "transfer",
      arguments: { ...args, receipt_id: id },
      _meta: { "proof402/idempotency-key": "mine", amount: 99 },
    });
    expect(sent.content).toEqual([{ type: "text", text: "sent" }]);
    const [claim] = await world.buyer.actions.list({ tool: "bank/transfer", limit: 1 });
    expect(sent._meta?.["bank/id"]).toBe("t1");
    expect(outcomeOf(sent)).toEqual({
      state: "done",
      claim: claim!.id,
      receipt: id,
      idempotency_key: claim!.idempotencyKey,
    });
    expect(claim).toMatchObject({ state: "done", receiptId: id, arguments: { json: '{"amount":25,"to":"ann"}' } });
    const [entry, ...others] = await booked();
    expect(others).toEqual([]);
    expect(entry).toMatchObject({ tool: "transfer", args });
    expect(entry!.meta).toMatchObject({
      "proof402/idempotency-key": claim!.idempotencyKey,
      "proof402/claim": claim!.id,
      "proof402/receipt": id,
    });
    expect(entry!.meta).not.toHaveProperty("amount");
    const again = await client.callTool({ name: "transfer", arguments: { ...args, receipt_id: id } });
    expect(outcomeOf(again)?.error?.code).toBe("receipt_consumed");
  });

  test("hears an error result as an action without a known end", async () => {
    const id = fresh();
    const result = await client.callTool({ name: "fails", arguments: { to: "ann", amount: 1, receipt_id: id } });
    expect(outcomeOf(result)).toMatchObject({ state: "undecided" });
    expect(result.content).toMatchObject([
      { text: expect.stringContaining("Whether the action happened is not known") as string },
      { text: "the bank is closed" },
    ]);
    expect(await world.buyer.actions.list({ tool: "bank/fails", limit: 1 })).toMatchObject([{ state: "undecided" }]);
  });

  test("is given neither a tool that came later nor a guarded one that changed", async () => {
    const before = await booked();
    await client.callTool({ name: "change", arguments: {} });
    expect((await client.listTools()).tools.map(({ name }) => name)).toEqual([
      "get_balance",
      "fails",
      "waits",
      "change",
    ]);
    const args = { to: "ann", amount: 25, receipt_id: world.receipts[0]!.id };
    expect(outcomeOf(await client.callTool({ name: "send_money", arguments: args }))?.error?.code).toBe(
      "guard_tool_refused",
    );
    expect(outcomeOf(await client.callTool({ name: "transfer", arguments: args }))?.error?.code).toBe(
      "guard_tool_changed",
    );
    expect(await booked()).toEqual(before);
  });

  test("hears progress, and leaves an action undecided that it cancels", async () => {
    const id = fresh();
    const cancel = new AbortController();
    const heard: unknown[] = [];
    const call = client.callTool(
      { name: "waits", arguments: { to: "bob", amount: 2, receipt_id: id } },
      {
        signal: cancel.signal,
        onprogress: ({ message }) => {
          heard.push(message);
          cancel.abort();
        },
      },
    );
    await expect(call).rejects.toThrow(/abort/i);
    expect(heard).toEqual(["begun"]);
    await eventually(async () => {
      const [claim] = await world.buyer.actions.list({ tool: "bank/waits", limit: 1 });
      expect(claim).toMatchObject({
        receiptId: id,
        state: "undecided",
        outcome: expect.stringContaining("cancelled") as string,
      });
      expect((await booked()).at(-1)).toEqual({ tool: "waits", cancelled: true });
    });
  });
});

describe("on the wire", () => {
  beforeEach(prepare);
  afterEach(closeAll);

  test("a client of the older SDK is guarded, too", async () => {
    const client = new OlderClient({ name: "test", version: "1" });
    await client.connect(new OlderStdio(server()));
    open.push(client);
    await client.listTools();
    const args = { to: "ann", amount: 3, receipt_id: fresh() };
    const sent = await client.callTool({ name: "transfer", arguments: args });
    expect(outcomeOf(sent as never)).toMatchObject({ state: "done" });
    expect(outcomeOf((await client.callTool({ name: "transfer", arguments: args })) as never)?.error?.code).toBe(
      "receipt_consumed",
    );
    expect(await booked()).toHaveLength(1);
  });

  test("a server at an address is guarded as well, with its secret and to no other address", async () => {
    const handler = createMcpHandler(() => bank(ledger));
    const seen: (string | null)[] = [];
    const listening = serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch: (request) => {
        seen.push(request.headers.get("authorization"));
        if (new URL(request.url).pathname === "/moved") return Response.redirect(new URL("/mcp", request.url), 307);
        return handler.fetch(request);
      },
    });
    try {
      await once(listening, "listening");
      const address = listening.address();
      const port = typeof address === "object" ? address!.port : 0;
      await writeFile(rules, JSON.stringify({ ...RULES, bearer: "BANK_TOKEN" }));
      const at = (path: string) => ({
        command: process.execPath,
        args: [
          CLI,
          "--config",
          world.config,
          "guard",
          "serve",
          "--rules",
          rules,
          "--upstream",
          `http://127.0.0.1:${port}${path}`,
        ],
        env: { PATH: process.env["PATH"] ?? "", BANK_TOKEN: "s3cret" },
      });
      for (const era of ["2026-07-28", "2025-11-25"] as const) {
        const client = await connect(era, at("/mcp"));
        const args = { to: "ann", amount: 5, receipt_id: fresh() };
        const sent = await client.callTool({ name: "transfer", arguments: args });
        expect(outcomeOf(sent)).toMatchObject({ state: "done" });
        const again = await client.callTool({ name: "transfer", arguments: args });
        expect(outcomeOf(again)?.error?.code).toBe("receipt_consumed");
      }
      expect(await booked()).toHaveLength(2);
      expect([...new Set(seen)]).toEqual(["Bearer s3cret"]);
      await expect(connect("2025-11-25", at("/moved"))).rejects.toThrow("could not be reached");
    } finally {
      listening.close();
    }
  });

  test("T170: kill -9 in the middle of a call leaves it undecided, and nothing runs it again", async () => {
    const id = fresh();
    const { command, args, env } = server();
    const guard = spawn(command, args, { env, stdio: ["pipe", "pipe", "inherit"] });
    const say = (message: object): unknown => guard.stdin.write(`${JSON.stringify({ jsonrpc: "2.0", ...message })}\n`);
    const params = { protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name: "test", version: "1" } };
    say({ id: 1, method: "initialize", params });
    say({ method: "notifications/initialized" });
    const call = { name: "waits", arguments: { to: "ann", amount: 4, receipt_id: id } };
    say({ id: 2, method: "tools/call", params: call });
    await eventually(async () => expect(await booked()).toHaveLength(1));
    guard.kill("SIGKILL");
    await once(guard, "close");
    await writeFile(`${ledger}.release`, "");
    expect(await world.buyer.actions.list({ tool: "bank/waits", limit: 1 })).toMatchObject([
      { receiptId: id, state: "undecided", endedAt: null },
    ]);
    const client = await connect("2026-07-28");
    const again = await client.callTool(call);
    expect(outcomeOf(again)?.error?.code).toBe("receipt_consumed");
    expect(again.content).toMatchObject([{ text: expect.stringContaining("not known") as string }]);
    expect((await booked()).filter((entry) => "args" in entry)).toHaveLength(1);
  });
});

test("a message too large to be read ends the guard, and it says so", async () => {
  await prepare();
  const guard = ["guard", "serve", "--rules", rules, "--", process.execPath, upstream.file, ledger];
  const args = ["--config", world.config, ...guard];
  const { code, stderr } = await runCli(args, { stdin: `${" ".repeat(11 * 2 ** 20)}\n` });
  expect(code).toBe(1);
  expect(stderr).toContain("Error guard_client: The client sent a message of more than 10 MiB.");
});

test("the page's file and the page's entry for a host guard a server", async () => {
  await prepare();
  const page = await readFile(join(import.meta.dirname, "../../docs/guard-proxy.md"), "utf8");
  const [entry, file] = [...page.matchAll(/^```json\n([\s\S]*?)^```/gm)].map(([, block = ""]) => block);
  await writeFile(rules, file!);
  const { args } = (JSON.parse(entry!) as { mcpServers: { bank: { args: string[] } } }).mcpServers.bank;
  const started = args.map((word) => (word === "/path/to/guard.json" ? rules : word)).slice(0, args.indexOf("--") + 1);
  const client = await connect("2025-11-25", {
    command: process.execPath,
    args: [CLI, "--config", world.config, ...started, process.execPath, upstream.file, ledger],
    env: { PATH: process.env["PATH"] ?? "" },
  });
  const { tools } = await client.listTools();
  expect(tools.map(({ name, _meta: meta }) => [name, meta])).toEqual([
    ["transfer", { "proof402/guarded": true }],
    ["get_balance", undefined],
  ]);
  await closeAll();
});

describe("--check", () => {
  beforeEach(prepare);
  afterEach(closeAll);

  const check = (...more: string[]) =>
    runCli([
      "--config",
      world.config,
      "guard",
      "serve",
      "--rules",
      rules,
      "--check",
      "--json",
      ...more,
      "--",
      process.execPath,
      upstream.file,
      ledger,
    ]);

  test("shows what becomes of each tool, and a digest that pins its schema", async () => {
    const { code, stdout, stderr } = await check();
    expect([code, stderr]).toEqual([0, ""]);
    const { tools } = JSON.parse(stdout) as { tools: { name: string; schema: string }[] };
    expect(tools).toMatchObject([
      { name: "transfer", treated: "guarded", problem: null },
      { name: "get_balance", treated: "pass" },
      { name: "fails", treated: "guarded" },
      { name: "waits", treated: "guarded" },
      { name: "change", treated: "pass" },
    ]);
    const pinned = { ...RULES, tools: { transfer: { ...LIMITS, schema: tools[0]!.schema } } };
    await writeFile(rules, JSON.stringify(pinned));
    expect((await check()).code).toBe(0);
  });

  test("finds a name that the server does not have, and a schema that is not the pinned one", async () => {
    await writeFile(
      rules,
      JSON.stringify({ ...RULES, tools: { transfers: LIMITS, fails: { ...LIMITS, schema: "0".repeat(64) } } }),
    );
    const { code, stdout } = await check();
    expect(code).toBe(1);
    expect((JSON.parse(stdout) as { tools: unknown[] }).tools).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ name: "transfers", problem: expect.stringContaining("has no tool") as string }),
        expect.objectContaining({ name: "fails", problem: expect.stringContaining("is not the one pinned") as string }),
      ]),
    );
  });
});
