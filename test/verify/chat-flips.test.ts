import fc from "fast-check";
import { beforeAll, expect, test } from "vitest";
import { fromBase64 } from "../../src/evidence/bytes.ts";
import { openAiChat } from "../../src/evidence/exchange/openai-chat/openai-chat.ts";
import { createReceipt } from "../../src/receipts/receipt.ts";
import { appraise } from "../../src/verify/appraise.ts";
import { createVerificationCache } from "../../src/verify/verification-cache.ts";
import { cases } from "../support/campaign.ts";
import { makeChatReceipt } from "../support/chat-receipt.ts";
import type { Fixture } from "../support/fixture-receipt.ts";
import { hashed } from "../support/receipt-core.ts";

const INPUT = {
  messages: [
    { role: "system", content: "Be brief." },
    { role: "user", content: "Grüße 😀" },
  ],
  temperature: 1e-5,
  max_tokens: 64,
  tools: [{ type: "function", function: { name: "f", parameters: { "10": 1.5, "9": [true, null] } } }],
};
const CALL = { id: "c1", type: "function", function: { name: "f", arguments: "{}" } };
const ANSWERS = {
  text: { message: { role: "assistant", content: "Hi 😀" } },
  calls: { message: { content: null, tool_calls: [CALL] } },
  stream: { deltas: [{ role: "assistant", content: "Hel" }, { content: "lo 😀" }] },
  "stream of calls": { deltas: [{ tool_calls: [{ index: 0, ...CALL }] }, { tool_calls: [{ index: 1, ...CALL }] }] },
} as const;

/** What a reader takes for signed. */
const said = (request: Uint8Array, response: Uint8Array): unknown => {
  const { unsigned: _none, ...answer } = openAiChat.readAnswer(response).answer as Record<string, unknown>;
  return { input: openAiChat.readInput(request), answer };
};

let fixtures: Fixture[];
beforeAll(async () => {
  fixtures = await Promise.all(Object.values(ANSWERS).map((answer) => makeChatReceipt({ input: INPUT, answer })));
});

test("T111: one byte turned, and each hash made right, is verified only if it says the same", async () => {
  const session = createVerificationCache();
  const change = fc.record({
    of: fc.constantFrom(...Object.keys(ANSWERS).keys()),
    part: fc.constantFrom("request", "response"),
    at: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
    by: fc.integer({ min: 1, max: 255 }),
  });
  const property = fc.asyncProperty(change, async ({ of, part, at, by }) => {
    const { receipt, policy, evaluateAt } = fixtures[of]!;
    const core = structuredClone(receipt.core);
    const [request, response] = [fromBase64(core.request.body!), fromBase64(core.response.body!)];
    const before = said(request, response);
    const bytes = part === "request" ? request : response;
    const place = Math.floor(at * bytes.length);
    bytes[place] = bytes[place]! ^ by;
    Object.assign(core[part], hashed(bytes));
    const turned = { ...createReceipt(core), later: receipt.later };
    const { verdict } = await appraise({ receipt: turned, policy, now: evaluateAt, evaluateAt }, session);
    if (verdict === "verified" && JSON.stringify(said(request, response)) !== JSON.stringify(before))
      throw new Error(`verified, and says ${JSON.stringify(said(request, response))}`);
  });
  await fc.assert(property, { numRuns: cases(200, 20_000, 2000) });
  const { receipt, policy, evaluateAt } = fixtures[0]!;
  expect((await appraise({ receipt, policy, now: evaluateAt, evaluateAt }, session)).verdict).toBe("verified");
});
