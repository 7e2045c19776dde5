import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseExactJson } from "../../src/evidence/exact-json.ts";

describe("JSON whose numbers are kept", () => {
  it("is what JSON.parse reads, where a double holds every number", () => {
    fc.assert(
      fc.property(fc.jsonValue({ stringUnit: "binary" }), fc.constantFrom(undefined, 1), (value, space) => {
        const text = JSON.stringify(value, null, space);
        // Doubles beyond 2^53 are written as integers of many digits: those are held as text.
        fc.pre(!/(?<![\w.+-])-?[0-9]{16,}(?![\w.])/.test(text));
        expect(parseExactJson(text)).toEqual(JSON.parse(text));
      }),
    );
  });

  it("holds every integer that no double is, as its decimal text, wherever it stands", () => {
    fc.assert(
      fc.property(fc.bigInt(), (integer) => {
        const expected = Number.isSafeInteger(Number(integer)) ? Number(integer) : integer.toString();
        const text = `{"a":[ ${integer},${integer} ], "b":${integer}}`;
        expect(parseExactJson(text)).toEqual({ a: [expected, expected], b: expected });
      }),
    );
  });

  it("holds the one odd number of a text, beside fractions of many digits", () => {
    for (const [odd, held] of [
      ["9007199254740993", "9007199254740993"],
      ["-9007199254740993", "-9007199254740993"],
      ["NaN", "NaN"],
      ["-inf", "-Infinity"],
    ])
      for (const text of [`[0.12345678901234567,${odd}]`, `[${odd},-0.12345678901234567]`])
        expect((parseExactJson(text) as unknown[]).filter((one) => one === held)).toHaveLength(1);
  });

  it("reads what Python and C++ servers write for numbers that are none", () => {
    expect(parseExactJson("[NaN, Infinity,-Infinity,nan, inf,-inf]")).toEqual([
      "NaN",
      "Infinity",
      "-Infinity",
      "NaN",
      "Infinity",
      "-Infinity",
    ]);
  });

  it("changes no text that only looks like a number, and no fraction", () => {
    const text = String.raw`{"NaN":"9007199254740993, NaN \" 9007199254740993 \\","b":[1.2345678901234567,1e-12345678901234567]}`;
    expect(parseExactJson(text)).toEqual(JSON.parse(text));
  });

  it.each(["", "{", '"', '"\\', "[1,]", "NaNa", "0x10", "[1 2]", "nul", "--Infinity"])("%j is no JSON", (text) => {
    expect(() => parseExactJson(text)).toThrow(SyntaxError);
  });
});
