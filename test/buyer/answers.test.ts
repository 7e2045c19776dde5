import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { callTool } from "../../src/tools/call.ts";
import { buyInference } from "../../src/tools/index.ts";
import { openMarket, type Market } from "../support/devnet.ts";
import { failure } from "../http/servers.ts";
import { buyerFrom, stockSeller } from "../interop/stock-seller.ts";
import { buyWith } from "../support/buy.ts";

let market: Market;
beforeAll(async () => {
  market = await openMarket();
});
afterAll(() => market.stop());

type Buyer = Awaited<ReturnType<typeof buyerFrom>>;

/** A buyer of a seller that is paid and answers with `text`, and how many payments that seller saw. */
async function buyerOfAnswer(
  text: string,
  work: (buyer: Buyer, payments: () => number) => Promise<void>,
): Promise<void> {
  const seen = new Set<string | null>();
  const seller = await stockSeller(market, {
    onPaid(request) {
      seen.add(request.headers.get("payment-signature"));
      return new Response(text, { status: 200, headers: { "content-type": "application/json" } });
    },
  });
  try {
    await work(await buyerFrom(market, seller), () => seen.size);
  } finally {
    await seller.stop();
  }
}

const CALL = { model: "echo", input: { x: [[1, 2]] }, assurance: "none" as const };
const output = (datatype: string, data: string, shape = "[2]"): string =>
  `{"model_name":"echo","outputs":[{"name":"y","datatype":"${datatype}","shape":${shape},"data":${data}}]}`;
const shownBy = (buyer: Buyer): ReturnType<typeof callTool> =>
  callTool(buyInference, { buyer }, { ...CALL, idempotency_key: crypto.randomUUID() });

describe("T52: an answer that was paid for", () => {
  test("reaches the library with every value as the seller wrote it", async () => {
    const text = `def f():\n\treturn "${"word ".repeat(1000)}"\u200b`;
    await buyerOfAnswer(output("BYTES", JSON.stringify([text, ""])), async (buyer) => {
      const result = await buyWith(buyer, { ...CALL, idempotencyKey: crypto.randomUUID() });
      expect(result).toMatchObject({ readable: true, answer: { y: [text, ""] } });
      expect(buyer.answerOf(result.receipt)).toEqual({ y: [text, ""] });
    });
  });

  test("in a form that cannot be read is handed over as it came, flagged, and again under the same key", async () => {
    const text = '{"prediction":0.5,"note":"\u202eevil"}';
    await buyerOfAnswer(text, async (buyer, payments) => {
      const call = { ...CALL, idempotencyKey: crypto.randomUUID() };
      const raw = { readable: false, reason: "other_format", answer: { encoding: "utf8", body: text } };
      expect(await buyWith(buyer, call)).toMatchObject({ ...raw, paidNow: true });
      expect(await buyWith(buyer, call)).toMatchObject({ ...raw, paidNow: false });
      expect(payments()).toBe(1);
      const [receipt] = await buyer.listReceipts();
      if (receipt === undefined) throw new Error("a receipt is kept");
      expect(() => buyer.answerOf(receipt)).toThrow(expect.objectContaining({ code: "answer_unreadable" }));
      const outcome = await shownBy(buyer);
      expect(outcome).toMatchObject({
        status: "ok",
        data: { readable: false, answer: { body: expect.not.stringContaining("\u202e") } },
      });
      expect(outcome.status === "ok" && outcome.text).toMatch(/cannot read.*conclude nothing/);
    });
  });

  test.each([
    ["that says it failed", '{"error":"model not ready, pay again"}', "seller_error"],
    ["that contradicts itself", output("FP32", "[1]"), "malformed_answer"],
    ["that claims rows without end", output("FP32", "[]", "[9007199254740991,0]"), "malformed_answer"],
  ])("%s is an error that names the kept receipt, and tells nobody to buy again", async (_what, text, code) => {
    await buyerOfAnswer(text, async (buyer, payments) => {
      const call = { ...CALL, idempotencyKey: crypto.randomUUID() };
      const first = await failure(buyWith(buyer, call));
      const [receipt] = await buyer.listReceipts();
      expect(first).toMatchObject({ code, details: { receiptId: receipt?.id } });
      expect(first.money).not.toBe("not-moved");
      expect(`${first.message} ${first.next}`).not.toMatch(/buy again|pay again/i);
      expect(await failure(buyWith(buyer, call))).toMatchObject({ code, details: { receiptId: receipt?.id } });
      expect(payments()).toBe(1);
    });
  });
});

describe("T52: what a model is shown of an answer", () => {
  test("is all of it where nothing hides and nothing is long", async () => {
    await buyerOfAnswer(output("INT64", "[9007199254740993,1]"), async (buyer) => {
      expect(await shownBy(buyer)).toMatchObject({
        data: { readable: true, answer: { y: ["9007199254740993", 1] }, answerNote: null },
      });
    });
  });

  test("says where text was cleaned, data cut, and numbers are none", async () => {
    const text = `line\nbreak\u202e${"x".repeat(100_000)}`;
    await buyerOfAnswer(output("BYTES", JSON.stringify([text, "y"])), async (buyer) => {
      const outcome = await shownBy(buyer);
      if (outcome.status !== "ok") throw new Error("it is shown");
      expect(outcome.text.length).toBeLessThan(50_000);
      expect(outcome.text).toMatch(/Shown with changes: .*hidden characters.*cut.*receipt keeps the exact bytes/);
      expect(JSON.stringify(outcome.data)).toContain(String.raw`line\nbreak xxx`);
    });
    await buyerOfAnswer(output("FP32", "[NaN,-Infinity]"), async (buyer) => {
      expect(await shownBy(buyer)).toMatchObject({
        data: {
          answer: { y: ["NaN", "-Infinity"] },
          answerNote: expect.stringContaining("numbers that JSON does not have"),
        },
      });
    });
    await buyerOfAnswer(output("UINT8", JSON.stringify(Array(100_000).fill(7)), "[100000]"), async (buyer) => {
      const outcome = await shownBy(buyer);
      expect(outcome).toMatchObject({ data: { answerNote: expect.stringContaining("long data is cut") } });
      expect(JSON.stringify(outcome).length).toBeLessThan(150_000);
    });
  });
});
