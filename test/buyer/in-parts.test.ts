import { expect, test } from "vitest";
import { createTold, judgedChat } from "../../src/buyer/chat-result.ts";
import { buyInParts } from "../../src/buyer/in-parts.ts";
import { createPaidAnswers } from "../../src/buyer/paid-answers.ts";
import { createPartsTeller } from "../../src/buyer/answer-parts.ts";
import type { Buyer, BuyOptions, BuyResult } from "../../src/buyer/types.ts";
import { Proof402Error } from "../../src/errors.ts";
import { bytesOf } from "../../src/evidence/body.ts";
import { openAiChat } from "../../src/evidence/exchange/openai-chat/openai-chat.ts";
import { makeChatReceipt, textOfPart } from "../support/chat-receipt.ts";
import { utf8 } from "../../src/evidence/bytes.ts";

const fixture = await makeChatReceipt({ answer: { deltas: [{ content: "Pay Bob " }, { content: "now" }] } });
const { receipt } = fixture;
const stored = utf8(textOfPart(fixture, "response"));
const result = {
  ...openAiChat.readAnswer(bytesOf(receipt.core.response.body!)),
  receipt,
  verdict: "unverified",
  idempotencyKey: "key-of-the-call",
} as BuyResult;

/** A purchase whose wire brought these bytes, while the journal holds another process's answer: the fixture's. */
function buyerThatHeard(bytes: Uint8Array): Pick<Buyer, "buy"> {
  return {
    buy: ((...given: unknown[]) => {
      const teller = createPartsTeller(given[2] as BuyOptions);
      const heard = teller.hear("opengradient");
      heard.onHead({ status: 200, headers: {} });
      heard.onBody(bytes);
      teller.tellRest(receipt);
      return Promise.resolve(result);
    }) as unknown as Buyer["buy"],
  };
}

async function toldOf(bytes: Uint8Array): Promise<string> {
  const told = createTold();
  let text = "";
  for await (const event of buyInParts(buyerThatHeard(bytes), "m", {}, {})) {
    if ("part" in event) {
      told.add(event.part);
      text += event.part.text ?? "";
      continue;
    }
    text += told.restOf(event.result, judgedChat(event.result, false)).text;
  }
  return text;
}

test("an answer that begins again is told once, and another answer is an error that the memory keeps", async () => {
  expect(await toldOf(stored.slice(0, -20))).toBe("Pay Bob now");
  const other = utf8(textOfPart(fixture, "response").replace("Pay Bob", "Pay Eve"));
  const error = await toldOf(other).catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({ code: "answer_replaced", idempotencyKey: "key-of-the-call" });
  let now = 0;
  const paid = createPaidAnswers(() => new Date(now));
  paid.refused("digest", error);
  expect(paid.keyFor("digest")).toBe("key-of-the-call");
  now = 120_000;
  expect(paid.keyFor("digest")).toBeUndefined();
  paid.refused("other", new Proof402Error("aborted", "x", { next: "x", idempotencyKey: "key-of-another" }));
  expect(paid.keyFor("other")).toBeUndefined();
});

test("a reading is its reader's own: changing it changes no other", async () => {
  const odd = await makeChatReceipt({ answer: { message: { content: "Hi", audio: { id: "x" } } } });
  const read = (): { not_read: string[] } => {
    const { answer } = openAiChat.readAnswer(bytesOf(odd.receipt.core.response.body!));
    return (answer as { unsigned: { not_read: string[] } }).unsigned;
  };
  read().not_read.push("mine");
  expect(read().not_read).toEqual(["audio"]);
});
