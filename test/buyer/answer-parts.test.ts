import { expect, test } from "vitest";
import { createPartsTeller } from "../../src/buyer/answer-parts.ts";
import type { BuyOptions } from "../../src/buyer/types.ts";
import { utf8 } from "../../src/evidence/bytes.ts";
import type { Receipt } from "../../src/receipts/schema.ts";
import { makeChatReceipt, textOfPart } from "../support/chat-receipt.ts";
import { hashed } from "../support/receipt-core.ts";

type Told = Parameters<NonNullable<BuyOptions["onAnswerPart"]>>[0];

const fixture = await makeChatReceipt({ answer: { deltas: [{ content: "Pay Bob " }, { content: "😀" }] } });
const answer = utf8(textOfPart(fixture, "response"));
const receiptOf = (body: Uint8Array): Receipt => {
  const { core, ...rest } = fixture.receipt;
  return { ...rest, core: { ...core, response: { ...core.response, ...hashed(body) } } };
};

function listening(signal?: AbortSignal): { told: Told[]; options: BuyOptions } {
  const told: Told[] = [];
  return { told, options: { signal, onAnswerPart: (part) => void told.push(part) } };
}

const PARTS = [
  { text: "Pay Bob ", unverified: true },
  { text: "😀", unverified: true },
];

test("the pieces of an answer are told as they come, and none of them twice", () => {
  const { told, options } = listening();
  const teller = createPartsTeller(options);
  const heard = teller.hear("opengradient");
  heard.onHead({ status: 200, headers: {} });
  heard.onBody(answer.slice(0, answer.length / 2));
  expect(told.length).toBeGreaterThan(0);
  heard.onBody(answer.slice(answer.length / 2));
  expect(told).toEqual(PARTS);
  teller.tellRest(receiptOf(answer));
  expect(told).toEqual(PARTS);
});

test("a stored answer is told at once, one that is no stream as one piece, one of another kind not at all", async () => {
  const { told, options } = listening();
  createPartsTeller(options).tellRest(receiptOf(answer));
  expect(told.splice(0)).toEqual(PARTS);
  const whole = await makeChatReceipt({ answer: { message: { content: "Hi" } } });
  createPartsTeller(options).tellRest(whole.receipt);
  expect(told.splice(0)).toEqual([{ text: "Hi", unverified: true }]);
  const { core, ...rest } = fixture.receipt;
  createPartsTeller(options).tellRest({ ...rest, core: { ...core, seller: { ...core.seller, provider: "oip" } } });
  createPartsTeller(options).tellRest({ ...rest, core: { ...core, seller: { ...core.seller, provider: "later" } } });
  expect(told).toEqual([]);
});

test("pieces of another answer than the call's are taken back", () => {
  const { told, options } = listening();
  const teller = createPartsTeller(options);
  const heard = teller.hear("opengradient");
  heard.onHead({ status: 200, headers: {} });
  heard.onBody(answer.slice(0, -20));
  teller.tellRest(receiptOf(answer));
  expect(told).toEqual([...PARTS, { restart: true, unverified: true }, ...PARTS]);
});

test("a refusal is no piece of an answer, and a caller that gave up is told nothing more", () => {
  const giving = new AbortController();
  const { told, options } = listening(giving.signal);
  const teller = createPartsTeller(options);
  const refused = teller.hear("opengradient");
  refused.onHead({ status: 402, headers: {} });
  refused.onBody(answer);
  expect(told).toEqual([]);
  const heard = teller.hear("opengradient");
  heard.onHead({ status: 200, headers: {} });
  giving.abort();
  heard.onBody(answer);
  teller.tellRest(receiptOf(answer));
  expect(told).toEqual([]);
});

test("T33: a listener to pieces that throws stops nothing", () => {
  const teller = createPartsTeller({
    onAnswerPart: () => {
      throw new Error("its own business");
    },
  });
  expect(() => teller.tellRest(receiptOf(answer))).not.toThrow();
});
