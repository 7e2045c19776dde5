import { expect, test } from "vitest";
import { utf8 } from "../../src/evidence/bytes.ts";
import { oip } from "../../src/evidence/exchange/oip.ts";
import { showAnswer } from "../../src/tools/shown-answer.ts";

const shown = (...names: string[]) =>
  showAnswer(
    oip.readAnswer(
      utf8(
        JSON.stringify({
          model_name: "m",
          outputs: names.map((name, at) => ({ name, datatype: "FP32", shape: [1], data: [at] })),
        }),
      ),
    ),
  );

test("an output with a name of JavaScript's own is shown as any other", () => {
  const { answer, note } = shown("__proto__", "constructor", "y");
  expect(JSON.stringify(answer)).toBe('{"__proto__":[0],"constructor":[1],"y":[2]}');
  expect(note).toBeNull();
});

test("an output whose name reads as another's hides none, and the note says so", () => {
  const { answer, note } = shown("y", "y\u200b");
  expect(answer).toEqual({ y: [0] });
  expect(note).toContain("an output is left out whose name reads as another's");
});
