import { runInNewContext } from "node:vm";
import { describe, expect, test } from "vitest";
import { toHex, sha256, utf8 } from "../../src/evidence/bytes.ts";
import { fix, recordOf } from "../../src/guard/arguments.ts";

const REFUSED = expect.objectContaining({ code: "guard_arguments" }) as unknown;
const fixing = (value: unknown) => (): unknown => fix(value);
const nested = (levels: number, within: (value: unknown) => unknown): unknown => {
  let value: unknown = 1;
  for (let left = levels; left > 0; left -= 1) value = within(value);
  return value;
};

describe("fixed arguments", () => {
  test("are a copy that nothing can change, at every depth", () => {
    const original = { list: [1, { deep: "text" }], flag: true, none: null, big: 5n };
    const fixed = fix(original) as typeof original;
    expect(fixed).toEqual(original);
    expect(fixed).not.toBe(original);
    expect([fixed, fixed.list, fixed.list[1]].every(Object.isFrozen)).toBe(true);
    original.list.push(2);
    expect(fixed.list).toHaveLength(2);
  });

  test.each([null, true, false, 0, -1.5, "", "text", 5n, [], {}])("hold %s as it is", (value) => {
    expect(fix(value)).toEqual(value);
  });

  test("hold a zero without a sign, and no member that is undefined", () => {
    expect(Object.is(fix(-0), 0)).toBe(true);
    expect(Object.keys(fix({ a: undefined, b: 1 }) as object)).toEqual(["b"]);
  });

  test("may be objects without a prototype, or of another realm", () => {
    expect(fix(Object.assign(Object.create(null), { a: 1 }))).toEqual({ a: 1 });
    expect(fix(runInNewContext("({ a: [1] })"))).toEqual({ a: [1] });
  });

  test("are read once", () => {
    let asked = 0;
    const changing = {
      get amount() {
        return (asked += 1);
      },
    };
    expect(fix(changing)).toEqual({ amount: 1 });
    expect(asked).toBe(1);
  });

  test.each<[string, unknown]>([
    ["nothing", undefined],
    ["what is no number", Number.NaN],
    ["an infinity", -Infinity],
    ["a lone surrogate", "\ud800"],
    ["a symbol", Symbol("any")],
    ["a function", () => 1],
    ["a date", new Date(0)],
    ["a map", new Map()],
    ["an object of a class", new URL("https://any.example")],
    ["a hole in a list", Array.from({ length: 1 })],
    ["a key that is a lone surrogate", { "\ud800": 1 }],
    ["a key that would be a prototype", JSON.parse('{"__proto__":{"a":1}}')],
    ["any of these inside", { list: [{ deep: Number.NaN }] }],
  ])("are not %s", (_name, value) => {
    expect(fixing(value)).toThrow(REFUSED);
  });

  test.each<[string, (value: unknown) => unknown]>([
    ["lists", (value) => [value]],
    ["objects", (value) => ({ value })],
  ])("are 64 levels deep at most: %s", (_name, within) => {
    expect(fix(nested(63, within))).toEqual(nested(63, within));
    expect(fixing(nested(64, within))).toThrow(REFUSED);
  });

  test("are 100,000 values at most, the lists and objects among them", () => {
    expect(fix(Array.from({ length: 99_999 }, () => 0))).toHaveLength(99_999);
    expect(fixing(Array.from({ length: 100_000 }, () => 0))).toThrow(REFUSED);
    expect(fixing([Array.from({ length: 99_999 }, () => 0)])).toThrow(REFUSED);
    // A list may say that it is of any length.
    expect(
      fixing(new Proxy([], { get: (list, key) => (key === "length" ? 2 ** 40 : Reflect.get(list, key)) })),
    ).toThrow(REFUSED);
  });
});

describe("the record of arguments", () => {
  test("is their canonical form, with its hash", () => {
    const json = '{"a":[{"$bigint":"-5"},null,true],"b":{"c":"text"},"d":1.5}';
    expect(recordOf({ d: 1.5, b: { c: "text" }, a: [-5n, null, true] })).toEqual({
      json,
      sha256: toHex(sha256(utf8(json))),
    });
  });

  test("is no other value's: what is written like a bigint is none", () => {
    const records = [5n, { $bigint: "5" }, { $$bigint: "5" }, { bigint: "5" }].map((value) => recordOf(value).json);
    expect(new Set(records)).toHaveLength(4);
  });

  test("is a million bytes at most", () => {
    const quotes = 2;
    expect(recordOf("a".repeat(1_000_000 - quotes)).json).toHaveLength(1_000_000);
    expect(() => recordOf("a".repeat(1_000_001 - quotes))).toThrow(REFUSED);
  });
});
