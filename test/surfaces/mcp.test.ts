import { spawn, type ChildProcessWithoutNullStreams } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { join } from "node:path";
import { Client } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { writeDevnet } from "../../src/devnet/index.ts";
import { parseReceipt } from "../../src/receipts/receipt.ts";
import { CLI } from "../support/cli.ts";
import { ETH_FEATURES, openMarket, type Market, writeVariant } from "../support/devnet.ts";
import { eventually } from "../support/eventually.ts";

let market: Market;
let config: string;
let careful: string;
beforeAll(async () => {
  market = await openMarket();
  ({ config } = await writeDevnet(market.devnet, market.directory));
  careful = await writeVariant(config, join(market.directory, "careful.config.json"), (written) => {
    for (const asset of written.payment.assets) asset.approveAbove = "5000";
    written.database = "careful.db";
  });
});
afterAll(async () => {
  await Promise.all([...shared.values()].map((client) => client.close()));
  await market.stop();
});

const server = (file: string) => ({
  command: process.execPath,
  args: [CLI, "--config", file, "mcp"],
  env: { PATH: process.env["PATH"] ?? "" },
});
const purchase = { model: "eth-risk", input: ETH_FEATURES, seller: "honest" };
type Bought = { paidNow: boolean; receipt: { id: string; verdict: string } };

const open: Client[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((client) => client.close()));
});

const ERAS = { "2026-07-28": { mode: { pin: "2026-07-28" } }, "2025-11-25": { mode: "legacy" } } as const;
type Era = keyof typeof ERAS;
const eras = Object.keys(ERAS) as Era[];

async function connect(
  era: Era,
  options: { config?: string; answer?: (message: string) => "accept" | "decline" } = {},
): Promise<Client> {
  const { answer } = options;
  const client = new Client(
    { name: "test", version: "1" },
    { versionNegotiation: ERAS[era], ...(answer === undefined ? {} : { capabilities: { elicitation: { form: {} } } }) },
  );
  if (answer !== undefined) {
    client.setRequestHandler("elicitation/create", ({ params }) =>
      answer(params.message) === "accept" ? { action: "accept", content: { approve: true } } : { action: "decline" },
    );
  }
  await client.connect(new StdioClientTransport(server(options.config ?? config)));
  open.push(client);
  return client;
}

/** A client for tests that leave nothing behind in their server. */
const shared = new Map<Era, Client>();
async function sharedClient(era: Era): Promise<Client> {
  const client = shared.get(era) ?? (await connect(era));
  shared.set(era, client);
  open.splice(0, open.length, ...open.filter((one) => one !== client));
  return client;
}

describe.each(eras)("a client of %s", (era) => {
  test("sees five tools whose schemas say what is asked and stay small", async () => {
    const client = await sharedClient(era);
    const { tools } = await client.listTools();
    // All that a client gets of them, and the instructions: one token is some four characters.
    expect((JSON.stringify(tools).length + (client.getInstructions() ?? "").length) / 4).toBeLessThanOrEqual(1500);
    expect(tools.map((tool) => tool.name)).toEqual([
      "list_models",
      "buy_inference",
      "get_receipt",
      "verify_receipt",
      "spending",
    ]);
    const buy = tools.find((tool) => tool.name === "buy_inference");
    expect(buy?.inputSchema).toMatchObject({
      type: "object",
      required: ["model", "input"],
      additionalProperties: false,
    });
    expect(Object.keys(buy?.outputSchema?.properties ?? {})).toEqual([
      "answer",
      "readable",
      "answerNote",
      "receipt",
      "paidNow",
      "stored",
      "idempotencyKey",
      "next",
      "error",
    ]);
    const outputs = tools.reduce((sum, tool) => sum + JSON.stringify(tool.outputSchema).length, 0);
    expect(outputs / 4).toBeLessThan(800);
  });

  test("may write arguments as hosts do, and never buys without a bound it wrote", async () => {
    const client = await sharedClient(era);
    const call = (args: Record<string, unknown>) => client.callTool({ name: "buy_inference", arguments: args });
    const written = { ...purchase, input: JSON.stringify(ETH_FEATURES), max_usd: "0.05", wait: null, seller: "honest" };
    const bought = await call({ ...written, idempotency_key: "", task_progress: "- [ ] buy" });
    expect(bought.isError ?? false).toBe(false);
    const refused = await call({ ...written, maxUsd: 0.000001 });
    expect(refused).toMatchObject({
      isError: true,
      structuredContent: { error: { code: "invalid_input", money: "not-moved" } },
    });
    const dear = await call({ ...written, max_usd: "0.0000001", idempotency_key: crypto.randomUUID() });
    expect(dear).toMatchObject({ isError: true, structuredContent: { error: { money: "not-moved" } } });
    const spent = await client.callTool({ name: "spending" });
    expect(spent.isError ?? false).toBe(false);
    const waited = await client.callTool({
      name: "get_receipt",
      arguments: { id: (bought.structuredContent as Bought).receipt.id, wait_seconds: "60" },
    });
    expect(waited.isError ?? false).toBe(false);
  });

  test("gets input that does not fit back as a result with code, money and field", async () => {
    const client = await sharedClient(era);
    const result = await client.callTool({ name: "buy_inference", arguments: { model: 7, input: {}, widen: true } });
    expect(result.isError).toBe(true);
    expect(result.structuredContent).toMatchObject({ error: { code: "invalid_input", money: "not-moved" } });
    expect((result.content as { text: string }[])[0]?.text).toMatch(/model: .*No money moved/s);
  });

  test("is asked before anything is signed, and pays once what was approved", async () => {
    const questions: string[] = [];
    const client = await connect(era, { config: careful, answer: (message) => (questions.push(message), "accept") });
    const before = await client.callTool({ name: "spending", arguments: {} });
    const result = await client.callTool({ name: "buy_inference", arguments: purchase });
    const after = await client.callTool({ name: "spending", arguments: {} });
    expect(questions).toHaveLength(1);
    expect(questions[0]).toContain(market.devnet.sellers.honest.payTo);
    expect(result.structuredContent).toMatchObject({ paidNow: true });
    const calls = ({ structuredContent }: typeof before): number =>
      (structuredContent as { callsLastHour: number }).callsLastHour;
    expect(calls(after) - calls(before)).toBe(1);
  });

  test("that declines pays nothing", async () => {
    const client = await connect(era, { config: careful, answer: () => "decline" });
    const result = await client.callTool({ name: "buy_inference", arguments: purchase });
    expect(result.structuredContent).toMatchObject({ error: { code: "approval_declined", money: "not-moved" } });
  });

  test("hears of progress that only grows, also across a question", async () => {
    const heard: number[] = [];
    const client = await connect(era, { config: careful, answer: () => "accept" });
    await client.callTool(
      { name: "buy_inference", arguments: purchase },
      { onprogress: ({ progress, total }) => total === 7 && heard.push(progress) },
    );
    // A client of 2026 makes a new request after each question, and its progress begins anew.
    const last = era === "2026-07-28" ? heard.slice(heard.lastIndexOf(1)) : heard;
    expect(last.slice(0, 6)).toEqual([1, 2, 3, 4, 5, 6]);
  });

  test("reads receipts as resources that verify on their own", async () => {
    const client = await sharedClient(era);
    const { structuredContent } = await client.callTool({
      name: "buy_inference",
      arguments: { ...purchase, wait: "verified" },
    });
    const { id } = (structuredContent as Bought).receipt;
    const { contents } = await client.readResource({ uri: `receipt://${id}` });
    const [content] = contents;
    const parsed = parseReceipt(content !== undefined && "text" in content ? content.text : "");
    expect(parsed.ok && parsed.receipt.id).toBe(id);
    expect((await client.listResources()).resources.map((one) => one.uri)).toContain(`receipt://${id}`);
    await expect(client.readResource({ uri: `receipt://p402_${"a".repeat(52)}` })).rejects.toMatchObject({
      code: -32602,
    });
  });

  test("is told when a receipt it watches moves on", async () => {
    const client = await connect(era);
    const updated: string[] = [];
    client.setNotificationHandler("notifications/resources/updated", ({ params }) => void updated.push(params.uri));
    const other = await connect("2025-11-25", { config: unreachable() });
    /** Buys by another process over the same database, which cannot see the chain, and watches. Null: it moved before. */
    const watched = async (): Promise<string | null> => {
      const { structuredContent } = await other.callTool({ name: "buy_inference", arguments: purchase });
      const { id } = (structuredContent as Bought).receipt;
      const uri = `receipt://${id}`;
      if (era === "2026-07-28") await client.listen({ resourceSubscriptions: [uri] });
      else await client.subscribeResource({ uri });
      const seen = await client.callTool({ name: "get_receipt", arguments: { id } });
      return (seen.structuredContent as Bought).receipt.verdict === "pending" ? uri : null;
    };
    const uri = (await watched()) ?? (await watched()) ?? (await watched());
    expect(uri).not.toBeNull();
    const id = uri!.slice("receipt://".length);
    await client.callTool({ name: "get_receipt", arguments: { id, wait_seconds: 20 } });
    await eventually(() => expect(updated).toContain(uri));
  });
});

/** The same database seen through a chain that cannot be reached: its purchases stay pending until another process looks. */
let unreachableConfig: string;
const unreachable = (): string => unreachableConfig;
beforeAll(async () => {
  unreachableConfig = await writeVariant(config, join(market.directory, "unreachable.config.json"), ({ networks }) => {
    for (const network of networks) network.rpcUrl = "http://127.0.0.1:1";
  });
});

describe("on the wire", () => {
  type Message = {
    id?: unknown;
    method?: string;
    params?: { progress?: number };
    result?: { structuredContent?: unknown; isError?: boolean };
    error?: unknown;
  };

  /** The server with nothing between it and the test. Every line it writes must be a message of the protocol. */
  function start(): {
    child: ChildProcessWithoutNullStreams;
    send(message: object): void;
    next(id: unknown): Promise<Message>;
    messages: Message[];
  } {
    const { command, args, env } = server(config);
    const child = spawn(command, args, { env });
    const messages: Message[] = [];
    const waiting = new Map<unknown, (message: Message) => void>();
    createInterface({ input: child.stdout }).on("line", (line) => {
      const message = JSON.parse(line) as Message & { jsonrpc: string };
      expect(message.jsonrpc).toBe("2.0");
      messages.push(message);
      waiting.get(message.id)?.(message);
      waiting.delete(message.id);
    });
    const send = (message: object): void =>
      void child.stdin.write(`${JSON.stringify({ jsonrpc: "2.0", ...message })}\n`);
    return { child, send, messages, next: (id) => new Promise((resolve) => waiting.set(id, resolve)) };
  }

  async function initialized(): Promise<ReturnType<typeof start>> {
    const wire = start();
    const ready = wire.next(0);
    wire.send({
      id: 0,
      method: "initialize",
      params: { protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name: "test", version: "1" } },
    });
    await ready;
    wire.send({ method: "notifications/initialized" });
    return wire;
  }

  const ask = async (wire: ReturnType<typeof start>, id: unknown, args: object = purchase): Promise<Message> => {
    const answer = wire.next(id);
    wire.send({ id, method: "tools/call", params: { name: "buy_inference", arguments: args } });
    return answer;
  };
  const bought = ({ result }: Message): Bought => result?.structuredContent as Bought;

  async function stop({ child }: ReturnType<typeof start>): Promise<void> {
    const ended = once(child, "exit");
    child.stdin.end();
    expect(await ended).toEqual([0, null]);
  }

  test("progress comes in order and before the result", async () => {
    const wire = await initialized();
    const answer = wire.next("p");
    wire.send({
      id: "p",
      method: "tools/call",
      params: { name: "buy_inference", arguments: purchase, _meta: { progressToken: "t" } },
    });
    await answer;
    const heard = wire.messages
      .slice(1)
      .map((message) => (message.method === "notifications/progress" ? message.params?.progress : message.id));
    expect(heard).toEqual([1, 2, 3, 4, 5, 6, 7, "p"]);
    await stop(wire);
  });

  test("progress goes on while the verdict is waited for, ever growing and before the result", async () => {
    const wire = await initialized();
    const answer = wire.next("w");
    wire.send({
      id: "w",
      method: "tools/call",
      params: {
        name: "buy_inference",
        arguments: { ...purchase, wait: "verified" },
        _meta: { progressToken: "t" },
      },
    });
    await answer;
    const heard = wire.messages
      .slice(1)
      .map((message) => (message.method === "notifications/progress" ? message.params?.progress : message.id));
    expect(heard.length).toBeGreaterThan(8);
    expect(heard).toEqual([...heard.slice(0, -1).map((_, at) => at + 1), "w"]);
    await stop(wire);
  });

  test("the same request sent again is not paid again, another request with the same arguments is", async () => {
    const wire = await initialized();
    const first = bought(await ask(wire, "one"));
    const again = bought(await ask(wire, "one"));
    const other = bought(await ask(wire, "two"));
    expect([first.paidNow, again.paidNow, other.paidNow]).toEqual([true, false, true]);
    expect(again.receipt.id).toBe(first.receipt.id);
    expect(other.receipt.id).not.toBe(first.receipt.id);
    await stop(wire);
  });

  test("the same idempotency_key is not paid again over another connection", async () => {
    const args = { ...purchase, idempotency_key: crypto.randomUUID() };
    const [one, two] = [await initialized(), await initialized()];
    const first = bought(await ask(one, 1, args));
    const again = bought(await ask(two, 1, args));
    expect([first.paidNow, again.paidNow]).toEqual([true, false]);
    expect(again.receipt.id).toBe(first.receipt.id);
    await stop(one);
    await stop(two);
  });

  test("arguments that are no Unicode text are refused and pay nothing, and no number of a call is rounded", async () => {
    const wire = await initialized();
    const exact = wire.next("n");
    // As text it names a receipt. Rounded it would be a number still, and none is an id.
    wire.child.stdin.write(
      '{"jsonrpc":"2.0","id":"n","method":"tools/call","params":{"name":"get_receipt","arguments":{"id":9007199254740993}}}\n',
    );
    expect((await exact).result).toMatchObject({ structuredContent: { error: { code: "receipt_not_found" } } });
    const answer = wire.next("u");
    wire.child.stdin.write(
      `{"jsonrpc":"2.0","id":"u","method":"tools/call","params":{"name":"buy_inference","arguments":{"model":"\\ud800","input":{}}}}\n`,
    );
    expect((await answer).result).toMatchObject({
      isError: true,
      structuredContent: { error: { code: "invalid_input", money: "not-moved" } },
    });
    await stop(wire);
  });

  test("a server whose client goes away in the middle of a purchase ends by itself, and the journal knows the rest", async () => {
    const wire = await initialized();
    const key = crypto.randomUUID();
    wire.send({
      id: 9,
      method: "tools/call",
      params: { name: "buy_inference", arguments: { ...purchase, idempotency_key: key }, _meta: { progressToken: 1 } },
    });
    await expect
      .poll(() => wire.messages.some((message) => message.method === "notifications/progress"), { timeout: 10_000 })
      .toBe(true);
    await stop(wire);
    const later = await initialized();
    const result = bought(await ask(later, 1, { ...purchase, idempotency_key: key }));
    const { structuredContent } = (await (async () => {
      const answer = later.next(2);
      later.send({ id: 2, method: "tools/call", params: { name: "spending", arguments: {} } });
      return (await answer).result;
    })()) as { structuredContent: { recent: { receiptId: string | null }[] } };
    expect(structuredContent.recent.filter((one) => one.receiptId === result.receipt.id)).toHaveLength(1);
    await stop(later);
  });

  test("a cancelled call is not answered, and the server goes on", async () => {
    const wire = await initialized();
    wire.send({ id: "c", method: "tools/call", params: { name: "buy_inference", arguments: purchase } });
    wire.send({ method: "notifications/cancelled", params: { requestId: "c" } });
    const next = bought(await ask(wire, "d"));
    expect(next.paidNow).toBe(true);
    expect(wire.messages.filter((message) => message.id === "c")).toEqual([]);
    await stop(wire);
  });
});
