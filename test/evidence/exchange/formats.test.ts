import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { utf8 } from "../../../src/evidence/bytes.ts";
import type { ExchangeFormat } from "../../../src/evidence/exchange/format.ts";
import { FORMATS, formatOf } from "../../../src/evidence/exchange/formats.ts";
import type { TensorMetadata } from "../../../src/evidence/exchange/tensors.ts";

/** Formats of which each seller says itself what its models take. */
const OPEN: readonly string[] = ["mcp-tool"];
const PARTS = ["request", "response"] as const;

/** An input that each format can write, and what it is told that the model takes. */
const EXAMPLES: Record<keyof typeof FORMATS, { takes: TensorMetadata[]; input: Record<string, unknown> }> = {
  oip: {
    takes: [{ name: "x", datatype: "FP32", shape: [-1, 2] }],
    input: {
      x: [
        [0.5, 1],
        [2, -3],
      ],
    },
  },
  opengradient: {
    takes: [],
    input: {
      messages: [
        { role: "system", content: "Be brief." },
        { role: "user", content: [{ type: "text", text: "Grüße 😀" }] },
        {
          role: "assistant",
          content: "",
          tool_calls: [{ id: "c", type: "function", function: { name: "f", arguments: "{}" } }],
        },
        { role: "tool", content: "42", tool_call_id: "c" },
      ],
      temperature: 1e-5,
      max_tokens: 5,
      stop: ["END"],
      tools: [{ type: "function", function: { name: "f", parameters: { maximum: 1e16 } } }],
      response_format: { type: "json_object" },
      stream: true,
    },
  },
  "marlin-oyster": {
    takes: [],
    input: {
      messages: [{ role: "user", content: "Grüße 😀" }],
      tools: [{ type: "function", function: { name: "f", parameters: { maximum: 1e16 } } }],
      format: "json",
      options: { temperature: 1e-5, num_predict: 5 },
    },
  },
  "mcp-tool": {
    takes: [],
    input: {
      text: 'Grüße 😀 "quoted" \u2028',
      list: [1e-5, [true, null]],
      nested: { _meta: { "proof402/terms": "x" } },
    },
  },
  "openai-x402": {
    takes: [],
    input: {
      messages: [
        { role: "developer", content: "Be brief.", name: "boss" },
        { role: "user", content: [{ type: "text", text: "Grüße 😀", cache_control: {} }] },
      ],
      temperature: 1e-5,
      max_completion_tokens: 5,
      stop: "END",
      seed: 7,
      tools: [{ type: "function", function: { name: "f", parameters: { maximum: 1e16 }, strict: true } }],
      response_format: { type: "json_schema", json_schema: { name: "x", schema: {} } },
      stream: true,
    },
  },
};

describe.each(Object.entries(FORMATS) as [keyof typeof FORMATS, ExchangeFormat][])(
  "the format of %s",
  (kind, format) => {
    const { takes, input } = EXAMPLES[kind];

    test("reads back what it wrote, and finds the nonce in it", () => {
      fc.assert(
        fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), (bytes) => {
          const nonce = Buffer.from(bytes).toString("hex");
          const { body } = format.writeRequest({ takes, model: "m", input, nonce });
          expect(format.readInput(body)).toEqual(input);
          expect(format.nonceIn(body, "request")).toBe(nonce);
          const carried = { nonce, model: format.modelIn(body, "request") === "m" };
          expect(format.mustCarry.request.every((what) => carried[what])).toBe(true);
        }),
      );
    });

    test.skipIf(OPEN.includes(kind))("names each value of the input in what it says of it", () => {
      const described = Object.entries(format.describeInput(takes)).flat().join(" ");
      for (const name of Object.keys(input)) expect(described).toMatch(new RegExp(`\\b${name}\\b`));
    });

    test("writes an example of an input for any model", () => {
      const example = format.exampleInput(takes)!;
      const { body } = format.writeRequest({ takes, model: "m", input: example, nonce: "00".repeat(32) });
      expect(format.readInput(body)).toEqual(example);
    });

    test("names by one text requests that differ in their nonce alone, and by another those that differ in more", () => {
      const { pricedBy } = format;
      if (pricedBy === undefined) return;
      const of = (model: string, nonce: string, more: object = {}): string =>
        pricedBy(format.writeRequest({ takes, model, input: { ...input, ...more }, nonce: nonce.repeat(32) }).body);
      expect(of("m", "00")).toBe(of("m", "11"));
      expect(of("m", "00")).not.toBe(of("n", "00"));
      expect(of("m", "00")).not.toBe(of("m", "00", { messages: [{ role: "user", content: "else" }] }));
    });

    test.skipIf(OPEN.includes(kind))("writes no input that the model does not take", () => {
      expect(() => format.writeRequest({ takes, model: "m", input: { y: 1 }, nonce: "00" })).toThrow(
        expect.objectContaining({ code: "invalid_input" }),
      );
    });

    test("sends each model's requests to a path of this origin", () => {
      fc.assert(
        fc.property(fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9 ._:/@+%?#-]{0,40}$/), (model) => {
          const { origin, pathname } = new URL(`https://seller.example${format.pathOf(model)}`);
          expect(origin + pathname).toBe(`https://seller.example${format.pathOf(model)}`);
        }),
      );
    });

    test("finds nothing in other bytes, and reads them without an exception", () => {
      const read = (body: Uint8Array): unknown[] => [
        format.readInput(body),
        ...PARTS.flatMap((part) => [format.nonceIn(body, part), format.modelIn(body, part)]),
      ];
      for (const text of ["", "[]", "null", "{}", '"x"', "<html>"]) {
        expect(read(utf8(text))).toEqual([null, null, null, null, null]);
        expect(format.readAnswer(utf8(text)).readable).toBe(false);
        for (const part of PARTS) expect(format.readTensors?.(utf8(text), part).ok ?? false).toBe(false);
      }
      const readAll = (body: Uint8Array): void => {
        read(body);
        format.readAnswer(body);
        for (const part of PARTS) format.readTensors?.(body, part);
      };
      fc.assert(fc.property(fc.uint8Array(), readAll));
      fc.assert(fc.property(fc.json(), (json) => readAll(utf8(json))));
    });
  },
);

describe.each(["opengradient", "openai-x402"] as const)("a completion for a seller of %s", (kind) => {
  const format: ExchangeFormat = FORMATS[kind];
  const write = (input: Record<string, unknown>): Uint8Array =>
    format.writeRequest({ takes: [], model: "m", input, nonce: "ab".repeat(32) }).body;

  test("asks with a text at the address of completions, and carries the nonce", () => {
    const input = { prompt: "Grüße 😀", max_tokens: 9, stop: ["END"] };
    const body = write(input);
    expect(format.pathOf("m", body)).toBe("/v1/completions");
    expect(format.readInput(body)).toEqual(input);
    expect(format.nonceIn(body, "request")).toBe("ab".repeat(32));
  });

  test.each([
    ["messages beside it", { prompt: "x", messages: [] }],
    ["an option of chats", { prompt: "x", tools: [] }],
    ["a prompt that is no text", { prompt: ["x"] }],
    ["messages that are no list", { messages: "hi" }],
  ])("is not written with %s", (_what, input) => {
    expect(() => write(input)).toThrow(expect.objectContaining({ code: "invalid_input" }));
  });
});

test("a kind of seller that is not in the table has no format, whatever its name", () => {
  for (const provider of ["", "bank", "constructor", "__proto__", "OIP"]) expect(formatOf(provider)).toBeNull();
  expect(formatOf("oip")).toBe(FORMATS.oip);
});
