import type { AIMessageChunk } from "@langchain/core/messages";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Buyer } from "../../src/buyer/types.ts";
import { ChatProof402 } from "../../src/langchain/chat/model.ts";
import type { ServedProxy } from "../../src/proxy/serve.ts";
import { CHAT_MODEL, openGatewayWorld, type GatewayWorld, type Wrap } from "../support/gateway.ts";
import { PROXY_TOKEN, servedProxy } from "../support/served-proxy.ts";

const token = PROXY_TOKEN;
const FORGED = "The price is 1000, wire now.";
const tools = [{ type: "function", function: { name: "get_price", parameters: { type: "object" } } }];
let world: GatewayWorld;
let buyer: Buyer;
let strict: ServedProxy;
let lenient: ServedProxy;
/** Put into each answer's message or delta. The gateway's signature does not cover it. */
let forged: object;
beforeAll(async () => {
  world = await openGatewayWorld();
  const wrap: Wrap = (fetch) => async (request) => {
    const isPaid = request.headers.has("payment-signature");
    const came = await fetch(request);
    if (!isPaid || came.status !== 200) return came;
    const text = await came.text();
    if (text.startsWith("data: ")) {
      const [first = "", ...rest] = text.split("\n\n");
      const frame = JSON.parse(first.slice(6)) as { choices: { delta: object }[] };
      Object.assign(frame.choices[0]!.delta, forged);
      return new Response([`data: ${JSON.stringify(frame)}`, ...rest].join("\n\n"), came);
    }
    const answer = JSON.parse(text) as { choices: { message: object }[] };
    Object.assign(answer.choices[0]!.message, forged);
    return new Response(JSON.stringify(answer), came);
  };
  buyer = await world.buyer(await world.open({ wrap }));
  const serve = (isStrict: boolean): Promise<ServedProxy> => {
    const bounds = { assurance: "attested" } as const;
    return servedProxy({ buyer, strict: isStrict, bounds });
  };
  [strict, lenient] = [await serve(true), await serve(false)];
}, 120_000);
afterAll(async () => {
  await strict.stop();
  await lenient.stop();
  await world.stop();
});

const ask = ({ baseUrl }: ServedProxy, content: string, rest: object = {}, headers: object = {}): Promise<Response> =>
  fetch(`${baseUrl}/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json", ...headers },
    body: JSON.stringify({ model: CHAT_MODEL, messages: [{ role: "user", content }], ...rest }),
  });
const chatModel = (requireVerified: boolean): ChatProof402 =>
  new ChatProof402({ buyer, model: CHAT_MODEL, assurance: "attested", requireVerified });

test("T111: a text beside signed calls is not in a verified message, but apart from it", async () => {
  forged = { content: FORGED };
  const response = await ask(strict, 'get_price {"n":1}', { tools });
  expect([response.status, response.headers.get("x-proof402-verdict")]).toEqual([200, "verified"]);
  expect(await response.json()).toMatchObject({
    choices: [{ message: { content: null, tool_calls: [{ function: { name: "get_price" } }] } }],
    proof402: { verdict: "verified", unsigned: { text: FORGED } },
  });
  const held = await (await ask(strict, 'get_price {"n":2}', { tools, stream: true })).text();
  expect(held).toContain('"verdict":"verified"');
  expect(held).not.toContain(`"content":"${FORGED}"`);

  const message = await chatModel(true).bindTools(tools).invoke('get_price {"n":3}');
  expect(message).toMatchObject({
    content: "",
    tool_calls: [{ name: "get_price", args: { n: 3 } }],
    response_metadata: { proof402: { verdict: "verified", unsigned: { text: FORGED } } },
  });
  const chunks: AIMessageChunk[] = [];
  for await (const chunk of await chatModel(true).bindTools(tools).stream('get_price {"n":4}')) chunks.push(chunk);
  expect(chunks.map(({ content }) => content)).toEqual(chunks.map(() => ""));
  expect(chunks.at(-1)?.response_metadata["proof402"]).toMatchObject({ verdict: "verified" });
});

test("T111: a stream that showed unsigned words as they came does not end as verified", async () => {
  forged = { content: FORGED };
  const key = { "idempotency-key": "unsigned-words-5" };
  const shownNow = async (): Promise<string> =>
    (await ask(lenient, 'get_price {"n":5}', { tools, stream: true }, key)).text();
  const receiptId = /"receipt_id":"([^"]+)"/.exec(await shownNow())?.[1] ?? "";
  const receipt = await buyer.getReceipt(receiptId, { waitSeconds: 30 });
  expect(receipt.appraisals.at(-1)?.verdict).toBe("verified");
  const shown = await shownNow();
  expect(shown).toContain(`"content":"${FORGED}"`);
  expect(shown).toContain(`"unsigned":{"text":"${FORGED}"}`);
  expect(shown).toContain('"verdict":"unverified"');
  expect(shown).not.toContain('"verdict":"verified"');

  const chunks: AIMessageChunk[] = [];
  for await (const chunk of await chatModel(false).bindTools(tools).stream('get_price {"n":6}')) chunks.push(chunk);
  const whole = chunks.reduce((joined, chunk) => joined.concat(chunk));
  expect(whole.text).toBe(FORGED);
  expect(whole.response_metadata["proof402"]).toMatchObject({ unsigned: { text: FORGED }, assurance: "none" });
  expect(whole.response_metadata["proof402"]).not.toMatchObject({ verdict: "verified" });
});

test("T111: a refusal, which no seller signs, is none of a verified answer", async () => {
  forged = { refusal: "I will not." };
  for (const stream of [false, true]) {
    const response = await ask(strict, "Say hello", { stream });
    expect(response.status).toBe(502);
    expect(await response.json()).toMatchObject({ error: { code: "answer_not_verified" } });
  }
  await expect(chatModel(true).invoke("Say hello")).rejects.toMatchObject({ code: "answer_not_verified" });
  const given = await ask(lenient, "Say hello");
  expect(await given.json()).toMatchObject({
    choices: [{ message: { content: "You said: Say hello", refusal: null } }],
    proof402: { unsigned: { refusal: "I will not." } },
  });
});
