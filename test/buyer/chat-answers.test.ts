import { expect, test } from "vitest";
import { utf8 } from "../../src/evidence/bytes.ts";
import { answerOf, deliveredAnswer } from "../../src/buyer/answer.ts";
import { withheldFrom } from "../../src/buyer/withheld.ts";
import type { Seller } from "../../src/market/types.ts";
import { createReceipt, serializeReceipt } from "../../src/receipts/receipt.ts";
import type { Receipt } from "../../src/receipts/schema.ts";
import { isSignature } from "../../src/receipts/signature-schema.ts";
import { verifyReceipt } from "../../src/verify/index.ts";
import { makeChatReceipt, textOfPart } from "../support/chat-receipt.ts";
import { hashed } from "../support/receipt-core.ts";

test("an attesting seller is held for a missing signature and for an unreadable one, each by its reason", async () => {
  const fixture = await makeChatReceipt();
  const text = textOfPart(fixture, "response");
  const reasonOf = async (response: string, signed = false): Promise<string | null> => {
    const { core, later } = structuredClone(fixture.receipt);
    Object.assign(core.response, hashed(utf8(response)));
    if (!signed) core.evidence = core.evidence.filter((one) => !isSignature(one));
    const receipt = { ...createReceipt(core), later };
    const verification = await verifyReceipt(serializeReceipt(receipt), fixture.policy, { at: fixture.evaluateAt });
    if (!verification.ok) throw new Error(verification.message);
    return withheldFrom({ assurance: "attested" } as Seller, { ...receipt, appraisals: [verification.appraisal] });
  };
  expect(await reasonOf(text, true)).toBeNull();
  expect(await reasonOf(text.replace("tee_signature", "tea"))).toBe(
    "evidence_withheld: the answer came without its signature",
  );
  expect(await reasonOf(text.replace(/"tee_timestamp":(\d+)/, '"tee_timestamp":"$1"'))).toBe(
    "evidence_withheld: the answer's signature could not be read",
  );
});

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
