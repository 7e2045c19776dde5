import { expect, it } from "vitest";
import { readArguments } from "../../src/buyer/request.ts";
import type { BuyArguments } from "../../src/buyer/types.ts";

const input = { features: [1] };
const kept = { model: "m", input, maxUsd: 0.001, idempotencyKey: "job-1", seller: "s", callKey: "c" };

it.each<[string, BuyArguments]>([
  ["a model, its input and options", ["m", input, { seller: "s", wait: "verified" }]],
  ["a request as one object", [{ model: "m", input, seller: "s", wait: "verified" }]],
  [
    "a request, and options that count before it",
    [
      { model: "m", input, seller: "t" },
      { seller: "s", wait: "verified" },
    ],
  ],
])("a purchase is asked for by %s", (_name, given) => {
  expect(readArguments(given).request).toEqual({ model: "m", input, seller: "s", wait: "verified" });
});

it("bounds of a purchase may be left out", () => {
  expect(readArguments(["m", input])).toEqual({ request: { model: "m", input }, options: {} });
});

it("an option that is undefined takes no bound and no key from a request", () => {
  const nothing = {
    maxUsd: undefined,
    idempotencyKey: undefined,
    seller: undefined,
    callKey: undefined,
    wait: undefined,
  };
  expect(readArguments([kept, nothing]).request).toEqual(kept);
});

it("options name no other model and no other input", () => {
  const options = { model: "other", input: {} } as object;
  expect(() => readArguments([kept, options])).toThrow(expect.objectContaining({ code: "invalid_input" }));
  expect(() => readArguments(["m", input, options])).toThrow(expect.objectContaining({ code: "invalid_input" }));
});

it.each([
  [[]],
  [["m"]],
  [["m", [1]]],
  [["m", null]],
  [[{ model: "m" }]],
  [[{ input }]],
  [[null, input]],
  [[1, input]],
  [["m", input, "verified"]],
  [["m", input, { max_usd: 0.001 }]],
  [[{ ...kept, max_usd: 0.001 }]],
  [[kept, { maxUSD: 0.001 }]],
])("%j names no purchase, or a bound that is none, and is refused", (given) => {
  expect(() => readArguments(given as unknown as BuyArguments)).toThrow(
    expect.objectContaining({ code: "invalid_input", money: undefined }),
  );
});
