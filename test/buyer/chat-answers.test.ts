import { expect, test } from "vitest";
import { utf8 } from "../../src/evidence/bytes.ts";
import { answerOf, deliveredAnswer } from "../../src/buyer/answer.ts";
import type { Receipt } from "../../src/receipts/schema.ts";
import { makeChatReceipt, textOfPart } from "../support/chat-receipt.ts";
import { hashed } from "../support/receipt-core.ts";

test("T111: a stream that broke off is never handed over as an answer, and the error says so by its code", async () => {
  const fixture = await makeChatReceipt({ answer: { deltas: [{ content: "Pay Bob " }, { content: "NOT" }] } });
  const came = (text: string): Receipt => {
    const { core, ...rest } = fixture.receipt;
    return { ...rest, core: { ...core, response: { ...core.response, ...hashed(utf8(text)) } } };
  };
  const whole = textOfPart(fixture, "response");
  expect(deliveredAnswer(came(whole))).toMatchObject({ readable: true, answer: { text: "Pay Bob NOT" } });
  const half = came(whole.slice(0, whole.indexOf("NOT")));
  expect(() => deliveredAnswer(half)).toThrow(expect.objectContaining({ code: "answer_unfinished" }));
  expect(() => answerOf(half)).toThrow(expect.objectContaining({ code: "answer_unreadable" }));
  const two = came(whole.replace('"model":"gpt-4.1-2025-04-14"', '"model":"cheap"'));
  expect(() => deliveredAnswer(two)).toThrow(expect.objectContaining({ code: "malformed_answer" }));
});
