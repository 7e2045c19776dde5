import { AIMessage, AIMessageChunk, HumanMessage, SystemMessage, ToolMessage } from "@langchain/core/messages";
import { tool } from "@langchain/core/tools";
import { createDeepAgent } from "deepagents";
import { createAgent } from "langchain";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import * as z from "zod";
import type { Buyer } from "../../src/buyer/types.ts";
import { ChatProof402, type ChatProof402Fields } from "../../src/langchain/chat/model.ts";
import { buyerOf } from "../support/chat-server.ts";
import { openMarket, type Market } from "../support/devnet.ts";
import { eventually } from "../support/eventually.ts";
import { streamingChat, type StreamingChat } from "../support/streaming-chat.ts";

let market: Market;
let buyer: Buyer;
let seller: StreamingChat;
let slow: Buyer;
beforeAll(async () => {
  market = await openMarket({ chat: true });
  buyer = await market.buyer();
  seller = await streamingChat(market);
  slow = await buyerOf(market, seller);
});
afterAll(async () => {
  await market.stop();
  await seller.stop();
});

const model = (fields: Partial<ChatProof402Fields> = {}): ChatProof402 =>
  new ChatProof402({ buyer, model: "devnet-chat", seller: "chat", assurance: "none", ...fields });
const totalOf = ({ usage_metadata: usage }: AIMessageChunk): unknown =>
  (usage as { total_tokens?: number } | undefined)?.total_tokens;
const price = tool(({ pair }) => `${pair} is 1`, {
  name: "get_price",
  description: "Price of a pair.",
  schema: z.object({ pair: z.string() }),
});

describe("what LangChain's standard tests assert", () => {
  test("it is made, named and traced as a chat model", () => {
    const chat = model({ temperature: 0.5, maxTokens: 30, stop: ["x"] });
    expect(chat._llmType()).toBe("proof402");
    expect(ChatProof402.lc_name()).toBe("ChatProof402");
    expect(chat.getLsParams({})).toEqual({
      ls_provider: "proof402",
      ls_model_name: "devnet-chat",
      ls_model_type: "chat",
      ls_temperature: 0.5,
      ls_max_tokens: 30,
      ls_stop: ["x"],
    });
    expect(JSON.stringify(chat)).not.toContain("0x");
  });

  test("invoke gives a chunk with usage, model and the receipt", async () => {
    const message = await model().invoke("hello");
    expect(AIMessageChunk.isInstance(message)).toBe(true);
    expect(message.text).toBe("You said: hello");
    expect(message.usage_metadata).toEqual({ input_tokens: 1, output_tokens: 3, total_tokens: 4 });
    expect(message.response_metadata).toMatchObject({
      model_provider: "proof402",
      model_name: "devnet-chat",
      finish_reason: "stop",
      proof402: { judged: 1, verdict: "unverified", assurance: "none", seller: "chat", paid_now: true },
    });
    const { receipt_id: id, paid } = message.response_metadata["proof402"] as { receipt_id: string; paid: object };
    expect(paid).toMatchObject({ amount: "10000", symbol: "USDC" });
    expect(await buyer.getReceipt(id)).not.toBeNull();
  });

  test("stream gives chunks that join to the answer with its usage and receipt", async () => {
    const chunks: AIMessageChunk[] = [];
    for await (const chunk of await model().stream("stream this")) chunks.push(chunk);
    expect(chunks.length).toBeGreaterThan(2);
    const marks = chunks.map((chunk) => (chunk.response_metadata["proof402"] as { judged: number }).judged);
    expect(marks).toEqual([...chunks.slice(1).map(() => 0), 1]);
    const whole = chunks.reduce((joined, chunk) => joined.concat(chunk));
    expect(whole.text).toBe("You said: stream this");
    expect(totalOf(whole)).toBe(6);
    expect(whole.response_metadata).toMatchObject({
      model_name: "devnet-chat",
      proof402: { judged: 1, verdict: "unverified" },
    });
  });

  test("tools are bound, called in parallel, streamed, and their results read", async () => {
    const withTools = model().bindTools([price]);
    const called = await withTools.invoke('get_price {"pair":"ETH"}');
    expect(called.tool_calls).toMatchObject([{ name: "get_price", args: { pair: "ETH" }, type: "tool_call" }]);
    const chunks: AIMessageChunk[] = [];
    for await (const chunk of await withTools.stream('get_price {"pair":"BTC"}')) chunks.push(chunk);
    const joined = chunks.reduce((one, chunk) => one.concat(chunk));
    expect(joined.tool_calls).toMatchObject([{ name: "get_price", args: { pair: "BTC" } }]);
    expect(chunks.filter((chunk) => (chunk.tool_call_chunks ?? []).length > 0).length).toBeGreaterThan(1);

    const history = [
      new SystemMessage("Be short."),
      new HumanMessage([{ type: "text", text: "What are they?" }]),
      new AIMessage({
        content: [{ type: "text", text: "Looking." }],
        tool_calls: [
          { id: "a", name: "get_price", args: { pair: "ETH" } },
          { id: "b", name: "get_price", args: { pair: "BTC" } },
        ],
      }),
      new ToolMessage({ tool_call_id: "a", content: "1", name: "get_price" }),
      new ToolMessage({ tool_call_id: "b", content: [{ type: "text", text: "2" }], name: "get_price" }),
      new HumanMessage("and now?"),
    ];
    const after = await model().invoke(history);
    expect(after.text).toContain("and now?");
    const { proof402 } = after.response_metadata as { proof402: { receipt_id: string } };
    const receipt = await buyer.getReceipt(proof402.receipt_id);
    expect(buyer.inputOf(receipt)).toEqual({
      messages: [
        { role: "system", content: "Be short." },
        { role: "user", content: [{ type: "text", text: "What are they?" }] },
        {
          role: "assistant",
          content: "Looking.",
          tool_calls: [
            { id: "a", type: "function", function: { name: "get_price", arguments: '{"pair":"ETH"}' } },
            { id: "b", type: "function", function: { name: "get_price", arguments: '{"pair":"BTC"}' } },
          ],
        },
        { role: "tool", tool_call_id: "a", content: "1" },
        { role: "tool", tool_call_id: "b", content: "2" },
        { role: "user", content: "and now?" },
      ],
    });
  });

  test("a forced tool is the one that is called", async () => {
    const forced = await model().bindTools([price], { tool_choice: "get_price" }).invoke("anything");
    expect(forced.tool_calls?.[0]?.name).toBe("get_price");
    const any = await model().bindTools([price], { tool_choice: "any" }).invoke("anything else");
    expect(any.tool_calls?.[0]?.name).toBe("get_price");
  });

  test.each<["jsonSchema" | "functionCalling" | "jsonMode", z.ZodObject, object]>([
    [
      "jsonSchema",
      z.object({ city: z.string(), size: z.number() }),
      { city: expect.any(String), size: expect.any(Number) },
    ],
    ["functionCalling", z.object({ city: z.string(), size: z.number() }), { city: "Rome", size: 3 }],
    ["jsonMode", z.object({ answer: z.string() }), { answer: 'city {"city":"Rome","size":3}' }],
  ])("an answer has a schema's form by %s, and one that has not is an error", async (method, schema, parsed) => {
    const text = 'city {"city":"Rome","size":3}';
    const form = { method, name: "city" };
    expect(await model().withStructuredOutput(schema, form).invoke(text)).toEqual(parsed);
    const raw = await model()
      .withStructuredOutput(schema, { ...form, includeRaw: true })
      .invoke(text);
    expect(raw).toMatchObject({ parsed, raw: { response_metadata: { proof402: { judged: 1 } } } });
    const other = { type: "object", properties: { other: { type: "string", minLength: 9999 } }, required: ["other"] };
    await expect(model().withStructuredOutput(other, form).invoke(text)).rejects.toThrow("does not fit the schema");
  });

  test("tokens are counted without asking anyone", async () => {
    expect(await model().getNumTokens("twelve chars")).toBe(3);
  });
});

describe("a stream that is still coming", () => {
  const streaming = (fields: Partial<ChatProof402Fields> = {}): ChatProof402 => model({ buyer: slow, ...fields });

  test("is shown piece by piece, each marked as not judged", async () => {
    // It is there with its first chunk.
    const begun = streaming().stream("one");
    await eventually(() => expect(seller.paid()).toBe(1));
    seller.say("Hel");
    const chunks = (await begun)[Symbol.asyncIterator]();
    expect((await chunks.next()).value).toMatchObject({
      content: "Hel",
      response_metadata: { proof402: { judged: 0 } },
    });
    seller.say("lo");
    expect((await chunks.next()).value).toMatchObject({ content: "lo" });
    seller.end();
    const last = (await chunks.next()).value as AIMessageChunk;
    expect(last.response_metadata).toMatchObject({ proof402: { judged: 1, verdict: "unverified" } });
    expect(totalOf(last)).toBe(5);
    expect(await chunks.next()).toMatchObject({ done: true });
  });

  test("T111: that breaks off is an error after its pieces, and no last chunk comes", async () => {
    const before = seller.paid();
    const shown: string[] = [];
    const reading = (async () => {
      for await (const chunk of await streaming().stream("two")) shown.push(chunk.text);
    })();
    await eventually(() => expect(seller.paid()).toBe(before + 1));
    seller.say("Do not ");
    seller.end("broken off");
    await expect(reading).rejects.toMatchObject({ code: "answer_unfinished" });
    expect(shown).toEqual(["Do not "]);
  });

  test("goes on without a caller that aborts, and the same call gets its answer unpaid", async () => {
    const before = seller.paid();
    const abort = new AbortController();
    const begun = streaming().stream("three", { signal: abort.signal });
    await eventually(() => expect(seller.paid()).toBe(before + 1));
    seller.say("kept ");
    const chunks = (await begun)[Symbol.asyncIterator]();
    await chunks.next();
    abort.abort();
    await expect(chunks.next()).rejects.toThrow(/abort|no longer waits/i);
    seller.say("answer");
    seller.end();
    const shown: string[] = [];
    for await (const chunk of await streaming().stream("three")) shown.push(chunk.text);
    expect(shown.join("")).toBe("kept answer");
    expect(seller.paid()).toBe(before + 1);
  });

  test("abort before the payment pays nothing", async () => {
    const before = seller.paid();
    const abort = AbortSignal.abort();
    await expect(streaming().invoke("four", { signal: abort })).rejects.toThrow(/abort/i);
    expect(seller.paid()).toBe(before);
  });
});

describe("what is refused", () => {
  test("an unverified answer, where verified ones are required: paid, kept and not given", async () => {
    const strict = model({ requireVerified: true });
    const refused = await strict.invoke("strict").catch((error: unknown) => error);
    expect(refused).toMatchObject({ code: "answer_not_verified", idempotencyKey: expect.any(String) });
    const { details } = refused as { details: { receiptId: string } };
    expect(await buyer.getReceipt(details.receiptId)).not.toBeNull();
    const { callsLastHour } = await buyer.spending();
    const again = strict.withRetry({ stopAfterAttempt: 2 }).invoke("strict");
    await expect(again).rejects.toMatchObject({ details: { receiptId: details.receiptId } });
    await expect(strict.bindTools([price]).withRetry({ stopAfterAttempt: 2 }).invoke("stricter")).rejects.toThrow(
      "The answer is not given",
    );
    expect((await buyer.spending()).callsLastHour).toBe(callsLastHour + 1);
  });

  test.each<[string, () => Promise<unknown>]>([
    ["an option of a call that sellers do not take", () => model().invoke("x", { top_k: 3 } as object)],
    ["a field that sellers do not take", () => model({ input: { logit_bias: {} } }).invoke("x")],
    [
      "a message without a place in a chat",
      () => model().invoke([new HumanMessage([{ type: "video", url: "x" }] as never)]),
    ],
    ["more than the call may cost", () => model({ maxUsd: 0.001 }).invoke("x")],
  ])("%s, before anything is paid", async (_, call) => {
    const { callsLastHour } = await buyer.spending();
    await expect(call()).rejects.toMatchObject({ code: expect.stringMatching(/^(invalid_input|over_call_limit)$/) });
    expect((await buyer.spending()).callsLastHour).toBe(callsLastHour);
  });
});

test("a run that is made again under its id is paid once", async () => {
  const runId = crypto.randomUUID();
  const first = await model().invoke("same run", { runId });
  const again = await model().invoke("same run", { runId });
  expect(first.response_metadata["proof402"]).toMatchObject({ paid_now: true });
  expect(again.response_metadata["proof402"]).toMatchObject({
    paid_now: false,
    receipt_id: (first.response_metadata["proof402"] as { receipt_id: string }).receipt_id,
  });
});

test("in an agent each of its calls is bought, tools are run, and receipts stand in the messages", async () => {
  const agent = createAgent({ model: model(), tools: [price] });
  const { messages } = await agent.invoke({ messages: [{ role: "user", content: 'get_price {"pair":"ETH"}' }] });
  const bought = messages.filter((message) => AIMessage.isInstance(message));
  expect(messages.some((message) => ToolMessage.isInstance(message) && message.text === "ETH is 1")).toBe(true);
  for (const { response_metadata: metadata } of bought) expect(metadata["proof402"]).toMatchObject({ judged: 1 });
});

test("in a deep agent its subagents buy, too, and each message has its receipt", async () => {
  const bought: { judged: number; receipt_id: string }[] = [];
  const trader = { name: "trader", description: "Tells prices.", systemPrompt: "Be short.", tools: [price] };
  const agent = createDeepAgent({ model: model(), subagents: [trader] });
  const order = { description: 'get_price {"pair":"ETH"}', subagent_type: "trader" };
  const { messages } = await agent.invoke(
    { messages: [new HumanMessage(`task ${JSON.stringify(order)}`)] },
    {
      callbacks: [
        {
          handleLLMEnd({ generations }) {
            const [generation] = generations[0] ?? [];
            const { message } = generation as unknown as { message: AIMessage };
            bought.push(message.response_metadata["proof402"] as (typeof bought)[number]);
          },
        },
      ],
    },
  );
  // The subagent calls its tool and tells what came of it: four answers are bought.
  expect(messages.at(-1)?.text).toBe("The tool says: The tool says: ETH is 1");
  expect(bought).toEqual(Array.from({ length: 4 }, () => expect.objectContaining({ judged: 1, paid_now: true })));
  expect(new Set(bought.map(({ receipt_id: id }) => id)).size).toBe(4);
  for (const { receipt_id: id } of bought) expect(await buyer.getReceipt(id)).not.toBeNull();
  expect(messages.at(-1)?.response_metadata["proof402"]).toMatchObject({ receipt_id: bought.at(-1)?.receipt_id });
});

test("LangChain's content events keep the receipt", async () => {
  const message = await model().streamEvents("events");
  expect(message.text).toBe("You said: events");
  expect(message.response_metadata["proof402"]).toMatchObject({ judged: 1, verdict: "unverified" });
});
