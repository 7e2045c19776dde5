import { expect, test } from "vitest";
import { utf8 } from "../../src/evidence/bytes.ts";
import { oip } from "../../src/evidence/exchange/oip.ts";
import { openAiChat } from "../../src/evidence/exchange/openai-chat/openai-chat.ts";
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

test("a seller's words deep in an answer are cleaned, cut and named as any other", () => {
  const call = { "f\u200b": "a\u202eb", z: "x".repeat(50_000) };
  const body = JSON.stringify({
    choices: [{ message: { content: "c\u200bd", tool_calls: [call] }, finish_reason: "e\u202ef" }],
  });
  const { answer, note } = showAnswer(openAiChat.readAnswer(utf8(body)));
  expect(answer).toMatchObject({ tool_calls: [{ f: "a b" }] });
  expect(JSON.stringify(answer).length).toBeLessThan(41_000);
  expect(note).toContain("long data is cut");
  const short = showAnswer(openAiChat.readAnswer(utf8(body.replace(/x+/, "x"))));
  expect(JSON.stringify(short.answer)).not.toMatch(/[\u200b\u202e]/u);
  expect(short.answer).toMatchObject({ unsigned: { text: "c d", finish_reason: "e f" } });
});
