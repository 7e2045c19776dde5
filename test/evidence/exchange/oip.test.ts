import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { fromUtf8, utf8 } from "../../../src/evidence/bytes.ts";
import type { AnswerReading } from "../../../src/evidence/exchange/format.ts";
import { oip, writeAnswer } from "../../../src/evidence/exchange/oip.ts";
import type { TensorMetadata } from "../../../src/evidence/exchange/tensors.ts";

const read = (text: string): AnswerReading => oip.readAnswer(utf8(text));
/** The answer of one output `y`, given as the JSON of its fields. */
const readOne = (datatype: string, shape: string, data: string): unknown => {
  const reading = read(
    `{"model_name":"m","outputs":[{"name":"y","datatype":"${datatype}","shape":${shape},"data":${data}}]}`,
  );
  return reading.readable ? reading.answer["y"] : reading.reason;
};

describe("T52: an answer's values", () => {
  test.each([
    ["INT64", "[9007199254740993,-9223372036854775808,7]", ["9007199254740993", "-9223372036854775808", 7]],
    ["UINT64", "[18446744073709551615,0,1]", ["18446744073709551615", 0, 1]],
    ["INT64", '["9007199254740993","7","-7"]', ["9007199254740993", 7, -7]],
    ["FP32", "[0.1,NaN,-Infinity]", [0.1, Number.NaN, -Infinity]],
    ["FP64", '[1e400,null,"inf"]', [Infinity, Number.NaN, Infinity]],
    ["BF16", "[0.5,1,2]", [0.5, 1, 2]],
    ["BOOL", "[true,false,true]", [true, false, true]],
    ["BYTES", '["a\\n\\tb\\u202e  ","9007199254740993",""]', ["a\n\tb\u202e  ", "9007199254740993", ""]],
  ])("of %s, written %s, are read as they are", (datatype, written, expected) => {
    expect(readOne(datatype, "[3]", written)).toEqual(expected);
    expect(readOne(datatype, "[1,3]", written)).toEqual(expected);
    expect(
      readOne(datatype, "[3,1]", `[${written.slice(1, -1).replaceAll(/("(?:[^"\\]|\\.)*"|[^,]+)/g, "[$1]")}]`),
    ).toEqual(expected.map((value) => [value]));
  });

  test("of any integer an INT64 holds are read exactly, and come back from a request the same", () => {
    const takes: TensorMetadata[] = [{ name: "x", datatype: "INT64", shape: [-1] }];
    fc.assert(
      fc.property(fc.array(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), { minLength: 1 }), (integers) => {
        const exact = integers.map((one) => (Number.isSafeInteger(Number(one)) ? Number(one) : one.toString()));
        expect(readOne("INT64", `[${integers.length}]`, `[${integers.join(",")}]`)).toEqual(exact);
        const { body } = oip.writeRequest({ takes, model: "m", input: { x: exact }, nonce: "00" });
        expect(fromUtf8(body)).toContain(`"data":[${integers.join(",")}]`);
        expect(oip.readInput(body)).toEqual({ x: exact });
      }),
    );
  });

  test("of any real number are written in an answer so that every reader gets the same", () => {
    fc.assert(
      fc.property(fc.array(fc.double(), { minLength: 1 }), (data) => {
        const text = writeAnswer({ model: "m", version: "1", id: null }, [
          { name: "y", datatype: "FP64", shape: [data.length], data },
        ]);
        expect(read(text)).toEqual({ readable: true, answer: { y: data } });
        expect(() => void JSON.parse(text)).not.toThrow();
      }),
      {
        examples: [[[Number.NaN, Infinity, -Infinity, -0, 5e-324]]],
      },
    );
  });

  test("are taken for an answer only where shape, datatype and names agree", () => {
    expect(readOne("FP32", "[3]", "[1,2]")).toBe("inconsistent");
    expect(readOne("FP32", "[2,2]", "[[1],[2,3,4]]")).toBe("inconsistent");
    expect(readOne("INT64", "[1]", "[9223372036854775808]")).toBe("inconsistent");
    expect(readOne("INT32", "[1]", "[0.5]")).toBe("inconsistent");
    expect(readOne("BOOL", "[1]", "[null]")).toBe("inconsistent");
    const one = '{"name":"y","datatype":"FP32","shape":[1],"data":[1]}';
    expect(read(`{"outputs":[${one},${one}]}`)).toMatchObject({ readable: false, reason: "inconsistent" });
  });

  test.each(["12345678901234567890", "NaN", "-Infinity", "7"])("of BYTES are no number without quotes: %s", (bare) => {
    expect(readOne("BYTES", "[2]", `[${bare},"a"]`)).toBe("inconsistent");
    expect(readOne("BYTES", "[2]", `["${bare}","a"]`)).toEqual([bare, "a"]);
    expect(oip.nonceIn(utf8(`{"id":${bare}}`))).toBeNull();
    const other = '{"name":"x","datatype":"FP64","shape":[1],"data":[NaN]}';
    const text = '{"name":"y","datatype":"BYTES","shape":[1],"data":["a"]}';
    expect(read(`{"outputs":[${other},${text}]}`)).toEqual({ readable: true, answer: { x: [Number.NaN], y: ["a"] } });
  });

  test.each([
    ['{"error":"model not ready"}', "states_error"],
    ['{"prediction":0.5}', "other_format"],
    ['{"outputs":[{"name":"y","datatype":"STRING","shape":[1],"data":["a"]}]}', "other_format"],
    ['{"outputs":[{"name":"y","datatype":"FP32","shape":["1"]}],"raw_output_contents":["AAAAPw=="]}', "other_format"],
    ["<html>", "other_format"],
    ["", "other_format"],
  ])("%s is handed over as it came", (text, reason) => {
    expect(read(text)).toEqual({ readable: false, reason, answer: { encoding: "utf8", body: text } });
  });

  test("bytes that are no text are handed over in base64", () => {
    const bytes = Uint8Array.of(255, 254, 0);
    expect(oip.readAnswer(bytes)).toEqual({
      readable: false,
      reason: "other_format",
      answer: { encoding: "base64", body: "//4A" },
    });
  });

  test("of any bytes whatever are read without an exception", () => {
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => void oip.readAnswer(bytes)),
      { numRuns: 200 },
    );
    fc.assert(
      fc.property(
        fc.jsonValue(),
        fc.jsonValue(),
        (outputs, more) => void read(JSON.stringify({ outputs: [outputs, more] })),
      ),
    );
  });
});
