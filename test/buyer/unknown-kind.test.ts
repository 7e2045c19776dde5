import { expect, test } from "vitest";
import { answerOf, inputOf } from "../../src/buyer/answer.ts";
import { redactReceipt } from "../../src/receipts/receipt.ts";
import { makeFixture } from "../support/fixture-receipt.ts";

const coded = (code: string) => expect.objectContaining({ code }) as Error;

test("input and answer of a kind of seller that is not known here are not guessed at", async () => {
  const { receipt } = await makeFixture();
  expect(Object.keys(inputOf(receipt))).toEqual(["features"]);
  const seller = { ...receipt.core.seller, provider: "bank" };
  const unknown = { ...receipt, core: { ...receipt.core, seller } };
  for (const read of [inputOf, answerOf]) expect(() => read(unknown)).toThrow(coded("provider_unknown"));
});

test("input and answer that are left out are not given", async () => {
  const redacted = redactReceipt((await makeFixture()).receipt, { request: true, response: true });
  for (const read of [inputOf, answerOf]) expect(() => read(redacted)).toThrow(coded("body_redacted"));
});
