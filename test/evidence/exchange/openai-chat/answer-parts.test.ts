import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { utf8 } from "../../../../src/evidence/bytes.ts";
import { createEventStreamReader, readEventStream } from "../../../../src/evidence/event-stream.ts";
import { openAiChat } from "../../../../src/evidence/exchange/openai-chat/openai-chat.ts";
import type { AnswerPart } from "../../../../src/evidence/exchange/format.ts";

/** A text or bytes cut at these places. */
function cut<T extends { length: number; slice(from: number, to?: number): T }>(
  all: T,
  places: readonly number[],
): T[] {
  const at = [...new Set(places.map((place) => place % (all.length + 1)))].toSorted((a, b) => a - b);
  return [0, ...at].map((from, index) => all.slice(from, at[index]));
}
const places = fc.array(fc.nat(5000), { maxLength: 40 });

/** Pieces of streams, well-formed or not. */
const pieces = fc.array(
  fc.constantFrom(
    "\n",
    "\r\n",
    "\r",
    "data: ",
    "data:",
    "data: {}\n\n",
    "a",
    " ",
    ": ping\n",
    "event: message\n",
    "event: error\n",
    "id: 1\n",
    "retry",
    "[DONE]",
    "\u2028",
  ),
  { maxLength: 12 },
);

function eventsOf(parts: readonly string[]): unknown {
  const reader = createEventStreamReader();
  const events: string[] = [];
  let isRead = true;
  for (const part of parts) {
    const some = reader.push(part);
    isRead &&= some !== null;
    events.push(...(some ?? []));
  }
  const brokenOff = reader.end();
  expect(brokenOff !== null || !isRead || parts.join("").endsWith("\r")).toBe(true);
  return isRead && brokenOff !== null ? { events, brokenOff } : null;
}

/** What parts say together. */
function said(parts: readonly AnswerPart[]): object {
  const calls: { id: string; name: string; arguments: string }[] = [];
  for (const { index, id = "", name = "", arguments: args = "" } of parts.flatMap((part) => part.toolCalls ?? [])) {
    const call = (calls[index] ??= { id: "", name: "", arguments: "" });
    Object.assign(call, { id: call.id || id, name: call.name || name, arguments: call.arguments + args });
  }
  return {
    text: parts.map(({ text = "" }) => text).join(""),
    refusal: parts.map(({ refusal = "" }) => refusal).join(""),
    calls: calls.filter(() => true),
  };
}

function partsOf(chunks: readonly Uint8Array[]): AnswerPart[] {
  const reader = openAiChat.readParts();
  return [...chunks.flatMap((chunk) => reader.push(chunk)), ...reader.end()];
}

type Whole = {
  text?: string;
  tool_calls?: { id?: string; function?: { name?: string; arguments?: string } }[];
  unsigned: { text?: string; refusal?: string };
};

/** What the whole reading says, or null. */
function wholeOf(body: Uint8Array): object | null {
  const read = openAiChat.readAnswer(body);
  if (!read.readable) return null;
  const { text, tool_calls: calls = [], unsigned } = read.answer as Whole;
  return {
    text: text ?? unsigned.text ?? "",
    refusal: unsigned.refusal ?? "",
    calls: calls.map(({ id, function: f }) => ({
      id: id ?? "",
      name: f?.name ?? "",
      arguments: f?.arguments ?? "",
    })),
  };
}

const delta = fc.oneof(
  fc.record({ content: fc.string({ unit: "binary", maxLength: 6 }) }),
  fc.record({ content: fc.constantFrom("Grüße", "😀", "", null) }),
  fc.record({ refusal: fc.constantFrom("no", "") }),
  fc.record({ role: fc.constant("assistant") }),
  fc.record({
    tool_calls: fc.array(
      fc.record(
        {
          index: fc.nat(2),
          id: fc.constantFrom("a", "b", null),
          type: fc.constant("function"),
          function: fc.record({ name: fc.constantFrom("f", "g"), arguments: fc.constantFrom("{", "}", '"é"') }),
        },
        { requiredKeys: [] },
      ),
      { maxLength: 2 },
    ),
  }),
);
const frame: fc.Arbitrary<object> = fc.oneof(
  { weight: 30, arbitrary: delta.map((one) => ({ choices: [{ index: 0, delta: one }] })) },
  {
    weight: 1,
    arbitrary: fc.constantFrom<object>(
      { model: "m" },
      { model: "other" },
      { error: { message: "x" } },
      { tee_signature: "AAAA" },
      { choices: [] },
      { choices: [{ index: 1, delta: { content: "x" } }] },
      [],
    ),
  },
);
const answers = fc.oneof(
  fc
    .tuple(fc.array(frame, { maxLength: 8 }), fc.constantFrom("data: [DONE]\n\n", "data: [DONE]", "", "data: {"))
    .map(([frames, end]) => frames.map((one) => `data: ${JSON.stringify(one)}\r\n\r\n`).join("") + end),
  delta.map((message) => `\n ${JSON.stringify({ model: "m", choices: [{ index: 0, message }] })}`),
);

describe("an event stream", () => {
  test("gives the same events in any pieces as in one", () => {
    fc.assert(
      fc.property(pieces, places, (text, at) => {
        const whole = text.join("");
        expect(eventsOf(cut(whole, at))).toEqual(readEventStream(whole));
      }),
      { numRuns: 500 },
    );
  });

  test("with two readings gives nothing from there on", () => {
    for (const twofold of ["data: a\rdata: b\n\n", "data: a\ndata: b\n\n", "event: error\ndata: a\n\n"]) {
      expect(readEventStream(twofold)).toBeNull();
      const reader = createEventStreamReader();
      expect(reader.push("data: first\n\n")).toEqual(["first"]);
      expect(reader.push(twofold)).toBeNull();
      expect(reader.push("data: later\n\n")).toBeNull();
      expect(reader.end()).toBeNull();
    }
  });
});

describe("an answer's parts", () => {
  test("say what the whole answer says, in pieces of any bytes", () => {
    let readable = 0;
    fc.assert(
      fc.property(answers, places, (text, at) => {
        const body = utf8(text);
        const whole = wholeOf(body);
        const parts = said(partsOf(cut(body, at)));
        if (whole === null) return;
        readable += 1;
        expect(parts).toEqual(whole);
      }),
      { numRuns: 500 },
    );
    expect(readable).toBeGreaterThan(100);
  });

  test("come with the bytes that end their frame, and end with the first that makes the answer unreadable", () => {
    const reader = openAiChat.readParts();
    const content = (text: string): Uint8Array =>
      utf8(`data: ${JSON.stringify({ choices: [{ index: 0, delta: { content: text } }] })}\n\n`);
    const smile = content("😀");
    expect(reader.push(smile.slice(0, -2))).toEqual([]);
    expect(reader.push(smile.slice(-2))).toEqual([{ text: "😀" }]);
    const faults = ['{"error":"x"}', "{", '{"choices":[{},{}]}', '{"choices":[{"delta":{"content":1}}]}', "[DONE]"];
    for (const fault of faults) {
      const one = openAiChat.readParts();
      expect(one.push(content("a"))).toEqual([{ text: "a" }]);
      expect(one.push(utf8(`data: ${fault}\n\n`))).toEqual([]);
      expect(one.push(content("b"))).toEqual([]);
    }
    expect(reader.push(Uint8Array.of(0xff))).toEqual([]);
    expect(reader.push(content("late"))).toEqual([]);
  });
});
