import { describe, expect, test } from "vitest";
import { toTensors } from "../../../src/evidence/exchange/tensors.ts";

const input = (shape: number[], datatype: "FP32" | "BYTES" = "FP32") => [{ name: "x", datatype, shape }];

describe("numbers that an agent writes as one text", () => {
  test.each(["0.1,-2,3e2", " 0.1 , -2 , 3e2 ", "[0.1,-2,3e2]"])("%j are a flat array", (text) => {
    expect(toTensors(input([-1, 3]), { x: text })).toEqual([
      { name: "x", datatype: "FP32", shape: [1, 3], data: [0.1, -2, 300] },
    ]);
  });

  test.each(["", "0.1,,2", "0.1;2;3", "0.1,2,three", "[[0.1],[2],[3]]", "0.1,2,3,"])("%j is refused", (text) => {
    expect(() => toTensors(input([-1]), { x: text })).toThrow(expect.objectContaining({ code: "invalid_input" }));
  });

  test("of another count than the model takes are refused", () => {
    expect(() => toTensors(input([3]), { x: "1,2" })).toThrow(expect.objectContaining({ code: "invalid_input" }));
  });

  test("a text for BYTES is one element", () => {
    expect(toTensors(input([1], "BYTES"), { x: "one,two" })).toMatchObject([{ data: ["one,two"] }]);
  });
});
