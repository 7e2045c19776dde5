import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isInteroperable, parseJsonText, respeltNumbers } from "../../src/evidence/json-text.ts";

const valueOf = (text: string): unknown => {
  const parsed = parseJsonText(text);
  return parsed.ok ? parsed.value : undefined;
};
const isRead = (text: string): boolean => parseJsonText(text).ok;

const isGrammatical = (text: string): boolean => {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
};

describe("reading JSON from outside", () => {
  it("names the numbers that are written in another spelling", () => {
    const spelt = '{"a":[1.0,-0.0,-0,1e16,1E2,0.10,9007199254740993.0,-1e400],"1.0":"2.0 \\" 3.0"}';
    expect(respeltNumbers(spelt)).toEqual(["1.0", "-0.0", "-0", "1e16", "1E2", "0.10", "9007199254740993.0", "-1e400"]);
    fc.assert(fc.property(fc.jsonValue(), (value) => respeltNumbers(JSON.stringify(value)).length === 0));
  });

  it("reads what JSON.parse reads, whatever is in keys and strings", () => {
    const safe = fc.jsonValue({ maxDepth: 12 }).filter((value) => !JSON.stringify(value).includes("__proto__"));
    fc.assert(
      fc.property(safe, fc.constantFrom(0, 1, 4), (value, indent) => {
        const text = JSON.stringify(value, null, indent);
        expect(valueOf(text)).toEqual(JSON.parse(text));
      }),
      { numRuns: 500 },
    );
  });

  it("refuses whole numbers that another reader would hold as other ones", () => {
    const beyond = [
      "9007199254740993",
      "-9007199254740993",
      "1152921504606846977",
      "18446744073709551615",
      "1".repeat(400),
    ];
    for (const number of beyond)
      for (const text of [number, `[${number}]`, `{"a":1,"b":${number} }`, `[0,${number},0]`])
        expect(isRead(text)).toBe(false);
    fc.assert(
      fc.property(fc.double({ noDefaultInfinity: true, noNaN: true }), (number) => {
        expect(isRead(JSON.stringify([number]))).toBe(true);
      }),
    );
    for (const text of ["9007199254740991", "-9007199254740991", '"9007199254740993"', '{"9007199254740993":0}'])
      expect(isRead(text)).toBe(true);
  });

  it("refuses what JSON.parse refuses", () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...'{}[]",:\\u019aeE+-. \ntrufalsn'.split("")) }), (text) => {
        fc.pre(!isGrammatical(text));
        expect(isRead(text)).toBe(false);
      }),
      { numRuns: 2000 },
    );
  });

  it("refuses an object that names a key twice, at any depth and in any spelling", () => {
    const key = fc.string({ unit: "grapheme", maxLength: 6 }).filter((name) => name !== "__proto__");
    const spelling = (name: string, escape: boolean): string =>
      escape
        ? `"${[...name]
            .flatMap((c) => c.split(""))
            .map((c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`)
            .join("")}"`
        : JSON.stringify(name);
    fc.assert(
      fc.property(key, key, fc.boolean(), fc.boolean(), fc.nat(20), (first, second, a, b, depth) => {
        const object = `{ ${spelling(first, a)} : {"x":[{}, "}"]} , ${spelling(second, b)}:"\\\\\\"," }`;
        const text = `${'[{"a":'.repeat(depth)}${object}${"}]".repeat(depth)}`;
        expect(isRead(text)).toBe(first !== second);
      }),
    );
  });

  it("takes the same key in different objects, and in a string's text", () => {
    expect(isRead('{"a":{"a":[{"a":1},{"a":2}]},"b":"\\"a\\":1,\\"a\\":2"}')).toBe(true);
    expect(isRead('["a","a",{"k":"a"},"a"]')).toBe(true);
  });

  it("reads 64 levels and not 65", () => {
    expect(isRead("[".repeat(64) + "]".repeat(64))).toBe(true);
    expect(isRead("[".repeat(65) + "]".repeat(65))).toBe(false);
    expect(isRead(`${'{"a":'.repeat(64)}1${"}".repeat(64)}`)).toBe(true);
    expect(isRead(`${'{"a":'.repeat(65)}1${"}".repeat(65)}`)).toBe(false);
  });

  it("reads numbers and strings with an exact form only", () => {
    for (const text of ["1e999", "-1e999", '"\\ud800"', '"\\udc00x"', '{"\\ud83d":1}', '[[{"a":1e400}]]'])
      expect(isRead(text)).toBe(false);
    for (const text of ["1e308", "-0", "5e-324", '"\\ud83d\\ude00"', '{"\\u0000":1}']) expect(isRead(text)).toBe(true);
  });
});

describe("what has a canonical form", () => {
  it.each([
    [Number.NaN],
    [Number.NEGATIVE_INFINITY],
    [1n],
    [() => 1],
    [Symbol("a")],
    ["\udfff"],
    [undefined],
    [[undefined]],
  ])("%s has none", (value) => {
    expect(isInteroperable(value)).toBe(false);
  });

  it("an absent member is none, and depth is bounded also where a value loops", () => {
    const loop: Record<string, unknown> = {};
    loop["loop"] = loop;
    expect(isInteroperable({ a: undefined, b: 1 })).toBe(true);
    expect(isInteroperable(loop)).toBe(false);
    expect([isInteroperable([[1]], 2), isInteroperable([[1]], 1)]).toEqual([true, false]);
  });
});
