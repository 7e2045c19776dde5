import canonicalize from "canonicalize";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { fromHex, fromUtf8, toHex } from "../../src/evidence/bytes.ts";
import { canonicalJson, canonicalObject, canonicalText } from "../../src/evidence/canonical.ts";

const text = (value: unknown): string => fromUtf8(canonicalJson(value));

describe("the examples of RFC 8785", () => {
  test("§3.2.2 to §3.2.4: literals, numbers and strings come out byte for byte", () => {
    const value: unknown = JSON.parse(String.raw`{
      "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
      "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
      "literals": [null, true, false]
    }`);
    expect(toHex(canonicalJson(value))).toBe(
      "7b226c69746572616c73223a5b6e756c6c2c747275652c66616c73655d2c226e756d62657273223a5b3333333333333333332e33" +
        "3333333333332c31652b33302c342e352c302e3030322c31652d32375d2c22737472696e67223a22e282ac245c75303030665c6e" +
        "4127425c225c5c5c5c5c222f227d",
    );
  });

  test("§3.2.3: keys are sorted by UTF-16 code units", () => {
    const value: unknown = JSON.parse(String.raw`{
      "\u20ac": "Euro Sign",
      "\r": "Carriage Return",
      "\ufb33": "Hebrew Letter Dalet With Dagesh",
      "1": "One",
      "\ud83d\ude00": "Emoji: Grinning Face",
      "\u0080": "Control",
      "\u00f6": "Latin Small Letter O With Diaeresis"
    }`);
    expect([...text(value).matchAll(/:"([^"]+)"/g)].map((match) => match[1])).toEqual([
      "Carriage Return",
      "One",
      "Control",
      "Latin Small Letter O With Diaeresis",
      "Euro Sign",
      "Emoji: Grinning Face",
      "Hebrew Letter Dalet With Dagesh",
    ]);
  });

  test.each([
    ["0000000000000000", "0"],
    ["8000000000000000", "0"],
    ["0000000000000001", "5e-324"],
    ["8000000000000001", "-5e-324"],
    ["7fefffffffffffff", "1.7976931348623157e+308"],
    ["ffefffffffffffff", "-1.7976931348623157e+308"],
    ["4340000000000000", "9007199254740992"],
    ["c340000000000000", "-9007199254740992"],
    ["4430000000000000", "295147905179352830000"],
    ["44b52d02c7e14af5", "9.999999999999997e+22"],
    ["44b52d02c7e14af6", "1e+23"],
    ["44b52d02c7e14af7", "1.0000000000000001e+23"],
    ["444b1ae4d6e2ef4e", "999999999999999700000"],
    ["444b1ae4d6e2ef4f", "999999999999999900000"],
    ["444b1ae4d6e2ef50", "1e+21"],
    ["3eb0c6f7a0b5ed8c", "9.999999999999997e-7"],
    ["3eb0c6f7a0b5ed8d", "0.000001"],
    ["41b3de4355555553", "333333333.3333332"],
    ["41b3de4355555554", "333333333.33333325"],
    ["41b3de4355555555", "333333333.3333333"],
    ["41b3de4355555556", "333333333.3333334"],
    ["41b3de4355555557", "333333333.33333343"],
    ["becbf647612f3696", "-0.0000033333333333333333"],
    ["43143ff3c1cb0959", "1424953923781206.2"],
  ])("appendix B: the number %s is written %s", (bits, written) => {
    const number = new DataView(fromHex(bits).buffer).getFloat64(0);
    expect(text([number])).toBe(`[${written}]`);
  });
});

test.each([
  ["NaN", Number.NaN],
  ["an infinity", [Infinity]],
  ["a lone high surrogate", "a\ud800"],
  ["a lone low surrogate", { k: ["\udc00b"] }],
  ["a lone surrogate in a key", { "\udfff": 1 }],
  ["a lone surrogate behind a backslash", "\\\ud800"],
  ["nothing", undefined],
  ["a function", () => 1],
])("%s has no canonical form", (_name, value) => {
  expect(() => canonicalJson(value)).toThrow(Error);
});

test.each(["\\ud800", "\\\\udfff", '"\\ud834', "\ud83d\ude00", "\\\ud83d\ude00"])(
  "the well-formed text %j keeps its meaning",
  (value) => {
    expect(JSON.parse(text({ value }))).toEqual({ value });
  },
);

const anyJson = fc.jsonValue({ maxDepth: 4 });

test("any JSON value is read back the same, whatever order its keys were in", () => {
  const reversed = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(reversed);
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(
      Object.entries(value)
        .toReversed()
        .map(([key, item]) => [key, reversed(item)]),
    );
  };
  fc.assert(
    fc.property(anyJson, (value) => {
      const written = text(value);
      expect(JSON.parse(written)).toEqual(JSON.parse(JSON.stringify(value)));
      expect(text(reversed(value))).toBe(written);
    }),
  );
});

test("any value comes out as the reference implementation writes it, or is refused by both", () => {
  const writesItself = { paid: "5", toJSON: () => ({ paid: 5 }) };
  const leaf = fc.oneof(
    fc.string(),
    fc.double(),
    fc.constantFrom(undefined, -0, Number.NaN, Infinity, 1e21, Symbol("s"), () => 1),
    fc.constantFrom(writesItself, new Date(0), Object.create({ inherited: 1 }), Object.assign([1], { length: 3 })),
  );
  const { value } = fc.letrec((tie) => ({
    value: fc.oneof({ depthSize: "small" }, leaf, fc.array(tie("value")), fc.dictionary(fc.string(), tie("value"))),
  }));
  const outcome = (write: () => unknown): unknown => {
    try {
      return write() ?? "refused";
    } catch {
      return "refused";
    }
  };
  fc.assert(
    fc.property(value, (one) => {
      expect(outcome(() => canonicalText(one))).toBe(outcome(() => canonicalize(one)));
    }),
  );
});

test("an object's text is made of its members' texts", () => {
  const members = fc.dictionary(fc.string(), fc.jsonValue());
  fc.assert(
    fc.property(members, (value) => {
      const texts = Object.entries(value).map(([key, member]) => [key, canonicalText(member)]);
      expect(canonicalObject(Object.fromEntries(texts) as Record<string, string>)).toBe(canonicalText(value));
    }),
  );
});
