import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Buyer } from "../../src/buyer/types.ts";
import type { ProxyOptions } from "../../src/proxy/proxy.ts";
import type { ServedProxy } from "../../src/proxy/serve.ts";
import { sellerSchema } from "../../src/market/types.ts";
import { buyerOf, chatServer } from "../support/chat-server.ts";
import { openMarket, type Market } from "../support/devnet.ts";
import { eventually } from "../support/eventually.ts";
import { gate } from "../support/gate.ts";
import { oysterAnswer, oysterKey } from "../support/oyster.ts";
import { PROXY_TOKEN, servedProxy } from "../support/served-proxy.ts";
import { streamingChat, type StreamingChat } from "../support/streaming-chat.ts";

const token = PROXY_TOKEN;
const serving: ServedProxy[] = [];
let market: Market;
let buyer: Buyer;
let seller: StreamingChat;
let base: string;
let strict: string;
let slow: string;

async function serve(options: Partial<ProxyOptions>): Promise<string> {
  const bounds = { seller: "chat", assurance: "none" } as const;
  const served = await servedProxy({ buyer, bounds, ...options });
  serving.push(served);
  return served.baseUrl;
}

beforeAll(async () => {
  market = await openMarket({ chat: true });
  buyer = await market.buyer();
  seller = await streamingChat(market);
  base = await serve({});
  strict = await serve({ strict: true });
  slow = await serve({ buyer: await buyerOf(market, seller) });
});
afterAll(async () => {
  await Promise.all(serving.map((one) => one.stop()));
  await market.stop();
  await seller.stop();
});

let count = 0;
beforeEach(() => void (count += 1));
/** A text that no other test asks with. */
const words = (text = "hello"): string => `${text} ${count}`;
const chat = (content = words(), rest: object = {}): object => ({
  model: "devnet-chat",
  messages: [{ role: "user", content }],
  ...rest,
});

type Asking = { at?: string; path?: string; headers?: Record<string, string>; signal?: AbortSignal };
const ask = (
  body: object | string,
  { at = base, path = "/chat/completions", headers = {}, signal }: Asking = {},
): Promise<Response> =>
  fetch(`${at}${path}`, {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json", ...headers },
    body: typeof body === "string" ? body : JSON.stringify(body),
    ...(signal === undefined ? {} : { signal }),
  });
const paidCalls = async (): Promise<number> => (await buyer.spending()).callsLastHour;

type Frame = { choices?: { delta: { content?: string; tool_calls?: object[] } }[]; [name: string]: unknown };
async function framesOf(response: Response): Promise<(Frame | "[DONE]")[]> {
  const events = (await response.text()).split("\n\n").filter((text) => text !== "");
  return events.map((text) => {
    const data = text.replace(/^data: /, "");
    return data === "[DONE]" ? data : (JSON.parse(data) as Frame);
  });
}
const textOf = (frames: readonly (Frame | "[DONE]")[]): string =>
  frames.map((one) => (one === "[DONE]" ? "" : (one.choices?.[0]?.delta.content ?? ""))).join("");

describe("a chat", () => {
  test("is OpenAI's answer with its receipt in headers and body", async () => {
    const response = await ask(chat());
    const receipt = response.headers.get("x-proof402-receipt")!;
    expect(response.status).toBe(200);
    expect(response.headers.get("x-proof402-verdict")).toBe("unverified");
    expect(await response.json()).toMatchObject({
      id: `chatcmpl-${receipt}`,
      object: "chat.completion",
      model: "devnet-chat",
      choices: [
        {
          index: 0,
          message: { role: "assistant", content: `You said: ${words()}`, refusal: null },
          finish_reason: "stop",
        },
      ],
      usage: { total_tokens: expect.any(Number) },
      proof402: { receipt_id: receipt, verdict: "unverified", assurance: "none", paid_now: true },
    });
    expect((await buyer.getReceipt(receipt))?.id).toBe(receipt);
  });

  test("streams: pieces are marked, and the last frame alone says what the whole is", async () => {
    const response = await ask(chat(words(), { stream: true, stream_options: { include_usage: true } }));
    expect(response.headers.get("content-type")).toContain("text/event-stream");
    const frames = await framesOf(response);
    expect(frames.at(-1)).toBe("[DONE]");
    expect(frames.at(-2)).toMatchObject({ choices: [], usage: { total_tokens: expect.any(Number) } });
    expect(frames.at(-3)).toMatchObject({
      choices: [{ delta: {}, finish_reason: "stop" }],
      proof402: { verdict: "unverified", receipt_id: expect.stringMatching(/^p402_/) },
    });
    for (const frame of frames.slice(1, -3)) expect(frame).toMatchObject({ proof402: { unverified: true } });
    expect(textOf(frames)).toBe(`You said: ${words()}`);
    const bare = await framesOf(await ask(chat(words("bare"), { stream: true })));
    expect(bare.at(-2)).toMatchObject({ proof402: { verdict: "unverified" } });
  });

  test("calls tools, whole and streamed, and takes its own message back", async () => {
    const tools = [{ type: "function", function: { name: "get_price", parameters: { type: "object" } } }];
    const asked = `get_price {"n":${count}}`;
    const whole = await ask(chat(asked, { tools, tool_choice: "auto" }));
    const { choices } = (await whole.json()) as { choices: { message: { tool_calls: { id: string }[] } }[] };
    const { message } = choices[0]!;
    expect(message).toMatchObject({
      content: null,
      tool_calls: [{ type: "function", function: { name: "get_price", arguments: `{"n":${count}}` } }],
    });
    const frames = await framesOf(await ask(chat(asked, { tools, stream: true })));
    const deltas = frames.flatMap((one) => (one === "[DONE]" ? [] : (one.choices?.[0]?.delta.tool_calls ?? [])));
    expect(deltas[0]).toMatchObject({ index: 0, type: "function", function: { name: "get_price" } });
    const back = {
      model: "devnet-chat",
      tools,
      messages: [
        { role: "user", content: asked },
        message,
        { role: "tool", tool_call_id: message.tool_calls[0]!.id, content: "1" },
        { role: "user", content: words("and") },
      ],
    };
    expect((await ask(back)).status).toBe(200);
  });

  test("of a schema, a completion, and the list of models", async () => {
    const format = { type: "json_schema", json_schema: { name: "x", schema: { type: "object", properties: {} } } };
    const { choices } = (await (await ask(chat(words(), { response_format: format }))).json()) as {
      choices: { message: { content: string } }[];
    };
    expect(() => JSON.parse(choices[0]!.message.content) as unknown).not.toThrow();
    const completed = await ask({ model: "devnet-chat", prompt: words() }, { path: "/completions" });
    expect(await completed.json()).toMatchObject({
      object: "text_completion",
      choices: [{ text: `You said: ${words()}` }],
    });
    const list = await fetch(`${base}/models`, { headers: { authorization: `Bearer ${token}` } });
    const { data } = (await list.json()) as { data: { id: string; owned_by: string }[] };
    expect(data.map(({ id }) => id)).toEqual(expect.arrayContaining(["devnet-chat", "devnet-chat-large"]));
    expect(data.find(({ id }) => id === "devnet-chat")).toMatchObject({ object: "model", owned_by: "chat" });
    expect(data.map(({ id }) => id)).not.toContain("eth-risk");
  });
});

describe("--strict", () => {
  test("T140: answers 502 with the reason, and the same request sent again is not paid again", async () => {
    const before = await paidCalls();
    const refused = await ask(chat(), { at: strict });
    expect(refused.status).toBe(502);
    expect(refused.headers.get("x-should-retry")).toBe("false");
    const { error } = (await refused.json()) as { error: { message: string; receipt_id: string } };
    expect(error).toMatchObject({ code: "answer_not_verified", type: "api_error", param: null });
    expect(error.message).toContain("the verdict of receipt");
    const again = await ask(chat(), { at: strict });
    expect(again.headers.get("x-proof402-receipt")).toBe(error.receipt_id);
    const { model, messages } = chat() as { model: string; messages: object[] };
    const other = await ask({ metadata: { try: "3" }, user: "me", messages, model }, { at: strict });
    expect(other.headers.get("x-proof402-receipt")).toBe(error.receipt_id);
    const streamed = await ask(chat(words("s"), { stream: true }), { at: strict });
    expect(streamed.status).toBe(502);
    expect(streamed.headers.get("content-type")).toContain("json");
    expect(await paidCalls()).toBe(before + 2);
  });
});

describe("what is not bought", () => {
  const tooLarge =
    '"tools":[{"type":"function","function":{"name":"f","parameters":{"maximum":18446744073709551615}}}]';
  test.each<[string, number, string, object | string, Asking]>([
    ["an integer beyond a double", 400, "invalid_input", '"seed":9223372036854775807', {}],
    ["such a one in a tool's schema", 400, "invalid_input", tooLarge, {}],
    ["a key named twice", 400, "invalid_input", '"temperature":0,"temperature":1', {}],
    ["a field that sellers do not take", 400, "invalid_input", { logit_bias: {} }, {}],
    ["more answers than one", 400, "invalid_input", { n: 2 }, {}],
    ["an unknown model", 404, "model_not_found", { model: "other" }, {}],
    ["over the request's own limit", 403, "over_call_limit", {}, { headers: { "x-proof402-max-usd": "0.001" } }],
    ["from another seller than the proxy's", 400, "invalid_input", {}, { headers: { "x-proof402-seller": "honest" } }],
    ["under a key that is none", 400, "invalid_input", {}, { headers: { "idempotency-key": "short" } }],
  ])("%s: %i", async (_, status, code, rest, asking) => {
    const before = await paidCalls();
    const body = JSON.stringify(chat()).slice(0, -1);
    const response = await ask(typeof rest === "string" ? `${body},${rest}}` : chat(words(), rest), asking);
    expect(response.status).toBe(status);
    expect(await response.json()).toMatchObject({ error: { code, next: expect.any(String) } });
    expect(await paidCalls()).toBe(before);
  });

  test("twice under one key", async () => {
    const headers = { "idempotency-key": `key-of-test-${count}` };
    const first = await ask(chat(), { headers });
    const second = await ask(chat(), { headers });
    expect(second.headers.get("x-proof402-receipt")).toBe(first.headers.get("x-proof402-receipt"));
    expect(await second.json()).toMatchObject({ proof402: { paid_now: false } });
    const other = await ask(chat(words("other")), { headers });
    expect(other.status).toBe(409);
  });
});

test("what stays here of a request is named, and defaults are no fields", async () => {
  const response = await ask(chat(words(), { user: "me", metadata: { a: "b" }, n: 1, temperature: null }));
  expect(response.status).toBe(200);
  expect(response.headers.get("x-proof402-left-out")).toBe("user, metadata");
});

describe("a stream that is still coming", () => {
  test("T111: that breaks off ends in an error, and without [DONE]", async () => {
    const before = seller.paid();
    const response = ask(chat(words(), { stream: true }), { at: slow });
    await eventually(() => expect(seller.paid()).toBe(before + 1));
    seller.say("Do not ");
    const came = await response;
    seller.end("broken off");
    const frames = await framesOf(came);
    expect(textOf(frames)).toBe("Do not ");
    expect(frames.at(-1)).toMatchObject({ error: { code: "answer_unfinished" } });
  });

  test("whose client leaves is kept: the same request gets the answer unpaid", async () => {
    const abort = new AbortController();
    const before = seller.paid();
    const response = ask(chat(words(), { stream: true }), { at: slow, signal: abort.signal });
    await eventually(() => expect(seller.paid()).toBe(before + 1));
    seller.say("kept ");
    await (await response).body!.getReader().read();
    abort.abort();
    seller.say("answer");
    seller.end();
    const frames = await framesOf(await ask(chat(words(), { stream: true }), { at: slow }));
    expect(textOf(frames)).toBe("kept answer");
    expect(seller.paid()).toBe(before + 1);
  });
});

test("T140: a client that gives up just as its answer comes does not pay for its next try", async () => {
  const leaving = new AbortController();
  const left = gate();
  const late = await serve({
    buyer: {
      ...buyer,
      buy: (async (...given: Parameters<Buyer["buy"]>) => {
        const result = await buyer.buy(...given);
        const { signal } = given[2] as { signal: AbortSignal };
        const isFirst = !leaving.signal.aborted;
        leaving.abort();
        await eventually(() => expect(isFirst && !signal.aborted).toBe(false));
        left.open();
        return result;
      }) as Buyer["buy"],
    },
  });
  const before = await paidCalls();
  await expect(ask(chat(), { at: late, signal: leaving.signal })).rejects.toThrow(/abort/i);
  await left.opened;
  expect(await (await ask(chat(), { at: late })).json()).toMatchObject({ proof402: { paid_now: false } });
  expect(await paidCalls()).toBe(before + 1);
  // Once it was given, an equal request is a call of its own.
  await eventually(async () =>
    expect(await (await ask(chat(), { at: late })).json()).toMatchObject({ proof402: { paid_now: true } }),
  );
});

test("a seller of chats in another form is bought from in OpenAI's, its calls included", async () => {
  const key = oysterKey();
  const call = { function: { name: "get_price", arguments: { pair: "ETH", n: 1 } } };
  const answer = oysterAnswer(key.secret, ({ message, ...told }) => ({
    ...told,
    prompt_eval_count: 2,
    message: { ...(message as object), tool_calls: [call, call] },
  }));
  const server = await chatServer(market, { paid: answer });
  const { payTo } = market.devnet.sellers.chat!;
  const oyster = { provider: "marlin-oyster", origin: server.origin, payTo: [payTo], assurance: "signed" };
  const at = await serve({
    strict: true,
    bounds: { assurance: "signed" },
    buyer: await market.buyer((config) => {
      const entry = { ...oyster, id: "oyster", signingKey: `0x04${key.point}`, models: ["llama3.2"] };
      config.sellers = [sellerSchema.parse(entry)];
    }),
  });
  const response = await ask(chat(words(), { model: "llama3.2" }), { at });
  expect(response.status).toBe(200);
  const { choices, ...rest } = (await response.json()) as { choices: { message: { tool_calls: { id: string }[] } }[] };
  expect(rest).toMatchObject({ usage: { total_tokens: 5 }, proof402: { verdict: "verified" } });
  expect(choices[0]).toMatchObject({
    finish_reason: "tool_calls",
    message: { content: `You said: ${words()}`, tool_calls: [{ function: { arguments: '{"pair":"ETH","n":1}' } }, {}] },
  });
  const ids = choices[0]!.message.tool_calls.map(({ id }) => id);
  expect(new Set(ids).size).toBe(2);
  for (const id of ids) expect(id).toMatch(/^call_p402_/);
  await server.stop();
});

test("no seller without chats is paid for one", async () => {
  const before = await paidCalls();
  const any = await serve({ bounds: { assurance: "none" } });
  const refused = await ask(chat(words(), { model: "eth-risk" }), { at: any });
  expect(await refused.json()).toMatchObject({ error: { code: "model_unsupported" } });
  expect(await paidCalls()).toBe(before);
});
