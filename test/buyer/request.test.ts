import { expect, it } from "vitest";
import { readArguments } from "../../src/buyer/request.ts";
import type { BuyArguments } from "../../src/buyer/types.ts";

const input = { features: [1] };

it.each<[string, BuyArguments]>([
  ["a model, its input and options", ["m", input, { seller: "s", wait: "verified" }]],
  ["a request as one object", [{ model: "m", input, seller: "s", wait: "verified" }]],
  [
    "a request, and options that count before it",
    [
      { model: "m", input, seller: "other" },
      { seller: "s", wait: "verified" },
    ],
  ],
])("a purchase is asked for by %s", (_name, given) => {
  expect(readArguments(given).request).toEqual({ model: "m", input, seller: "s", wait: "verified" });
});

it("bounds of a purchase may be left out", () => {
  expect(readArguments(["m", input])).toEqual({ request: { model: "m", input }, options: {} });
});

it.each([[[]], [["m"]], [["m", [1]]], [["m", null]], [[{ model: "m" }]], [[{ input }]], [[null, input]], [[1, input]]])(
  "%j names no purchase and is refused",
  (given) => {
    expect(() => readArguments(given as unknown as BuyArguments)).toThrow(
      expect.objectContaining({ code: "invalid_input", money: undefined }),
    );
  },
);
