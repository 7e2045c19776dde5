import { once } from "node:events";
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { chmod, mkdtemp, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Client } from "@modelcontextprotocol/client";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { serveMcpHttp, type ServedMcp } from "../../mcp-server/http/serve.ts";
import { openBuyer } from "../../src/buyer/open.ts";
import type { Buyer } from "../../src/buyer/types.ts";
import { loadConfig } from "../../src/config/load.ts";
import { writeDevnet } from "../../src/devnet/index.ts";
import { readAttempts } from "../../src/payment/journal.ts";
import { openDatabase } from "../../src/storage/database.ts";
import { CLI, runCli } from "../support/cli.ts";
import { ETH_FEATURES, openMarket, type Market, writeVariant } from "../support/devnet.ts";
import { eventually } from "../support/eventually.ts";
import { bearer, clientNamed, connectOverHttp, eras, INITIALIZE, raw, type Era } from "../support/mcp-http.ts";

let market: Market;
let config: string;
let served: ServedMcp;
let careful: ServedMcp;
let blind: ServedMcp;
const open: Client[] = [];
/** The buyer of the first server. */
let opened: Buyer;

const open402 = async (file: string): Promise<Buyer> =>
  openBuyer({ config: await loadConfig({ path: file }), wallet: market.devnet.wallet });
const pages = { address: (id: string) => `http://127.0.0.1:1/approvals/${id}`, end: () => undefined };
const serve = async (file: string, buyer: () => Promise<Buyer> = () => open402(file)): Promise<ServedMcp> =>
  serveMcpHttp(buyer, {
    clients: [
      clientNamed("desk"),
      clientNamed("other"),
      { ...clientNamed("owner"), approvalPage: () => Promise.resolve(pages) },
      clientNamed("reader", ["read"]),
      clientNamed("poor", ["read", "buy"], { maxUsd: 0.025, per: "total" }),
      clientNamed("poorer", ["read", "buy"], { maxUsd: 0.025, per: "total" }),
    ],
  });
beforeAll(async () => {
  market = await openMarket();
  ({ config } = await writeDevnet(market.devnet, market.directory));
  opened = await open402(config);
  served = await serve(config, () => Promise.resolve(opened));
  blind = await serve(
    await writeVariant(config, join(market.directory, "blind.config.json"), ({ networks }) => {
      for (const network of networks) network.rpcUrl = "http://127.0.0.1:1";
    }),
  );
  careful = await serve(
    await writeVariant(config, join(market.directory, "careful.config.json"), (written) => {
      for (const asset of written.payment.assets) asset.approveAbove = "5000";
      written.database = "careful.db";
    }),
  );
});
afterEach(async () => {
  await Promise.all(open.splice(0).map((client) => client.close()));
});
afterAll(async () => {
  await Promise.all([served.stop(), careful.stop(), blind.stop()]);
  await market.stop();
});

async function connect(url: string, name: string, era: Era, options: Parameters<typeof connectOverHttp>[3] = {}) {
  const client = await connectOverHttp(url, name, era, options);
  open.push(client);
  return client;
}

const purchase = { model: "eth-risk", input: ETH_FEATURES, seller: "honest" };
type Bought = { paidNow: boolean; idempotencyKey: string; receipt: { id: string; verdict: string } };
const buy = async (client: Client, more: object = {}) => {
  const result = await client.callTool({ name: "buy_inference", arguments: { ...purchase, ...more } });
  return { result, bought: result.structuredContent as Bought };
};

async function attemptsOf(key: string, file = config) {
  const db = await openDatabase((await loadConfig({ path: file })).database);
  try {
    return await readAttempts(db, key);
  } finally {
    await db.destroy();
  }
}

describe.each(eras)("a client of %s over HTTP", (era) => {
  test("buys with progress before the result, and reads the receipt", async () => {
    const client = await connect(served.url, "desk", era);
    const heard: number[] = [];
    const { structuredContent } = await client.callTool(
      { name: "buy_inference", arguments: purchase },
      { onprogress: ({ progress }) => heard.push(progress) },
    );
    const { id } = (structuredContent as Bought).receipt;
    expect(heard).toEqual([1, 2, 3, 4, 5, 6, 7]);
    const { contents } = await client.readResource({ uri: `receipt://${id}` });
    expect(contents[0]).toMatchObject({ mimeType: "application/json" });
    await expect(client.readResource({ uri: `receipt://p402_${"a".repeat(52)}` })).rejects.toMatchObject({
      code: -32602,
    });
  });

  test("is told when a receipt it watches moves on", async () => {
    const client = await connect(served.url, "reader", era);
    const updated: string[] = [];
    client.setNotificationHandler("notifications/resources/updated", ({ params }) => void updated.push(params.uri));
    // Bought by another server over the same database, which cannot see the chain.
    const other = await connect(blind.url, "desk", "2025-11-25");
    /** Buys and watches. Null: it moved before. */
    const watched = async (): Promise<string | null> => {
      const { id } = (await buy(other)).bought.receipt;
      const uri = `receipt://${id}`;
      if (era === "2026-07-28") await client.listen({ resourceSubscriptions: [uri] });
      else await client.subscribeResource({ uri });
      const seen = await client.callTool({ name: "get_receipt", arguments: { id } });
      return (seen.structuredContent as Bought).receipt.verdict === "pending" ? uri : null;
    };
    const uri = (await watched()) ?? (await watched()) ?? (await watched());
    expect(uri).not.toBeNull();
    await client.callTool({
      name: "get_receipt",
      arguments: { id: uri?.slice("receipt://".length), wait_seconds: 20 },
    });
    await eventually(() => expect(updated).toContain(uri));
  });

  test("is asked before anything is signed, over the question's own round", async () => {
    const questions: string[] = [];
    const client = await connect(careful.url, "desk", era, {
      capabilities: { elicitation: { form: {} } },
      prepare: (one) =>
        one.setRequestHandler("elicitation/create", ({ params }) => {
          questions.push(params.message);
          return { action: "accept", content: { approve: true } };
        }),
    });
    const { bought } = await buy(client);
    expect(questions).toHaveLength(1);
    expect(bought.paidNow).toBe(true);
    const pages: string[] = [];
    const owner = await connect(careful.url, "owner", era, {
      capabilities: { elicitation: { url: {} } },
      prepare: (one) =>
        one.setRequestHandler("elicitation/create", ({ params }) => {
          pages.push("url" in params ? params.url : "a form");
          return { action: "cancel" };
        }),
    });
    expect((await buy(owner)).result.structuredContent).toMatchObject({
      error: { code: "approval_cancelled", money: "not-moved" },
    });
    expect(pages).toEqual([expect.stringMatching(/^http:\/\/127\.0\.0\.1:1\/approvals\/[0-9a-f]{8}$/)]);
    // Another client's person is no owner: it gets no page to answer on.
    const opens = await connect(careful.url, "desk", era, { capabilities: { elicitation: { url: {} } } });
    expect((await buy(opens)).result.structuredContent).toMatchObject({
      error: { code: "approval_required", money: "not-moved" },
    });
    const declines = await connect(careful.url, "desk", era, {
      capabilities: { elicitation: { form: {} } },
      prepare: (one) => one.setRequestHandler("elicitation/create", () => ({ action: "decline" })),
    });
    expect((await buy(declines)).result.structuredContent).toMatchObject({
      error: { code: "approval_declined", money: "not-moved" },
    });
  });

  test("finds receipts, decisions, prompts and the card, and has their ids completed", async () => {
    const client = await connect(served.url, "reader", era);
    const { id } = (await buy(await connect(served.url, "desk", era), { wait: "verified" })).bought.receipt;
    const decision = await opened.decide({
      purpose: "test",
      subject: era,
      receipts: [id],
      action: {},
      outcome: "noted",
    });
    const uris = (await client.listResources()).resources.map(({ uri }) => uri);
    expect(uris).toEqual(
      expect.arrayContaining([`receipt://${id}`, `decision://${decision.id}`, "ui://proof402/receipt"]),
    );
    const read = async (uri: string) =>
      (await client.readResource({ uri })).contents[0] as { text: string; mimeType: string };
    expect(JSON.parse((await read(`decision://${decision.id}`)).text)).toEqual(decision);
    await expect(client.readResource({ uri: "decision://dec_nothing" })).rejects.toMatchObject({ code: -32602 });
    const card = await read("ui://proof402/receipt");
    expect(card.mimeType).toBe("text/html;profile=mcp-app");
    expect(card.text).toMatch(/Content-Security-Policy.*default-src/i);
    const complete = async (ref: object, name: string, value: string) =>
      (await client.complete({ ref: ref as { type: "ref/prompt"; name: string }, argument: { name, value } }))
        .completion.values;
    const template = (scheme: string) => ({ type: "ref/resource", uri: `${scheme}://{id}` });
    expect(await complete(template("receipt"), "id", id.slice(0, 20))).toEqual([id]);
    expect(await complete(template("decision"), "id", decision.id.slice(0, 20))).toEqual([decision.id]);
    expect(await complete({ type: "ref/prompt", name: "buy_and_verify" }, "model", "eth-")).toEqual(["eth-risk"]);
    for (const name of ["judge", "explain_receipt"]) {
      expect(await complete({ type: "ref/prompt", name }, "receipt_id", id.slice(0, 20))).toEqual([id]);
      const { messages } = await client.getPrompt({ name, arguments: { receipt_id: id } });
      expect(JSON.stringify(messages)).toContain(id);
    }
    const { prompts } = await client.listPrompts();
    for (const { icons } of prompts) expect(icons?.[0]?.src).toMatch(/^data:image\/svg\+xml,%3Csvg /);
    expect(client.getServerVersion()?.icons).toEqual(prompts[0]?.icons);
    expect(prompts.map(({ name }) => name)).toEqual(["judge", "buy_and_verify", "explain_receipt"]);
    const bound = { model: "eth-risk", task: "t", max_usd: "0.02" };
    expect(JSON.stringify(await client.getPrompt({ name: "buy_and_verify", arguments: bound }))).toContain("max_usd");
    const { tools } = await client.listTools();
    expect(tools.filter(({ _meta: meta }) => meta !== undefined).map(({ name }) => name)).toEqual([
      "buy_inference",
      "get_receipt",
      "verify_receipt",
    ]);
  });

  test("may give its idempotency key in _meta, and no other in its arguments", async () => {
    const client = await connect(served.url, "desk", era);
    const key = crypto.randomUUID();
    const called = async (meta: unknown, args: object = {}) =>
      (await client.callTool({
        name: "buy_inference",
        arguments: { ...purchase, ...args },
        _meta: { "proof402/idempotency-key": meta },
      })) as { structuredContent: Bought };
    const [first, again, same] = [await called(key), await called(key), await called(key, { idempotency_key: key })];
    const results = [first, again, same].map(({ structuredContent }) => structuredContent);
    expect(results.map(({ paidNow }) => paidNow)).toEqual([true, false, false]);
    expect(results.map(({ idempotencyKey }) => idempotencyKey)).toEqual([key, key, key]);
    for (const refused of [
      await called(key, { idempotency_key: crypto.randomUUID() }),
      ...(await Promise.all([7, "", null, "a b c d e f"].map((meta) => called(meta)))),
    ])
      expect(refused).toMatchObject({
        isError: true,
        structuredContent: { error: { code: "invalid_input", money: "not-moved" } },
      });
  });

  test("reads the server's log only if it asks for one", async () => {
    const client = await connect(served.url, "desk", era);
    const lines: unknown[] = [];
    client.setNotificationHandler("notifications/message", ({ params }) => void lines.push(params));
    await client.callTool({ name: "spending", arguments: {} });
    const meta = { "io.modelcontextprotocol/logLevel": "warning" };
    // oxlint-disable-next-line typescript/no-deprecated -- clients of 2025 ask in no other way
    if (era === "2025-11-25") await client.setLoggingLevel("warning");
    for (const args of [{}, { id: "p402_none" }])
      await client.callTool({
        name: "get_receipt",
        arguments: { id: "p402_other", ...args },
        ...(era === "2025-11-25" ? {} : { _meta: meta }),
      });
    expect(lines).toEqual(
      Array.from({ length: 2 }, () => ({
        level: "warning",
        logger: "proof402",
        data: { tool: "get_receipt", status: "error", code: "receipt_not_found", money: null },
      })),
    );
  });

  test("T201: cannot take up another client's call by its key", async () => {
    const key = crypto.randomUUID();
    const [one, two] = [await connect(served.url, "desk", era), await connect(served.url, "other", era)];
    expect((await buy(one, { idempotency_key: key })).bought.paidNow).toBe(true);
    expect((await buy(one, { idempotency_key: key })).bought.paidNow).toBe(false);
    // Nothing of the other's purchase is told, whatever the call comes to.
    for (const [more, code] of [
      [{}, "idempotency_conflict"],
      [{ model: "no-such-model" }, "idempotency_conflict"],
      [{ input: { features: "\ud800" } }, "invalid_input"],
    ] as const) {
      const { result } = await buy(two, { idempotency_key: key, ...more });
      const { error } = result.structuredContent as { error: Record<string, unknown> };
      expect(error).toMatchObject({ code });
      expect(["not-moved", undefined]).toContain(error["money"]);
      expect(error).not.toHaveProperty("idempotencyKey");
      expect(JSON.stringify(result)).not.toMatch(/on chain|may still move|earlier call with this key/);
    }
    expect((await buy(two, { idempotency_key: key })).result.content[0]).toMatchObject({
      text: expect.stringContaining("This call paid nothing: no money moved by it."),
    });
    // Its own other call is told its own money.
    const own = (await buy(one, { idempotency_key: key, max_usd: 0.05 })).result.structuredContent;
    expect(own).toMatchObject({ error: { code: "idempotency_conflict", idempotencyKey: key } });
    expect((own as { error: { money: string } }).error.money).toMatch(/^(?:moved|may-move)$/);
    expect(await attemptsOf(key)).toMatchObject([{ client: "desk" }]);
  });

  test("T201: spends no more than its budget, six calls at once and after a restart of the server", async () => {
    const name = era === "2026-07-28" ? "poor" : "poorer";
    const client = await connect(served.url, name, era);
    const results = await Promise.all(
      Array.from({ length: 6 }, (_, at) => buy(client, { idempotency_key: `${name}-call-${at}` })),
    );
    const paid = results.filter(({ result }) => result.isError !== true);
    expect(paid).toHaveLength(2);
    for (const { result } of results.filter((one) => !paid.includes(one)))
      expect(result.structuredContent).toMatchObject({ error: { code: "over_client_cap", money: "not-moved" } });
    const again = await serve(config);
    const later = await connect(again.url, name, era);
    expect((await buy(later)).result.structuredContent).toMatchObject({ error: { code: "over_client_cap" } });
    const spent = await later.callTool({ name: "spending", arguments: {} });
    expect(spent.structuredContent).toMatchObject({
      client: { name, per: "total", assets: [{ symbol: "USDC", limit: "25000" }, { symbol: "DAI" }] },
    });
    await later.close();
    await again.stop();
  });
});

describe("a connection that ends", () => {
  const buying = (key: string, token: string) => ({
    jsonrpc: "2.0",
    id: "b",
    method: "tools/call",
    params: {
      name: "buy_inference",
      arguments: { ...purchase, wait: "verified", ...(key === "" ? {} : { idempotency_key: key }) },
      _meta: { progressToken: token },
    },
  });
  const modern = (message: ReturnType<typeof buying>) => ({
    ...message,
    params: {
      ...message.params,
      _meta: {
        ...message.params._meta,
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": { name: "test", version: "1" },
      },
    },
  });
  async function headersFor(era: Era): Promise<Record<string, string>> {
    if (era === "2026-07-28")
      return {
        ...bearer("desk"),
        "mcp-protocol-version": era,
        "mcp-method": "tools/call",
        "mcp-name": "buy_inference",
      };
    const { headers } = await raw(served.url, { headers: bearer("desk"), body: INITIALIZE });
    return { ...bearer("desk"), "mcp-session-id": String(headers["mcp-session-id"]) };
  }
  const reached = (step: number) => (text: string) => text.includes(`"progress":${step},`);

  test.each(eras.flatMap((era) => [4, 5, 6, 7].map((step) => [era, step] as const)))(
    "T202: of %s at step %i loses no purchase: its receipt is stored, and the same call finds it",
    async (era, step) => {
      const key = crypto.randomUUID();
      const message = buying(key, "t");
      const headers = await headersFor(era);
      const body = era === "2026-07-28" ? modern(message) : message;
      await raw(served.url, { headers, body, until: reached(step) });
      await eventually(async () => {
        const attempts = await attemptsOf(key);
        expect(attempts.length).toBeGreaterThanOrEqual(step >= 5 ? 1 : 0);
        const out = attempts.filter(({ state }) => ["sent", "answered", "settled"].includes(state));
        expect(out.map(({ receiptId }) => receiptId)).not.toContain(null);
      });
      const attempts = (await attemptsOf(key)).filter(({ receiptId }) => receiptId !== null);
      const { bought } = await buy(await connect(served.url, "desk", era), { idempotency_key: key, wait: "verified" });
      expect(bought.paidNow).toBe(attempts.length === 0);
      expect(bought.receipt.id).toBe(attempts[0]?.receiptId ?? bought.receipt.id);
      expect((await attemptsOf(key)).filter(({ state }) => state !== "released")).toHaveLength(1);
    },
  );

  test.each(eras)(
    "T202: of %s after the payment leaves the call open: an equal one without a key pays nothing",
    async (era) => {
      const before = (await buy(await connect(served.url, "desk", era), { max_usd: 0.5 })).bought;
      const message = buying("", "t");
      message.params.arguments = { ...message.params.arguments, max_usd: 0.5 } as never;
      await raw(served.url, {
        headers: await headersFor(era),
        body: era === "2026-07-28" ? modern(message) : message,
        until: reached(6),
      });
      const { bought } = await buy(await connect(served.url, "desk", era), { max_usd: 0.5 });
      expect(bought.paidNow).toBe(false);
      expect(bought.receipt.id).not.toBe(before.receipt.id);
    },
  );

  test("a request id that is sent again in its session is not paid again", async () => {
    const headers = await headersFor("2025-11-25");
    const body = buying("", "t");
    const [first, again] = [await raw(served.url, { headers, body }), await raw(served.url, { headers, body })];
    const of = ({ text }: typeof first): Bought =>
      (
        JSON.parse(
          /^data: (\{"result.*)$/m.exec(text)?.[1] ?? /^data: (\{.*"structuredContent".*)$/m.exec(text)?.[1] ?? "{}",
        ) as { result: { structuredContent: Bought } }
      ).result.structuredContent;
    expect([of(first).paidNow, of(again).paidNow]).toEqual([true, false]);
    expect(of(again).receipt.id).toBe(of(first).receipt.id);
  });
});

describe("proof402 mcp --http", () => {
  test("writes a token that its owner alone reads, adds clients, and ends at SIGTERM once a paid answer is stored", async () => {
    const added = await runCli([
      "--config",
      config,
      "mcp-clients",
      "add",
      "till",
      "--buy",
      "--max-usd",
      "5",
      "--per",
      "day",
      "--json",
    ]);
    const { token } = JSON.parse(added.stdout) as { token: string };
    const twice = await runCli(["--config", config, "mcp-clients", "add", "till"]);
    const owner = await runCli(["--config", config, "mcp-clients", "add", "owner"]);
    expect([added.code, twice.code, owner.code]).toEqual([0, 64, 64]);
    expect((await stat(join(market.directory, "mcp-clients.json"))).mode & 0o777).toBe(0o600);
    const child = spawn(process.execPath, [CLI, "--config", config, "--json", "mcp", "--http", "--port", "0"], {
      env: { PATH: process.env["PATH"] ?? "" },
    });
    const ended = once(child, "exit");
    const [line] = (await once(createInterface({ input: child.stdout }), "line")) as [string];
    const { url, tokenFile, clients } = JSON.parse(line) as { url: string; tokenFile: string; clients: string[] };
    expect((await stat(tokenFile)).mode & 0o777).toBe(0o600);
    expect(clients).toEqual(["owner", "till"]);
    const authorization = `Bearer ${token}`;
    // The file may change while the server runs.
    const cli = async (...args: string[]) => JSON.parse((await runCli(["--config", config, "--json", ...args])).stdout);
    const { token: brief } = (await cli("mcp-clients", "add", "brief")) as { token: string };
    const opens = async (one: string) =>
      (await raw(url, { headers: { authorization: `Bearer ${one}` }, body: INITIALIZE })).status;
    expect(await opens(brief)).toBe(200);
    expect((await runCli(["--config", config, "mcp-clients", "remove", "nobody"])).code).toBe(64);
    await cli("mcp-clients", "remove", "brief");
    expect([await opens(brief), await opens(token)]).toEqual([401, 200]);
    const file = join(market.directory, "mcp-clients.json");
    await chmod(file, 0o644);
    const owners = (await readFile(tokenFile, "utf8")).trim();
    expect([await opens(token), await opens(owners)]).toEqual([401, 200]);
    await chmod(file, 0o600);
    expect(await opens(token)).toBe(200);
    const { headers } = await raw(url, { headers: { authorization }, body: INITIALIZE });
    const key = crypto.randomUUID();
    const answer = await raw(url, {
      headers: { authorization, "mcp-session-id": String(headers["mcp-session-id"]) },
      body: {
        jsonrpc: "2.0",
        id: 1,
        method: "tools/call",
        params: {
          name: "buy_inference",
          arguments: { ...purchase, wait: "verified", idempotency_key: key },
          _meta: { progressToken: "t" },
        },
      },
      until: (text) => {
        if (text.includes('"progress":5,')) child.kill("SIGTERM");
        return false;
      },
    });
    // The client reads what became of its money, with the key.
    expect(answer.text).toMatch(new RegExp(`"code":"aborted".*"idempotencyKey":"${key}"|"paidNow":true`));
    expect(await ended).toEqual([0, null]);
    const attempts = await attemptsOf(key);
    expect(attempts).toMatchObject([{ client: "till" }]);
    expect(attempts[0]?.receiptId).not.toBeNull();
  });

  test("the page's commands and its entry for a host hold", async () => {
    const page = await readFile(join(import.meta.dirname, "../../docs/mcp.md"), "utf8");
    const blocks = (kind: string) =>
      [...page.matchAll(new RegExp(`^\`\`\`${kind}\\n([\\s\\S]*?)^\`\`\``, "gm"))].map(([, block = ""]) =>
        block.trim(),
      );
    const [[serving], [adding]] = [blocks("text"), blocks("sh")];
    const folder = await mkdtemp(join(market.directory, "page-"));
    const own = await writeVariant(config, join(folder, "proof402.config.json"), () => undefined);
    const tokens: string[] = [];
    for (const line of (adding ?? "").split("\n")) {
      const { stdout } = await runCli(["--config", own, ...line.split(" ").slice(1)]);
      tokens.push(stdout.split("\n")[0] ?? "");
    }
    const args = (serving ?? "")
      .split(" ")
      .slice(1)
      .map((word) => (word === "4021" ? "0" : word));
    const child = spawn(process.execPath, [CLI, "--config", own, ...args], {
      env: { PATH: process.env["PATH"] ?? "" },
    });
    const ended = once(child, "exit");
    const [line] = (await once(createInterface({ input: child.stdout }), "line")) as [string];
    const url = /http:\S+(?=\.)/.exec(line)?.[0] ?? "";
    const [entry] = blocks("json");
    const host = (
      JSON.parse(entry ?? "") as { mcpServers: { proof402: { url: string; headers: { Authorization: string } } } }
    ).mcpServers.proof402;
    expect(url).toBe(host.url.replace("4021", new URL(url).port));
    const [desk, auditor] = tokens.map((token) => ({
      authorization: host.headers.Authorization.replace("TOKEN", token),
    }));
    expect((await raw(url, { headers: desk ?? {}, body: INITIALIZE })).status).toBe(200);
    const call = { jsonrpc: "2.0", id: 1, method: "tools/call", params: { name: "buy_inference", arguments: {} } };
    expect((await raw(url, { headers: auditor ?? {}, body: call })).status).toBe(403);
    child.kill("SIGTERM");
    expect(await ended).toEqual([0, null]);
  });
});
