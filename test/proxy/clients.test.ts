import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { HumanMessage, type AIMessageChunk, type ToolMessage } from "@langchain/core/messages";
import { tool as langchainTool } from "@langchain/core/tools";
import { ChatOpenAI } from "@langchain/openai";
import { generateText, Output, stepCountIs, streamText, tool, type LanguageModel } from "ai";
import OpenAI, { APIError } from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import * as z from "zod";
import type { Buyer } from "../../src/buyer/types.ts";
import type { ProxyOptions } from "../../src/proxy/proxy.ts";
import type { ServedProxy } from "../../src/proxy/serve.ts";
import { buyerOf } from "../support/chat-server.ts";
import { approveGateway, openMarket, type Market } from "../support/devnet.ts";
import { eventually } from "../support/eventually.ts";
import { PROXY_TOKEN, servedProxy } from "../support/served-proxy.ts";
import { streamingChat, type StreamingChat } from "../support/streaming-chat.ts";

const apiKey = PROXY_TOKEN;
const model = "devnet-chat";
const serving: ServedProxy[] = [];
let market: Market;
let buyer: Buyer;
let seller: StreamingChat;
let slowBuyer: Buyer;
/** Proxies by what they buy from: a plain seller, a gateway with signatures, only verified answers, a seller on a test's hand. */
let at: Record<"plain" | "signed" | "verified" | "strict" | "slow", string>;

async function serve(options: Partial<ProxyOptions>): Promise<string> {
  const served = await servedProxy({ buyer, bounds: {}, ...options });
  serving.push(served);
  return served.baseUrl;
}

beforeAll(async () => {
  market = await openMarket({ chat: true, gateway: true });
  await approveGateway(market);
  buyer = await market.buyer();
  seller = await streamingChat(market);
  slowBuyer = await buyerOf(market, seller);
  const plain = { seller: "chat", assurance: "none" } as const;
  const signed = { seller: "gateway", assurance: "attested" } as const;
  at = {
    plain: await serve({ bounds: plain }),
    signed: await serve({ bounds: signed }),
    verified: await serve({ bounds: signed, strict: true }),
    strict: await serve({ bounds: plain, strict: true }),
    slow: await serve({ bounds: plain, buyer: slowBuyer }),
  };
});
afterAll(async () => {
  await Promise.all(serving.map((one) => one.stop()));
  await market.stop();
  await seller.stop();
});

let count = 0;
beforeEach(() => void (count += 1));
const user = (content: string): { role: "user"; content: string } => ({ role: "user", content });
const paidCalls = async (): Promise<number> => (await buyer.spending()).callsLastHour;
const schema = z.object({ city: z.string(), size: z.number() });
const parameters = { type: "object", properties: { pair: { type: "string" } }, required: ["pair"] };
const tools = [{ type: "function" as const, function: { name: "get_price", description: "A price.", parameters } }];

describe.each(["plain", "signed"] as const)("the openai client, at a %s seller", (kind) => {
  const client = (): OpenAI => new OpenAI({ baseURL: at[kind], apiKey });

  test("chats", async () => {
    const { data, response } = await client()
      .chat.completions.create({ model, messages: [user(`a${count}`)], temperature: 0.5, max_completion_tokens: 50 })
      .withResponse();
    expect(data.choices[0]?.message).toEqual({ role: "assistant", content: `You said: a${count}`, refusal: null });
    expect(data.usage?.total_tokens).toBeGreaterThan(2);
    expect(response.headers.get("x-proof402-receipt")).toMatch(/^p402_/);
    expect((await client().models.list()).data.map(({ id }) => id)).toContain(model);
    const completed = await client().completions.create({ model, prompt: `b${count}` });
    expect(completed.choices[0]).toMatchObject({ text: `You said: b${count}`, finish_reason: "stop" });
  });

  test("streams, and by its helper", async () => {
    const asked = { model, stream_options: { include_usage: true } };
    const chunks = await client().chat.completions.create({ ...asked, messages: [user(`c${count}`)], stream: true });
    let [text, usage] = ["", 0];
    for await (const chunk of chunks) {
      text += chunk.choices[0]?.delta.content ?? "";
      usage += chunk.usage?.total_tokens ?? 0;
    }
    expect(text).toBe(`You said: c${count}`);
    expect(usage).toBeGreaterThan(2);
    // A gateway tells it unasked.
    const [receipt] = await buyer.listReceipts({ limit: 1 });
    const wish = kind === "plain" ? { include_usage: true } : undefined;
    expect(buyer.inputOf(receipt!)["stream_options"]).toEqual(wish);
    const helped = client().chat.completions.stream({ ...asked, messages: [user(`d${count}`)] });
    expect(await helped.finalContent()).toBe(`You said: d${count}`);
    expect((await helped.finalChatCompletion()).usage?.total_tokens).toBeGreaterThan(2);
  });

  test("calls tools and brings their results", async () => {
    const ask = user(`get_price {"pair":"ETH ${count}"}`);
    const { choices } = await client().chat.completions.create({ model, messages: [ask], tools });
    const { message, finish_reason } = choices[0]!;
    expect(finish_reason).toBe("tool_calls");
    const [call] = message.tool_calls ?? [];
    expect(call).toMatchObject({ type: "function", function: { name: "get_price" } });
    const result = { role: "tool" as const, tool_call_id: call!.id, content: "1" };
    const second = await client().chat.completions.create({ model, messages: [ask, message, result], tools });
    expect(second.choices[0]?.message.content).toBe("The tool says: 1");
    const runner = client().chat.completions.runTools({
      model,
      stream: true,
      messages: [user(`get_price {"pair":"BTC ${count}"}`)],
      tools: [
        {
          type: "function",
          function: {
            ...tools[0]!.function,
            parse: JSON.parse,
            function: ({ pair }: { pair: string }) => `${pair}: 2`,
          },
        },
      ],
    });
    expect(await runner.finalContent()).toBe(`The tool says: BTC ${count}: 2`);
  });

  test("asks for a form and parses it", async () => {
    const response_format = zodResponseFormat(schema, "city");
    const asked = { model, response_format };
    const parsed = await client().chat.completions.parse({ ...asked, messages: [user(`e${count}`)] });
    expect(parsed.choices[0]?.message.parsed).toEqual({ city: `e${count}`, size: 1 });
    const streamed = client().chat.completions.stream({ ...asked, messages: [user(`f${count}`)] });
    expect((await streamed.finalChatCompletion()).choices[0]?.message.parsed).toMatchObject({ city: `f${count}` });
    // Its own message goes back with what the client added to it.
    const messages = [user(`e${count}`), parsed.choices[0]!.message, user(`g${count}`)];
    const next = await client().chat.completions.create({ model, messages });
    expect(next.choices[0]?.message.content).toBe(`You said: g${count}`);
  });
});

/** A client's fetch that counts, and loses the first connection as told. */
const counting = (lose?: () => Promise<void>) => {
  let asked = 0;
  const fetching: typeof fetch = async (url, init) => {
    asked += 1;
    if (asked > 1 || lose === undefined) return fetch(url, init);
    const lost = new AbortController();
    const answer = fetch(url, { ...init, signal: lost.signal });
    answer.catch(() => undefined);
    await lose();
    lost.abort();
    throw new TypeError("fetch failed");
  };
  return { fetch: fetching, asked: () => asked };
};

describe("what clients do by themselves costs nothing", () => {
  test("T140: the openai client leaves a stream: the receipt stands, one payment is in the journal", async () => {
    const client = new OpenAI({ baseURL: at.slow, apiKey });
    const before = seller.paid();
    const messages = [user(`h${count}`)];
    const coming = client.chat.completions.create({ model, messages, stream: true });
    await eventually(() => expect(seller.paid()).toBe(before + 1));
    seller.say("kept ");
    const stream = await coming;
    for await (const chunk of stream) if (chunk.choices[0]?.delta.content === "kept ") break;
    expect(stream.controller.signal.aborted).toBe(true);
    seller.say("answer");
    seller.end();
    const again = await client.chat.completions.stream({ model, messages }).finalChatCompletion();
    expect(again.choices[0]?.message.content).toBe("kept answer");
    expect(seller.paid()).toBe(before + 1);
    expect(await slowBuyer.listReceipts()).toHaveLength(1);
    expect((await slowBuyer.spending()).callsLastHour).toBe(1);
  });

  test("T140: a lost connection is tried again by the openai client, and paid once", async () => {
    const before = seller.paid();
    const lossy = counting(() => eventually(() => expect(seller.paid()).toBe(before + 1)));
    const client = new OpenAI({ baseURL: at.slow, apiKey, fetch: lossy.fetch });
    const coming = client.chat.completions.create({ model, messages: [user(`i${count}`)] });
    await eventually(() => expect(lossy.asked()).toBe(2));
    seller.say("once");
    seller.end();
    expect((await coming).choices[0]?.message.content).toBe("once");
    expect(seller.paid()).toBe(before + 1);
  });

  test("T140: the openai client heeds x-should-retry: a refused answer is not asked for again", async () => {
    const before = await paidCalls();
    const own = counting();
    const openai = new OpenAI({ baseURL: at.strict, apiKey, fetch: own.fetch });
    const refused = await openai.chat.completions
      .create({ model, messages: [user(`j${count}`)] })
      .catch((thrown: unknown) => thrown);
    expect(refused).toBeInstanceOf(APIError);
    expect(refused).toMatchObject({ status: 502, code: "answer_not_verified" });
    expect(own.asked()).toBe(1);
    expect(await paidCalls()).toBe(before + 1);
  });

  test("T140: the AI SDK does not heed it and asks again: for a refused answer, and one that breaks off", async () => {
    const [before, paid] = [await paidCalls(), seller.paid()];
    const own = counting();
    const ask = async (baseURL: string): Promise<unknown> => {
      const provider = createOpenAICompatible({ name: "proof402", baseURL, apiKey, fetch: own.fetch });
      return generateText({ model: provider(model), prompt: `k${count}`, maxRetries: 1 }).catch(String);
    };
    const refused = ask(at.strict);
    const brokenOff = ask(at.slow);
    await eventually(() => expect(seller.paid()).toBe(paid + 1));
    seller.say("Do not ");
    seller.end("broken off");
    expect(await refused).toContain("The answer is not given");
    expect(await brokenOff).toContain("ended before its last frame");
    expect(own.asked()).toBe(4);
    expect([await paidCalls(), seller.paid()]).toEqual([before + 1, paid + 1]);
  });

  test("a refusal by the policy is an error to read, before any payment", async () => {
    const before = await paidCalls();
    const own = counting();
    const client = new OpenAI({ baseURL: at.plain, apiKey, fetch: own.fetch });
    const asked = { model, messages: [user(`m${count}`)] };
    const most = { headers: { "x-proof402-max-usd": "0.001" } };
    for (const error of [
      await client.chat.completions.create(asked, most).catch((thrown: unknown) => thrown),
      await client.chat.completions
        .stream(asked, most)
        .finalContent()
        .catch((thrown: unknown) => thrown),
    ]) {
      expect(error).toBeInstanceOf(OpenAI.PermissionDeniedError);
      expect(error).toMatchObject({ status: 403, code: "over_call_limit", type: "permission_error" });
      expect((error as Error).message).toContain("No money moved.");
    }
    expect(own.asked()).toBe(2);
    await expect(client.chat.completions.create({ ...asked, model: "other" })).rejects.toThrow(OpenAI.NotFoundError);
    const other = new OpenAI({ baseURL: at.plain, apiKey: "sk-other" });
    await expect(other.chat.completions.create(asked)).rejects.toThrow(OpenAI.AuthenticationError);
    expect(await paidCalls()).toBe(before);
  });
});

describe("the AI SDK", () => {
  const asked = (baseURL = at.signed): { model: LanguageModel } => {
    const settings = { name: "proof402", apiKey, includeUsage: true, supportsStructuredOutputs: true };
    return { model: createOpenAICompatible({ ...settings, baseURL })(model) };
  };
  const price = tool({
    description: "A price.",
    inputSchema: z.object({ pair: z.string() }),
    execute: ({ pair }) => `${pair} is 1`,
  });

  test("streams text, with usage", async () => {
    const { textStream, totalUsage, finishReason } = streamText({ ...asked(), prompt: `n${count}` });
    const pieces: string[] = [];
    for await (const piece of textStream) pieces.push(piece);
    expect(pieces.length).toBeGreaterThan(1);
    expect(pieces.join("")).toBe(`You said: n${count}`);
    expect(await finishReason).toBe("stop");
    expect((await totalUsage).totalTokens).toBeGreaterThan(2);
  });

  test("runs tools in steps, whole and streamed", async () => {
    const steps = { ...asked(at.verified), tools: { get_price: price }, stopWhen: stepCountIs(3) };
    const whole = await generateText({ ...steps, prompt: `get_price {"pair":"ETH ${count}"}` });
    expect(whole.text).toBe(`The tool says: ETH ${count} is 1`);
    expect(whole.response.headers?.["x-proof402-verdict"]).toBe("verified");
    const streamed = streamText({ ...steps, prompt: `get_price {"pair":"BTC ${count}"}` });
    expect(await streamed.text).toBe(`The tool says: BTC ${count} is 1`);
  });

  test("asks for an object", async () => {
    const { output } = await generateText({ ...asked(), output: Output.object({ schema }), prompt: `o${count}` });
    expect(output).toEqual({ city: `o${count}`, size: 1 });
  });
});

describe("LangChain's ChatOpenAI", () => {
  const chat = (): ChatOpenAI => new ChatOpenAI({ model, apiKey, configuration: { baseURL: at.signed } });
  const price = langchainTool(({ pair }) => `${pair} is 1`, {
    name: "get_price",
    description: "A price.",
    schema: z.object({ pair: z.string() }),
  });

  const totalOf = (message?: AIMessageChunk): number =>
    (message?.usage_metadata as { total_tokens: number } | undefined)?.total_tokens ?? 0;

  test("invokes and streams, with usage", async () => {
    const message = await chat().invoke(`p${count}`);
    expect(message.text).toBe(`You said: p${count}`);
    expect(totalOf(message)).toBeGreaterThan(2);
    let whole: AIMessageChunk | undefined;
    for await (const chunk of await chat().stream(`q${count}`)) whole = whole?.concat(chunk) ?? chunk;
    expect(whole?.text).toBe(`You said: q${count}`);
    expect(totalOf(whole)).toBeGreaterThan(2);
  });

  test("calls bound tools and takes their results", async () => {
    const bound = chat().bindTools([price]);
    const ask = new HumanMessage(`get_price {"pair":"ETH ${count}"}`);
    const called = await bound.invoke([ask]);
    expect(called.tool_calls).toMatchObject([{ name: "get_price", args: { pair: `ETH ${count}` } }]);
    const result: ToolMessage = await price.invoke(called.tool_calls![0]!);
    expect((await bound.invoke([ask, called, result])).text).toBe(`The tool says: ETH ${count} is 1`);
  });

  test("gives structured output, by a schema and by a call", async () => {
    for (const method of ["jsonSchema", "functionCalling"] as const) {
      const text = `${method} {"city":"Rome","size":${count}}`;
      const structured = chat().withStructuredOutput(schema, { method, name: "city" });
      expect(await structured.invoke(text)).toEqual({ city: expect.any(String), size: expect.any(Number) });
    }
  });
});
