import { describe, expect, test } from "vitest";
import { canonicalJson } from "../../src/evidence/canonical.ts";
import { readArguments } from "../../src/tools/call.ts";
import { readHostArguments } from "../../src/tools/host-arguments.ts";
import { buyInference, listModels, tools, verifyReceipt } from "../../src/tools/index.ts";

const plain = { model: "eth-risk", input: { x: [1, 2] } };
const read = (given: unknown, tool: Parameters<typeof readArguments>[0] = buyInference): unknown => {
  const result = readArguments(tool, given);
  return result.ok ? result.args : result.failure.error;
};

describe("arguments as hosts write them", () => {
  test.each([
    ["all of them as JSON text", JSON.stringify(plain), plain],
    ["an object as JSON text", { ...plain, input: '{"x":[1,2]}' }, plain],
    ["a number as text", { ...plain, max_usd: "0.05" }, { ...plain, max_usd: 0.05 }],
    ["a choice in other letters", { ...plain, assurance: "PROVEN" }, { ...plain, assurance: "proven" }],
    ["null in optional fields", { ...plain, max_usd: null, wait: null, idempotency_key: null }, plain],
    ["empty text in optional fields", { ...plain, seller: "", wait: "", idempotency_key: "" }, plain],
    ['the text "null" in an optional field that does not take it', { ...plain, idempotency_key: "null" }, plain],
    [
      "a whole number beyond a double",
      { ...plain, input: '{"x":[9007199254740993]}' },
      { ...plain, input: { x: ["9007199254740993"] } },
    ],
  ])("%s are read as the schema means them", (_name, given, meant) => {
    expect(read(given)).toEqual(meant);
  });

  test.each([undefined, null, "", "{}"])("no arguments come as %j", (given) => {
    expect(read(given, listModels)).toEqual({});
  });

  test("a field that is undefined is an absent one, and no validator sees it", () => {
    const takes = (): never => {
      throw new Error("JSON has no such value");
    };
    expect(
      readHostArguments({ properties: { id: { type: "string" } }, required: ["id"] }, takes, { id: undefined }),
    ).toEqual({});
  });

  test("text stays text where text is wanted", () => {
    expect(read({ ...plain, model: "7", seller: "null" })).toEqual({ ...plain, model: "7", seller: "null" });
    expect(read({ ...plain, model: '{"a":1}' })).toMatchObject({ model: '{"a":1}' });
    expect(read({ content: { a: 1 } }, verifyReceipt)).toEqual({ content: '{"a":1}' });
  });

  test.each([
    ["a number with a unit", { ...plain, max_usd: "$0.05" }],
    ["a number in another notation", { ...plain, max_usd: "0x1" }],
    ["an endless number", { ...plain, max_usd: "1e999" }],
    ["a required field that is null", { ...plain, input: null }],
    ["a required field that is empty", { ...plain, model: "" }],
    ["an object that names a key twice", { ...plain, input: '{"x":[1],"x":[2]}' }],
    ["text within text", { ...plain, input: JSON.stringify('{"x":[1]}') }],
    ["a list for an object", { ...plain, input: "[1]" }],
  ])("%s is not guessed: no money moved", (_name, given) => {
    expect(read(given)).toMatchObject({ code: "invalid_input", money: "not-moved" });
  });
});

describe("an argument that no schema names", () => {
  const words = {
    reason: "the user asked for it",
    thought: "first buy, then act",
    task_progress: "- [x] list",
    toolCallId: "call_1",
    sessionId: "s-1",
    _meta: { progressToken: 3 },
    comment: null,
    maxUsd: null,
  };

  test("changes no call: its arguments are those without it", () => {
    expect(canonicalJson(read({ ...plain, ...words }))).toEqual(canonicalJson(read(plain)));
  });

  test.each<Record<string, unknown>>([
    { maxUsd: 0.01 },
    { max_USD: "0.01" },
    { _max_usd: 0.01 },
    { ceiling: 0.01 },
    { most: "5 cents" },
    { budget: "five cents" },
    { assurence: "proven" },
    { level: "PROVEN" },
    { seller_id: "plain" },
    { sellr: "plain" },
    { idempotencyKey: "order-0001" },
    { network: "base-sepolia" },
    { options: { max_usd: 0.01 } },
    { dry: "run" },
    { preview: true },
    { go: "false" },
    { widen_policy: true },
    { constructor: 1 },
  ])("ends the purchase where it could be a bound: %j", (given) => {
    const error = read({ ...plain, ...given });
    expect(error).toMatchObject({ code: "invalid_input" });
    expect((error as { message: string }).message).toContain(Object.keys(given)[0] ?? "");
    expect((error as { message: string }).message).toContain("max_usd");
  });

  test("leaves open what became of the money of a key in another spelling", () => {
    expect(read({ ...plain, idempotencyKey: "order-0001" })).not.toHaveProperty("money");
    expect(read({ ...plain, maxUsd: 1 })).toHaveProperty("money", "not-moved");
  });

  test("is left out where no money can move", () => {
    for (const tool of tools.filter(({ annotations }) => annotations.readOnlyHint)) {
      const given = tool.name === "get_receipt" ? { id: "p402_x" } : {};
      expect(read({ ...given, maxUsd: 1, widen_policy: true }, tool), tool.name).toEqual(given);
    }
  });
});
