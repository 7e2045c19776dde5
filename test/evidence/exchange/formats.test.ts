import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { utf8 } from "../../../src/evidence/bytes.ts";
import type { ExchangeFormat } from "../../../src/evidence/exchange/format.ts";
import { FORMATS, formatOf } from "../../../src/evidence/exchange/formats.ts";
import type { TensorMetadata } from "../../../src/evidence/exchange/tensors.ts";

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

    test("names each value of the input in what it says of it", () => {
      const described = Object.entries(format.describeInput(takes)).flat().join(" ");
      for (const name of Object.keys(input)) expect(described).toMatch(new RegExp(`\\b${name}\\b`));
    });

    test("writes no input that the model does not take", () => {
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

test("a kind of seller that is not in the table has no format, whatever its name", () => {
  for (const provider of ["", "bank", "constructor", "__proto__", "OIP"]) expect(formatOf(provider)).toBeNull();
  expect(formatOf("oip")).toBe(FORMATS.oip);
});
