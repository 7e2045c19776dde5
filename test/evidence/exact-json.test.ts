import fc from "fast-check";
import { describe, expect, it, test } from "vitest";
import { exactArgumentsText, exactJsonText, parseExactJson, parseStrictJson } from "../../src/evidence/exact-json.ts";

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

/** A decimal's value as a fraction of whole numbers. */
function valueOf(text: string): [bigint, bigint] {
  const [, sign, whole = "", fraction = "", power = "0"] =
    /^(-?)([0-9]+)(?:\.([0-9]+))?(?:e([+-]?[0-9]+))?$/i.exec(text) ?? [];
  const exponent = BigInt(power) - BigInt(fraction.length);
  const digits = BigInt(`${whole}${fraction}`) * (sign === "-" ? -1n : 1n);
  return exponent < 0n ? [digits, 10n ** -exponent] : [digits * 10n ** exponent, 1n];
}

/** Numbers as JSON may spell them, near the ends of what a double holds and far from them. */
const spelt = fc
  .tuple(
    fc.boolean(),
    fc.oneof(fc.bigInt({ min: 0n, max: 10n ** 24n }), fc.bigInt({ min: 2n ** 53n - 9n, max: 2n ** 53n + 9n })),
    fc.option(fc.stringMatching(/^[0-9]{1,24}$/)),
    fc.option(fc.tuple(fc.constantFrom("e", "E"), fc.constantFrom("", "+", "-"), fc.nat({ max: 400 }))),
  )
  .map(
    ([isNegative, whole, fraction, power]) =>
      `${isNegative ? "-" : ""}${whole}${fraction === null ? "" : `.${fraction}`}${power === null ? "" : power.join("")}`,
  );

describe("JSON whose numbers no reader rounds", () => {
  it("hands over each number with its value, or with its spelling, but for the last places of a fraction", () => {
    fc.assert(
      fc.property(spelt, (token) => {
        const [read] = parseStrictJson(`[${token}]`) as [unknown];
        if (typeof read === "string") return read === token;
        const [top, bottom] = valueOf(token);
        const [readTop, readBottom] = valueOf(String(read));
        const isSame = top * readBottom === readTop * bottom;
        const isFraction = read !== 0 && Math.abs(Number(read)) < 2 ** 53 && top % bottom !== 0n;
        return isSame || isFraction;
      }),
      { numRuns: 500 },
    );
  });

  it.each([
    ["9007199254740993", "9007199254740993"],
    ["9007199254740991", 9_007_199_254_740_991],
    ["9007199254740992.5", "9007199254740992.5"],
    ["9.007199254740993e15", "9.007199254740993e15"],
    ["5.97e24", 5.97e24],
    ["10000000000000000", 10_000_000_000_000_000],
    ["-100000000000000000000", -1e20],
    // A double's value, but not as it is printed.
    ["1152921504606846976", "1152921504606846976"],
    ["1e999", "1e999"],
    ["-1e999", "-1e999"],
    ["1e-999", "1e-999"],
    ["0e999", 0],
    ["0.1", 0.1],
    ["1.0", 1],
  ])("%s comes as %j", (token, held) => {
    expect(parseStrictJson(`{"a":[${token}],"b":"${token}"}`)).toEqual({ a: [held], b: token });
  });

  it("reads a number of a million digits", () => {
    const long = `1${"0".repeat(1_000_000)}1e5`;
    expect(parseStrictJson(`[${long},1.5]`)).toEqual([long, 1.5]);
  });

  it("leaves text that is no JSON, and JSON without such numbers, as they are", () => {
    fc.assert(fc.property(fc.string({ unit: "binary" }), (text) => exactJsonText(`${text}NaN`) === `${text}NaN`));
    expect(() => parseStrictJson('{"a":9007199254740993')).toThrow(SyntaxError);
    expect(() => parseStrictJson("[NaN,9007199254740993]")).toThrow(SyntaxError);
    const plain = '{"a": [0.1, -2e3, "9007199254740993"]}';
    expect(exactJsonText(plain)).toBe(plain);
  });
});

test("a message's arguments alone are made exact, and all of a message that two readers could read in two ways", () => {
  const message = (inside: string, id = "9007199254740993"): string =>
    `{"id":${id},"params":{"_meta":{"progressToken":9007199254740993},"arguments":${inside}},"method":"m"}`;
  expect(exactArgumentsText(message('{"n":[9007199254740993, 1]}'))).toBe(message('{"n":["9007199254740993", 1]}'));
  expect(exactArgumentsText(message(' {"n": 1} '))).toBe(message(' {"n": 1} '));
  const twice = '{"params":{},"params":{"arguments":{"n":9007199254740993}}}';
  for (const open of [`[${message("1")}]`, twice]) expect(exactArgumentsText(open)).toBe(exactJsonText(open));
});
