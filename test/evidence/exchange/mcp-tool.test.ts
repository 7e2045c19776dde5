import fc from "fast-check";
import { expect, test } from "vitest";
import { utf8 } from "../../../src/evidence/bytes.ts";
import { mcpTool } from "../../../src/evidence/exchange/mcp-tool/mcp-tool.ts";
import { parseStrictJson } from "../../../src/evidence/exact-json.ts";

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
      expect(answerTo(textBlock(one), one)).toEqual({ n: String(number) });
      expect(answerTo(textBlock(other), one)).toEqual({
        content: [{ type: "text", text: other }],
        structuredContent: { n: String(number) },
      });
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
