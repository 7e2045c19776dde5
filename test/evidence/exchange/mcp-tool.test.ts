import fc from "fast-check";
import { expect, test } from "vitest";
import { fromUtf8, utf8 } from "../../../src/evidence/bytes.ts";
import { mcpTool } from "../../../src/evidence/exchange/mcp-tool/mcp-tool.ts";
import { parseStrictJson } from "../../../src/evidence/exact-json.ts";
import { takenBy } from "../../../src/market/providers/tool-input.ts";

const textBlock = (text: string): string => JSON.stringify({ type: "text", text });
const answerTo = (content: string, structured: string): unknown => {
  const reading = mcpTool.readAnswer(utf8(`{"content":[${content}],"structuredContent":${structured}}`));
  return reading.readable ? reading.answer : reading.reason;
};

test("a result's whole numbers are handed over as they were written, in each of its forms", () => {
  const written = '{"id":9007199254740993,"of":[1e999,0.1,-18446744073709551617]}';
  const read = { id: "9007199254740993", of: ["1e999", 0.1, "-18446744073709551617"] };
  expect(answerTo(textBlock(written), written)).toEqual(read);
  const other = '{"type":"image","size":9007199254740993}';
  expect(answerTo(other, written)).toEqual({
    content: [{ type: "image", size: "9007199254740993" }],
    structuredContent: read,
  });
});

test("a text with another number than the structured content does not repeat it, as close as it may be", () => {
  fc.assert(
    fc.property(fc.bigInt({ min: 2n ** 53n, max: 2n ** 70n }), (number) => {
      const [one, other] = [`{"n":${number}}`, `{"n":${number + 1n}}`];
      const read = parseStrictJson(one);
      expect(answerTo(textBlock(one), one)).toEqual(read);
      // A number's text is no number.
      for (const text of [other, `{"n":"${number}"}`])
        expect(answerTo(textBlock(text), one)).toEqual({ content: [{ type: "text", text }], structuredContent: read });
    }),
  );
  const twice = '{"n":1,"n":2}';
  expect(answerTo(textBlock(twice), '{"n":2}')).toHaveProperty("content");
});

test("a number in place of a text is none, and names no model", () => {
  expect(answerTo('{"type":"text","text":9007199254740993}', "{}")).toHaveProperty("structuredContent");
  expect(mcpTool.modelIn(utf8('{"name":9007199254740993}'), "request")).toBeNull();
});

test("an input is read back as it was sent", () => {
  const sent = '{"name":"forecast","arguments":{"place":9007199254740993}}';
  expect(mcpTool.readInput(utf8(sent))).toEqual({ place: parseStrictJson("9007199254740993") });
});

test("a number of a call is sent as the tool takes it: bare where it takes numbers alone, as text where it takes texts", () => {
  const integer = { type: "integer" };
  const { numbers } = takenBy({
    properties: {
      wei: integer,
      of: { items: { properties: { "a b": { type: ["number", "null"] } } } },
      either: { type: ["integer", "string"] },
      any: {},
      told: { type: "string" },
    },
  });
  const sent =
    '{"wei":9007199254740993,"of":[{"a b":-18446744073709551617}],"either":9007199254740993,"any":9007199254740993,"told":"9007199254740993"}';
  const input = parseStrictJson(sent) as Record<string, unknown>;
  const written = (of: Record<string, unknown>): string =>
    fromUtf8(mcpTool.writeRequest({ takes: [], model: "t", input: of, nonce: "00", numbers }).body);
  expect(written(input)).toContain(
    '{"wei":9007199254740993,"of":[{"a b":-18446744073709551617}],"either":"9007199254740993","any":"9007199254740993","told":"9007199254740993"}',
  );
  expect(mcpTool.readInput(utf8(written(input)))).toEqual(input);
  // No text of another form becomes a number, nor one that a double holds.
  for (const wei of ["12", "9007199254740993 ", "09007199254740993", '9007199254740993,"b":1', "NaN"])
    expect(written({ wei })).toContain(JSON.stringify({ wei }));
  expect(written({ wei: 1e16 })).toContain('{"wei":10000000000000000}');
});
