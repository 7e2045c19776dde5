import { expect, test } from "vitest";
import { openAiChat } from "../../src/evidence/exchange/openai-chat/openai-chat.ts";
import { readChatAnswer } from "../../src/evidence/exchange/openai-chat/chat-answer.ts";
import { createUpstream, serveLocally } from "../../src/devnet/index.ts";
import { upstreamAt } from "../../src/devnet/upstream.ts";

const upstream = createUpstream();
const ask = (body: object, path = "/v1/chat/completions"): Promise<Response> =>
  upstream(new Request(`http://upstream${path}`, { method: "POST", body: JSON.stringify(body) }));
const chat = (text: string, more: object = {}): object => ({
  model: "devnet-chat",
  messages: [
    { role: "system", content: "Be brief." },
    { role: "user", content: text },
  ],
  ...more,
});
const bytesOf = async (response: Promise<Response>): Promise<Uint8Array> =>
  new Uint8Array(await (await response).arrayBuffer());

const PARAMETERS = {
  type: "object",
  properties: { pair: { type: "string" }, depth: { type: "integer", minimum: 3 }, note: { type: "string" } },
  required: ["pair", "depth"],
};
const TOOLS = [{ type: "function", function: { name: "get_price", parameters: PARAMETERS } }];

test("equal requests have equal answers, whole and as a stream, and both say the same", async () => {
  for (const [text, more] of [
    ["Grüße 😀 an alle", {}],
    ["get_price of it", { tools: TOOLS }],
    ["Write 40 words", { max_tokens: 7 }],
  ] as const) {
    const [one, again] = await Promise.all([1, 2].map(() => bytesOf(ask(chat(text, more)))));
    expect(one).toEqual(again);
    const streamed = await bytesOf(ask(chat(text, { ...more, stream: true, stream_options: { include_usage: true } })));
    const [whole, joined] = [readChatAnswer(one!), readChatAnswer(streamed)];
    if (typeof whole === "string" || typeof joined === "string") throw new Error("an answer cannot be read");
    expect(joined).toMatchObject({ text: whole.text, finishReason: whole.finishReason, model: "devnet-chat" });
    expect(joined.calls?.length).toBe(whole.calls?.length);
    expect(openAiChat.readAnswer(streamed)).toMatchObject({ answer: { unsigned: { usage: expect.anything() } } });
  }
});

test("a text gets words, a tool it names a call by its schema, and a wish for JSON what its schema says", async () => {
  const said = async (body: object): Promise<Record<string, unknown>> => {
    const { choices } = (await (await ask(body)).json()) as {
      choices: [{ message: Record<string, unknown>; finish_reason: string }];
    };
    return { ...choices[0].message, reason: choices[0].finish_reason };
  };
  expect(await said(chat("hello"))).toMatchObject({ content: "You said: hello", reason: "stop" });
  expect(await said(chat("Say only: yes. END no", { stop: ["END"] }))).toMatchObject({ content: "yes. " });
  expect(await said(chat("Write 9 words", { max_tokens: 2 }))).toEqual({
    role: "assistant",
    content: "word1 word2",
    reason: "length",
  });
  const called = await said(chat("Use get_price", { tools: TOOLS }));
  expect(called).toMatchObject({ content: null, reason: "tool_calls" });
  expect(called["tool_calls"]).toMatchObject([
    { function: { name: "get_price", arguments: '{"pair":"Use get_price","depth":3}' } },
  ]);
  expect(await said(chat('get_price {"pair":"ETH"}', { tools: TOOLS }))).toMatchObject({
    tool_calls: [{ function: { arguments: '{"pair":"ETH"}' } }],
  });
  expect(await said(chat("Use get_price", { tools: TOOLS, tool_choice: "none" }))).not.toHaveProperty("tool_calls");
  const format = { type: "json_schema", json_schema: { name: "x", schema: PARAMETERS } };
  expect(await said(chat("ETH", { response_format: format }))).toMatchObject({ content: '{"pair":"ETH","depth":3}' });
});

test("a completion is answered, what does not fit is refused, and another address serves the same through it", async () => {
  const completion = await (await ask({ model: "devnet-chat", prompt: "hello" }, "/v1/completions")).json();
  expect(completion).toMatchObject({ object: "text_completion", choices: [{ text: "You said: hello" }] });
  expect((await ask({ ...chat("x"), model: "gpt" })).status).toBe(404);
  expect((await ask({ model: "devnet-chat", messages: [] })).status).toBe(400);
  await using served = await local();
  for (const base of [served.origin, `${served.origin}/v1/`]) {
    const through = await upstreamAt(base)(
      new Request("http://x/v1/chat/completions", { method: "POST", body: JSON.stringify(chat("hello")) }),
    );
    expect(new Uint8Array(await through.arrayBuffer())).toEqual(await bytesOf(ask(chat("hello"))));
  }
});

async function local(): Promise<{ origin: string; [Symbol.asyncDispose](): Promise<void> }> {
  const { origin, stop } = await serveLocally(createUpstream());
  return { origin, [Symbol.asyncDispose]: stop };
}
