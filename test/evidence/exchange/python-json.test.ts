import { spawnSync } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { fromUtf8 } from "../../../src/evidence/bytes.ts";
import { dumpPythonJson, readPythonJson } from "../../../src/evidence/exchange/python-json.ts";
import { pythonRepr } from "../../../src/evidence/exchange/python-repr.ts";
import { vectorsDirectory } from "../../support/vectors.ts";

const shared = await vectorsDirectory();

const dumped = (text: string): string | undefined => {
  const value = readPythonJson(text);
  return value === undefined ? undefined : fromUtf8(dumpPythonJson(value));
};
const repr = (text: string): string => pythonRepr(readPythonJson(text) ?? null);

describe("json.dumps(json.loads(text), sort_keys=True)", () => {
  test.each([
    ["0", "0"],
    ["-0", "0"],
    ["-0.0", "-0.0"],
    ["0e5", "0.0"],
    ["1.0", "1.0"],
    ["1E5", "100000.0"],
    ["1e-5", "1e-05"],
    ["0.00001", "1e-05"],
    ["0.0001", "0.0001"],
    ["1.5e-7", "1.5e-07"],
    ["1e15", "1000000000000000.0"],
    ["9999999999999998.0", "9999999999999998.0"],
    ["1e16", "1e+16"],
    ["123456789012345678901234567890.0", "1.2345678901234568e+29"],
    ["1e-323", "1e-323"],
    ["5e-324", "5e-324"],
    ["1.7976931348623157e308", "1.7976931348623157e+308"],
    ["-1e400", "-Infinity"],
    ["0.1", "0.1"],
    ["9007199254740993", "9007199254740993"],
    ["-123456789012345678901234567890", "-123456789012345678901234567890"],
  ])("writes the number %s as %s", (text, form) => {
    expect(dumped(text)).toBe(form);
    expect(dumped(` [ ${text} , {"a":${text}}]`)).toBe(`[${form}, {"a": ${form}}]`);
  });

  test("escapes all but printable ASCII, beyond the BMP as two surrogates", () => {
    expect(dumped('"a/<>&\'~ \u007f\u0080\u2028日😀"')).toBe(
      String.raw`"a/<>&'~ \u007f\u0080\u2028\u65e5\ud83d\ude00"`,
    );
    expect(dumped(String.raw`"\" \\ \/ \b \f \n \r \t \u0000 \u001F \u0041 \uD83D\uDE00 \ud800"`)).toBe(
      String.raw`"\" \\ / \b \f \n \r \t \u0000 \u001f A \ud83d\ude00 \ud800"`,
    );
    expect(dumped(String.raw`["\\", "\\\"", "\\\\", "]"]`)).toBe(String.raw`["\\", "\\\"", "\\\\", "]"]`);
  });

  test("orders keys by code point at every depth, and keeps the last of two", () => {
    expect(dumped('{"b":[{"9":1,"10":2,"1":3}],"a":{},"B":[]}')).toBe(
      '{"B": [], "a": {}, "b": [{"1": 3, "10": 2, "9": 1}]}',
    );
    expect(dumped('{"😀":1,"\uffff":2,"é":3,"z":4,"\ud83d":5,"😀a":6}')).toBe(
      String.raw`{"z": 4, "\u00e9": 3, "\ud83d": 5, "\uffff": 2, "\ud83d\ude00": 1, "\ud83d\ude00a": 6}`,
    );
    expect(dumped('{"a":1,"__proto__":{"x":2},"a":[true,false,null]}')).toBe(
      '{"__proto__": {"x": 2}, "a": [true, false, null]}',
    );
  });

  test("reads nothing that is not JSON, and nothing nested beyond 64 levels", () => {
    for (const text of ["", "{", "[1,]", "01", "1.", "NaN", "Infinity", "'a'", "\ufeff1", '{"a" 1}', "1 2"])
      expect(readPythonJson(text)).toBeUndefined();
    const nested = (levels: number): string => `${"[".repeat(levels)}${"]".repeat(levels)}`;
    expect(dumped(nested(63))).toBe(nested(63));
    for (const levels of [65, 100_000]) expect(readPythonJson(nested(levels))).toBeUndefined();
  });

  test.skipIf(shared === null)("has the bytes of every field of the gateway's vectors", async () => {
    const file = join(shared ?? "", "opengradient", "opengradient-vectors.json");
    const { requests } = JSON.parse(await readFile(file, "utf8")) as { requests: { canonical: string }[] };
    expect(requests.length).toBe(10);
    for (const { canonical } of requests) expect(dumped(canonical)).toBe(canonical);
  });
});

describe("repr", () => {
  test.each([
    [
      `[{"type":"text","text":"it's é","x":true,"y":null}]`,
      `[{'type': 'text', 'text': "it's é", 'x': True, 'y': None}]`,
    ],
    [`{"10":1,"9":1.0,"a":"\\"'"}`, `{'10': 1, '9': 1.0, 'a': '"\\''}`],
    [
      `[false,[],{},1e400,"\\\\","\\n\\r\\t\\u0000\\u001f\\u007f"]`,
      `[False, [], {}, inf, '\\\\', '\\n\\r\\t\\x00\\x1f\\x7f']`,
    ],
    [`"\u00a0\u00ad\u2028\ufeff\u{e0001} 日😀\\ud800"`, `'\\xa0\\xad\\u2028\\ufeff\\U000e0001 日😀\\ud800'`],
  ])("of %s", (text, form) => {
    expect(repr(text)).toBe(form);
  });
});

const python = spawnSync("python3", ["--version"]).status === 0;

/** JSON texts with every spelling of numbers and characters that JSON allows. */
const texts = fc.letrec<{ value: string }>((tie) => {
  const number = fc.stringMatching(/^-?(?:0|[1-9][0-9]{0,24})(?:\.[0-9]{1,20})?(?:[eE][+-]?[0-9]{1,3})?$/);
  const character = fc.oneof(
    fc.stringMatching(/^[ -!#-[\]-~\u007f\u0080-\u00ff\u2028日\ud7ff\ue000\uffff😀]$/u),
    // Blocks that no version of Unicode adds characters to, as repr escapes those that it does not know.
    fc.stringMatching(/^\\(?:u(?:00|04|aC|[dD][89abAB]|[dD][c-fC-F]|e0)[0-9a-fA-F]{2}|["\\/bfnrt])$/),
    fc.constantFrom("\\ud83d\\ude00", "\\uDBFF\\uDFFF", "😀", "'"),
  );
  const string = fc.array(character, { maxLength: 8 }).map((all) => `"${all.join("")}"`);
  const key = fc.oneof(string, fc.constantFrom('"9"', '"10"', '"__proto__"', '"a"', '"\uffff"', '"😀"'));
  const space = fc.constantFrom("", " ", "\n\t");
  return {
    value: fc.oneof(
      { maxDepth: 3 },
      number,
      string,
      fc.constantFrom("true", "false", "null"),
      fc.tuple(fc.array(tie("value"), { maxLength: 4 }), space).map(([all, by]) => `[${by}${all.join(`,${by}`)}]`),
      fc
        .tuple(fc.array(fc.tuple(key, tie("value")), { maxLength: 5 }), space)
        .map(([all, by]) => `{${all.map(([name, one]) => `${name}${by}:${by}${one}`).join(",")}${by}}`),
    ),
  };
}).value;

describe.skipIf(!python)("beside Python itself", () => {
  test("writes what json.dumps and repr write", () => {
    const sample = fc.sample(texts, 2000);
    const script = [
      "import json, sys",
      "values = [json.loads(text) for text in json.load(sys.stdin)]",
      "print(json.dumps([[json.dumps(v, sort_keys=True), repr(v)] for v in values]))",
    ].join("\n");
    const run = spawnSync("python3", ["-c", script], { input: JSON.stringify(sample), maxBuffer: 1 << 26 });
    const expected = JSON.parse(run.stdout.toString()) as [string, string][];
    for (const [at, text] of sample.entries()) {
      const [dump, written] = expected[at]!;
      expect(dumped(text), text).toBe(dump);
      expect(repr(text), text).toBe(written);
    }
  });
});
