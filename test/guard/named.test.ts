import { describe, expect, test } from "vitest";
import { namedOnly, withReceiptId, type JsonSchema } from "../../src/guard/fields.ts";

const value = { a: 1, b: 2, x1: 3 };
const a = { properties: { a: {} } };

describe("a key stays where the schema", () => {
  test.each<[string, JsonSchema, string]>([
    ["names it as a property", a, "a"],
    ["names none at all", { type: "object" }, "a b x1"],
    ["lets any be there, and names none", { additionalProperties: {} }, "a b x1"],
    ["lets none be there", { additionalProperties: false }, ""],
    ["describes what other keys hold", { ...a, additionalProperties: { type: "number" } }, "a b x1"],
    ["describes others by nothing", { ...a, additionalProperties: {} }, "a"],
    ["allows others without a word of them", { ...a, additionalProperties: true }, "a"],
    ["matches it", { patternProperties: { "^x": {} } }, "x1"],
    ["names it or matches it", { ...a, patternProperties: { "^x": true } }, "a x1"],
    [
      "names and matches it, whatever is said of others",
      { ...a, patternProperties: { "^a": { type: "number" } } },
      "a",
    ],
    ["requires it", { ...a, required: ["b"] }, "a b"],
    ["requires something that is no list", { ...a, required: "b" }, "a"],
    ["says of which form names are", { ...a, propertyNames: { minLength: 1 } }, "a b x1"],
    ["says nothing of the form of names", { ...a, propertyNames: true }, "a"],
    ["takes it in one alternative", { anyOf: [a, { properties: { b: {} } }] }, "a b"],
    ["takes it in one of several", { oneOf: [a, { properties: { b: {} } }] }, "a b"],
    ["takes it in a part", { allOf: [a, { properties: { b: {} } }] }, "a b"],
    [
      "takes it under a condition",
      // oxlint-disable-next-line unicorn/no-thenable -- a word of JSON Schema
      { if: a, then: { properties: { b: {} } }, else: { properties: { x1: {} } } },
      "a b x1",
    ],
    ["takes anything as an alternative", { anyOf: [a, { type: "object" }] }, "a b x1"],
    ["takes anything as one of several", { oneOf: [a, {}] }, "a b x1"],
    ["takes any object in a part", { allOf: [a, { type: "object" }] }, "a"],
    ["lists its keys, whatever alternatives take", { ...a, anyOf: [{ type: "object" }] }, "a"],
    ["takes no object as the alternative", { anyOf: [a, { type: "string" }] }, "a"],
    ["takes one value as the alternative", { anyOf: [a, { const: 1 }] }, "a"],
    ["takes some values as the alternative", { anyOf: [a, { enum: [1] }] }, "a"],
    ["has alternatives of alternatives", { anyOf: [{ anyOf: [a] }, { oneOf: [a] }, { allOf: [a] }] }, "a"],
    ["has alternatives that are none", { anyOf: [null, 1, [], a] }, "a"],
    ["refers to what names it", { $ref: "#/$defs/one", $defs: { one: a } }, "a"],
    ["refers by an alternative to what names it", { anyOf: [{ $ref: "#/$defs/one" }], $defs: { one: a } }, "a"],
    ["refers to a key with a slash", { $ref: "#/$defs/o~1n~0e", $defs: { "o/n~e": a } }, "a"],
    ["refers to a key by its code", { $ref: "#/$defs/o%20e", $defs: { "o e": a } }, "a"],
    ["refers to nothing", { ...a, $ref: "#/$defs/none" }, "a"],
    ["refers to what every object has", { ...a, $ref: "#/constructor" }, "a"],
    ["refers to another schema", { ...a, $ref: "https://schema.example/one#/$defs/one", $defs: { one: {} } }, "a"],
    ["refers to itself", { ...a, $ref: "#" }, "a"],
    ["refers to no text", { ...a, $ref: 1 }, "a"],
    ["has properties that are none", { properties: ["a"], additionalProperties: false }, ""],
  ])("%s", (_name, schema, keys) => {
    expect(Object.keys(namedOnly(value, schema) as object).join(" ")).toBe(keys);
  });

  test("does not have it of every object", () => {
    const odd = JSON.parse('{"constructor":1,"toString":2}') as object;
    expect(namedOnly(odd, a)).toEqual({});
    expect(namedOnly(odd, { properties: { toString: {} } })).toEqual({ toString: 2 });
  });
});

describe("what a key holds is reduced as well", () => {
  const given = { a: 1, z: 9 };

  test.each<[string, unknown, JsonSchema, unknown]>([
    ["under a property", { p: given }, { properties: { p: a } }, { p: { a: 1 } }],
    ["under a pattern", { p: given }, { patternProperties: { "^p": a } }, { p: { a: 1 } }],
    [
      "under both",
      { p: value },
      { properties: { p: a }, patternProperties: { p: { properties: { b: {} } } } },
      { p: { a: 1, b: 2 } },
    ],
    ["under what is said of others", { p: given }, { additionalProperties: a }, { p: { a: 1 } }],
    [
      "but not by what is said of others",
      { p: given },
      { properties: { p: {} }, additionalProperties: a },
      { p: given },
    ],
    ["but not where it may be anything", { p: given }, { properties: { p: true } }, { p: given }],
    ["but not where nothing sensible is said of it", { p: given }, { properties: { p: null } }, { p: given }],
    ["in a list", [given, given], { items: a }, [{ a: 1 }, { a: 1 }]],
    ["in a list of anything", [given], {}, [given]],
    ["in a tuple, by place", [given, given, given], { prefixItems: [a, {}], items: a }, [{ a: 1 }, given, { a: 1 }]],
    ["in an older tuple, by place", [given, given], { items: [a], additionalItems: {} }, [{ a: 1 }, given]],
    ["in an older tuple, by the rest", [given, given], { items: [{}], additionalItems: a }, [given, { a: 1 }]],
    ["not by the rest of a list that is no tuple", [given], { items: {}, additionalItems: a }, [given]],
    ["in a list of lists", [[given]], { items: { items: a } }, [[{ a: 1 }]]],
    [
      "in what refers to itself",
      { next: { next: { next: null, z: 9 }, z: 9 } },
      { properties: { next: { $ref: "#" } } },
      { next: { next: { next: null } } },
    ],
  ])("%s", (_name, held, schema, expected) => {
    expect(namedOnly(held, schema)).toEqual(expected);
  });

  test.each([null, 1, "text", true, undefined])("and %j stays as it is", (scalar) => {
    expect(namedOnly(scalar, a)).toBe(scalar);
  });
});

const RECEIPT_ID = expect.objectContaining({ type: "string", minLength: 1, maxLength: 64 }) as unknown;

describe("a guarded tool's schema", () => {
  const guarded = (schema: JsonSchema): JsonSchema => withReceiptId("tool", schema);
  const both = { properties: { a: {}, receipt_id: RECEIPT_ID } };

  test.each<[string, JsonSchema, JsonSchema]>([
    [
      "asks for the receipt besides what the tool asks for",
      { type: "object", ...a, required: ["a"], additionalProperties: false },
      { type: "object", ...both, required: ["a", "receipt_id"], additionalProperties: false },
    ],
    ["of properties is of an object", a, { type: "object", ...both, required: ["receipt_id"] }],
    [
      "of nothing asks for the receipt",
      { type: "object", required: "a" },
      { type: "object", properties: { receipt_id: RECEIPT_ID }, required: ["receipt_id"] },
    ],
    [
      "of properties that are none asks for the receipt",
      { type: "object", properties: ["a"] },
      { type: "object", properties: { receipt_id: RECEIPT_ID }, required: ["receipt_id"] },
    ],
    [
      "takes no definitions from a list",
      { type: "object", required: [{ $ref: "#" }], $defs: ["n"] },
      {
        type: "object",
        properties: { receipt_id: RECEIPT_ID },
        required: [{ $ref: "#/$defs/arguments_without_receipt" }, "receipt_id"],
        $defs: {
          arguments_without_receipt: {
            type: "object",
            required: [{ $ref: "#/$defs/arguments_without_receipt" }],
            $defs: ["n"],
          },
        },
      },
    ],
    [
      "admits it in every alternative",
      { anyOf: [{ ...a, additionalProperties: false }, { type: "object" }] },
      {
        type: "object",
        anyOf: [
          { type: "object", ...both, additionalProperties: false },
          { type: "object", properties: { receipt_id: RECEIPT_ID } },
        ],
        properties: { receipt_id: RECEIPT_ID },
        required: ["receipt_id"],
      },
    ],
    [
      "refers to its own parts without the receipt",
      { type: "object", properties: { a: { $ref: "#/$defs/n" }, b: [{ $ref: "#" }] }, $defs: { n: { $ref: 1 } } },
      {
        type: "object",
        properties: {
          a: { $ref: "#/$defs/arguments_without_receipt/$defs/n" },
          b: [{ $ref: "#/$defs/arguments_without_receipt" }],
          receipt_id: RECEIPT_ID,
        },
        required: ["receipt_id"],
        $defs: {
          n: { $ref: 1 },
          arguments_without_receipt: {
            type: "object",
            properties: {
              a: { $ref: "#/$defs/arguments_without_receipt/$defs/n" },
              b: [{ $ref: "#/$defs/arguments_without_receipt" }],
            },
            $defs: { n: { $ref: 1 } },
          },
        },
      },
    ],
    [
      "leaves other references alone",
      { type: "object", properties: { a: { $ref: "https://schema.example/one" }, b: { $ref: "#" } } },
      {
        type: "object",
        properties: {
          a: { $ref: "https://schema.example/one" },
          b: { $ref: "#/$defs/arguments_without_receipt" },
          receipt_id: RECEIPT_ID,
        },
        required: ["receipt_id"],
        $defs: {
          arguments_without_receipt: {
            type: "object",
            properties: {
              a: { $ref: "https://schema.example/one" },
              b: { $ref: "#/$defs/arguments_without_receipt" },
            },
          },
        },
      },
    ],
    [
      "stays without definitions where nothing refers to it",
      { type: "object", properties: { a: { $ref: "https://schema.example/one" } } },
      {
        type: "object",
        properties: { a: { $ref: "https://schema.example/one" }, receipt_id: RECEIPT_ID },
        required: ["receipt_id"],
      },
    ],
  ])("%s", (_name, schema, expected) => {
    expect(guarded(schema)).toEqual(expected);
  });

  test.each<[string, JsonSchema]>([
    ["a text", { type: "string" }],
    ["a text with properties", { type: "string", ...a }],
    ["no type", {}],
    ["several types", { type: ["object", "null"] }],
    ["an object with a receipt_id", { type: "object", properties: { receipt_id: {} } }],
    ["a choice of which one is a text", { anyOf: [{ type: "object" }, { type: "string" }] }],
    ["a choice of which one has a receipt_id", { oneOf: [{ properties: { receipt_id: {} } }] }],
  ])("is not of %s", (_name, schema) => {
    expect(() => guarded(schema)).toThrow(expect.objectContaining({ code: "guard_schema" }));
  });
});
