import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createInterface } from "node:readline";
import { Client as LegacyClient } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport as LegacyStdio } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { ElicitRequestSchema } from "@modelcontextprotocol/sdk/types.js";
import { Client } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { writeDevnet } from "../../src/devnet/index.ts";
import { signIn } from "../dashboard/owner.ts";
import { CLI } from "../support/cli.ts";
import { ETH_FEATURES, openMarket, type Market, writeVariant } from "../support/devnet.ts";

let market: Market;
let config: string;
beforeAll(async () => {
  market = await openMarket();
  ({ config } = await writeDevnet(market.devnet, market.directory));
  await writeVariant(config, config, ({ payment }) => {
    for (const asset of payment.assets) asset.approveAbove = "5000";
  });
});
afterAll(() => market.stop());

const server = () => ({
  command: process.execPath,
  args: [CLI, "--config", config, "mcp"],
  env: { PATH: process.env["PATH"] ?? "" },
});
const purchase = { name: "buy_inference", arguments: { model: "eth-risk", input: ETH_FEATURES, seller: "honest" } };

type Answer = "accept" | "decline" | "cancel" | "absent" | "malformed" | "failing";
/** What a client's person, or the client in place of one, answers. */
function given(
  answer: Answer,
): { action: "accept"; content: { approve: boolean | string } } | { action: "decline" | "cancel" } {
  if (answer === "failing") throw new Error("no window to ask in");
  if (answer === "decline" || answer === "cancel") return { action: answer };
  return { action: "accept", content: { approve: answer === "malformed" ? "perhaps" : true } };
}

/** Speaks the protocol of 2026, in which a question ends the round of a call. */
const NEWEST = { versionNegotiation: { mode: { pin: "2026-07-28" } } } as const;

type Result = { isError?: boolean | undefined; structuredContent?: unknown };

/** Calls with a client that answers every question, and counts them. */
async function modern(answer: Answer, era: object = {}): Promise<{ result: Result; questions: string[] }> {
  const questions: string[] = [];
  const client = new Client(
    { name: "test", version: "1" },
    answer === "absent" ? era : { ...era, capabilities: { elicitation: { form: {} } } },
  );
  if (answer !== "absent") {
    client.setRequestHandler("elicitation/create", (request) => {
      questions.push(request.params.message);
      return given(answer);
    });
  }
  await client.connect(new StdioClientTransport(server()));
  const result = await client.callTool(purchase);
  await client.close();
  return { result, questions };
}

async function legacy(answer: Answer): Promise<{ result: Result; questions: string[] }> {
  const questions: string[] = [];
  const client = new LegacyClient(
    { name: "test", version: "1" },
    { capabilities: answer === "absent" ? {} : { elicitation: {} } },
  );
  if (answer !== "absent") {
    client.setRequestHandler(ElicitRequestSchema, (request) => {
      questions.push(request.params.message);
      return given(answer);
    });
  }
  await client.connect(new LegacyStdio(server()));
  const result = (await client.callTool(purchase)) as Result;
  await client.close();
  return { result, questions };
}

describe.each([
  ["v2", modern],
  ["v1", legacy],
] as const)("over MCP with a %s client, a payment above the threshold", (_name, call) => {
  test("is made once a person has approved amount and payee", async () => {
    const { result, questions } = await call("accept");
    expect(questions).toHaveLength(1);
    expect(questions[0]).toContain("0.01 USDC");
    expect(questions[0]).toContain(market.devnet.sellers.honest.payTo);
    expect(result.isError ?? false).toBe(false);
    expect(result.structuredContent).toMatchObject({ paidNow: true });
  });

  test("is not made when a person declines", async () => {
    const { result, questions } = await call("decline");
    expect(questions).toHaveLength(1);
    expect(result.isError).toBe(true);
    expect(result.structuredContent).toMatchObject({ error: { code: "approval_declined", money: "not-moved" } });
  });

  test("is not made when a person closes the question, which may be asked again", async () => {
    const { result, questions } = await call("cancel");
    expect(questions).toHaveLength(1);
    expect(result.isError).toBe(true);
    expect(result.structuredContent).toMatchObject({
      error: {
        code: "approval_cancelled",
        money: "not-moved",
        idempotencyKey: expect.any(String),
        next: expect.stringContaining("same idempotency key"),
      },
    });
  });

  test("is refused where the client cannot ask anybody", async () => {
    const { result } = await call("absent");
    expect(result.isError).toBe(true);
    expect(result.structuredContent).toMatchObject({ error: { code: "approval_required", money: "not-moved" } });
  });
});

const failed = {
  error: {
    code: "approval_failed",
    money: "not-moved",
    idempotencyKey: expect.any(String),
    next: expect.stringContaining("idempotency_key"),
  },
};

describe("a client that cannot be asked after all", () => {
  test.each<[string, Answer, (answer: Answer) => ReturnType<typeof legacy>]>([
    ["v2", "malformed", modern],
    ["2026-07-28", "malformed", (answer) => modern(answer, NEWEST)],
    ["v1", "malformed", legacy],
    ["v1", "failing", legacy],
  ])("(%s, %s) is told what became of the money, and the key", async (_name, answer, call) => {
    const before = await market.devnet.balanceOf(market.devnet.sellers.honest.payTo);
    const { result, questions } = await call(answer);
    expect(questions).toHaveLength(1);
    expect(result.isError).toBe(true);
    expect(result.structuredContent).toMatchObject(failed);
    expect(await market.devnet.balanceOf(market.devnet.sellers.honest.payTo)).toBe(before);
  });

  test("answers a question that this server did not ask, and is asked anew", async () => {
    const client = new Client(
      { name: "test", version: "1" },
      { ...NEWEST, capabilities: { elicitation: { form: {} } } },
    );
    await client.connect(new StdioClientTransport(server()));
    const answered = {
      ...purchase,
      requestState: "another process's",
      inputResponses: { approval: { action: "accept", content: { approve: true } } },
    };
    const result = await client.callTool(answered, { allowInputRequired: true });
    await client.close();
    expect(result).toMatchObject({ inputRequests: { approval: { method: "elicitation/create" } } });
  });
});

/** A client that opens addresses, with a person who answers each payment on its page, or none. */
type Opening = {
  urls: string[];
  messages: string[];
  answer: "approved" | "declined" | "nothing";
  pressed?: Promise<void>;
  /** What the client says once the person has answered on the page. It says that it opened the address at once, if absent. */
  after?: "decline" | "cancel" | "failing";
};
type Pressed = { action: "accept" | "decline" | "cancel" };

/** Takes a question, goes to its page as a browser does and answers there. */
async function openPage(opening: Opening, params: object): Promise<Pressed> {
  const { mode, message, url } = params as { mode: string; message: string; url: string };
  expect(mode).toBe("url");
  opening.urls.push(url);
  opening.messages.push(message);
  if (opening.answer === "nothing") return { action: "decline" };
  if (opening.after !== undefined) {
    await answerOn(url, opening.answer);
    if (opening.after === "failing") throw new Error("the window is gone");
    return { action: opening.after };
  }
  // Like a browser's: the client has answered that it opened the address before the person presses.
  opening.pressed = Promise.resolve().then(() => answerOn(url, opening.answer));
  return { action: "accept" };
}

async function answerOn(url: string, answer: string): Promise<void> {
  const owner = await signIn(url);
  const path = new URL(url).pathname;
  const page = await owner.get(path);
  expect(page.text).toContain(String(ETH_FEATURES.features[0]));
  expect(page.text).toContain(market.devnet.sellers.honest.payTo);
  expect((await owner.get("/receipts")).status).toBe(401);
  expect((await owner.press(path, answer, page)).status).toBe(303);
}

async function openingModern(opening: Opening): Promise<(more?: object) => Promise<Result>> {
  const client = new Client({ name: "test", version: "1" }, { ...NEWEST, capabilities: { elicitation: { url: {} } } });
  client.setRequestHandler("elicitation/create", ({ params }) => openPage(opening, params));
  await client.connect(new StdioClientTransport(server()));
  onTestFinished(() => client.close());
  return (more = {}) => client.callTool({ ...purchase, arguments: { ...purchase.arguments, ...more } });
}

async function openingLegacy(opening: Opening): Promise<(more?: object) => Promise<Result>> {
  const client = new LegacyClient(
    { name: "test", version: "1" },
    { capabilities: { elicitation: { url: {}, form: {} } } },
  );
  client.setRequestHandler(ElicitRequestSchema, ({ params }) => openPage(opening, params));
  await client.connect(new LegacyStdio(server()));
  onTestFinished(() => client.close());
  return async (more = {}) =>
    (await client.callTool({ ...purchase, arguments: { ...purchase.arguments, ...more } })) as Result;
}

describe.each([
  ["2026-07-28", openingModern],
  ["2025-11-25", openingLegacy],
] as const)("a client of %s that opens addresses", (_name, opened) => {
  test("has its person answer on the payment's own page, which nothing but that page approves", async () => {
    const paid = () => market.devnet.balanceOf(market.devnet.sellers.honest.payTo);
    const before = await paid();
    const opening: Opening = { urls: [], messages: [], answer: "declined" };
    const call = await opened(opening);
    expect((await call({ idempotency_key: `declined ${_name}`.replace(" ", "-") })).structuredContent).toMatchObject({
      error: { code: "approval_declined", money: "not-moved" },
    });
    opening.answer = "nothing";
    expect((await call({ idempotency_key: `nothing ${_name}`.replace(" ", "-") })).structuredContent).toMatchObject({
      error: { code: "approval_declined", money: "not-moved" },
    });
    expect(await paid()).toBe(before);
    opening.answer = "approved";
    expect((await call()).structuredContent).toMatchObject({ paidNow: true });
    await opening.pressed;
    expect(await paid()).toBe(before + 10_000n);
    expect(opening.messages[2]).toContain("0.01 USDC");
    expect(new Set(opening.urls).size).toBe(3);
    for (const url of opening.urls)
      expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/approvals\/[0-9a-f]{8}#[\w-]{43}$/);
  });

  test("pays by no yes of a page after its question was declined or closed", async () => {
    const paid = () => market.devnet.balanceOf(market.devnet.sellers.honest.payTo);
    const before = await paid();
    const opening: Opening = { urls: [], messages: [], answer: "approved" };
    const call = await opened(opening);
    const code = async (key: string) =>
      ((await call({ idempotency_key: key })).structuredContent as { error?: { code: string } }).error?.code;
    opening.after = "decline";
    expect(await code(`no-${_name}`)).toBe("approval_declined");
    expect(await code(`no-${_name}`)).toBe("approval_declined");
    expect(opening.urls).toHaveLength(1);
    expect(await signIn(opening.urls[0] ?? "").catch(() => "ended")).toBe("ended");
    opening.after = "cancel";
    const cancelled = await call({ idempotency_key: `closed-${_name}` });
    expect(cancelled.structuredContent).toMatchObject({
      error: {
        code: "approval_cancelled",
        message: expect.stringContaining("the yes given on its page was taken back"),
      },
    });
    opening.answer = "declined";
    expect(await code(`closed-${_name}`)).toBe("approval_declined");
    expect(opening.urls).toHaveLength(3);
    expect(await paid()).toBe(before);
  });
});

test("a yes given on a page is taken back by a client that then fails, and asks again", async () => {
  const opening: Opening = { urls: [], messages: [], answer: "approved", after: "failing" };
  const call = await openingLegacy(opening);
  expect((await call({ idempotency_key: "failing-key" })).structuredContent).toMatchObject(failed);
  opening.answer = "declined";
  expect((await call({ idempotency_key: "failing-key" })).structuredContent).toMatchObject({
    error: { code: "approval_declined", money: "not-moved" },
  });
  expect(opening.urls).toHaveLength(2);
});

test("a server for clients on other machines sends none to a page of this one, but asks in their own form", async () => {
  const child = spawn(
    process.execPath,
    [CLI, "--config", config, "--json", "mcp", "--http", "--host", "0.0.0.0", "--port", "0"],
    { env: { PATH: process.env["PATH"] ?? "" } },
  );
  onTestFinished(() => void child.kill());
  const [line] = (await once(createInterface({ input: child.stdout }), "line")) as [string];
  const { url, tokenFile } = JSON.parse(line) as { url: string; tokenFile: string };
  const authorization = `Bearer ${(await readFile(tokenFile, "utf8")).trim()}`;
  const client = new LegacyClient(
    { name: "test", version: "1" },
    { capabilities: { elicitation: { url: {}, form: {} } } },
  );
  const modes: unknown[] = [];
  client.setRequestHandler(ElicitRequestSchema, ({ params }) => {
    modes.push(params.mode);
    return { action: "decline" };
  });
  await client.connect(
    new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers: { authorization } } }),
  );
  const { structuredContent } = await client.callTool(purchase);
  await client.close();
  expect(structuredContent).toMatchObject({ error: { code: "approval_declined" } });
  expect(modes).toEqual(["form"]);
});
