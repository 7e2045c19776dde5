import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { fromUtf8, utf8 } from "../../../../src/evidence/bytes.ts";
import { readChatAnswer } from "../../../../src/evidence/exchange/openai-chat/chat-answer.ts";
import { openAiChat } from "../../../../src/evidence/exchange/openai-chat/openai-chat.ts";
import { signatureIn, signedAnswers } from "../../../../src/evidence/exchange/openai-chat/signed-answer.ts";

const TOLD = {
  tee_signature: "AAAA",
  tee_request_hash: "ab".repeat(32),
  tee_output_hash: "cd".repeat(32),
  tee_timestamp: 1_770_918_962,
  tee_id: `0x${"ef".repeat(32)}`,
};
const SIGNATURE = {
  teeId: TOLD.tee_id,
  requestHash: TOLD.tee_request_hash,
  outputHash: TOLD.tee_output_hash,
  timestamp: TOLD.tee_timestamp,
  signature: "AAAA",
};
const whole = (message: object, rest: object = TOLD): string =>
  JSON.stringify({
    model: "m",
    choices: [{ index: 0, message, finish_reason: "stop" }],
    usage: { total_tokens: 3 },
    ...rest,
  });
const frame = (delta: object, rest: object = {}): object => ({ model: "m", choices: [{ index: 0, delta }], ...rest });
const stream = (frames: readonly object[], end = "data: [DONE]\n\n"): string =>
  frames.map((one) => `data: ${JSON.stringify(one)}\n\n`).join("") + end;

const signedOf = (body: string): string[] => signedAnswers(utf8(body)).map(({ bytes }) => fromUtf8(bytes));
const answerOf = (body: string): unknown => openAiChat.readAnswer(utf8(body)).answer;
const problemOf = (body: string): unknown => {
  const read = openAiChat.readAnswer(utf8(body));
  return read.readable ? null : read.reason;
};

const CALL = { id: "c1", type: "function", function: { name: "f", arguments: '{"é": 1}' } };
const INDEXED = { index: 0, ...CALL };
const SIGNED_CALL = String.raw`[{"function": {"arguments": "{\"\u00e9\": 1}", "name": "f"}, "id": "c1", "type": "function"}]`;

describe("a whole answer", () => {
  test("is its text, and what no signature covers stands apart", () => {
    const body = whole({ role: "assistant", content: "Grüße 😀" });
    expect(answerOf(body)).toEqual({
      text: "Grüße 😀",
      unsigned: { model: "m", finish_reason: "stop", usage: { total_tokens: 3 } },
    });
    expect(signedOf(body)).toEqual(["Grüße 😀"]);
    expect(signatureIn(utf8(body))).toEqual(SIGNATURE);
    expect(signedOf(whole({ content: null }))).toEqual([""]);
  });

  test("that calls tools is the calls as they came, and its text is unsigned", () => {
    const body = whole({ content: "let me see", tool_calls: [CALL] });
    expect(signedOf(body)).toEqual([SIGNED_CALL]);
    expect(answerOf(body)).toMatchObject({ tool_calls: [CALL], unsigned: { text: "let me see" } });
    expect(answerOf(body)).not.toHaveProperty("text");
    expect(signedOf(whole({ content: "x", tool_calls: [{ ...CALL, extra: { b: 1, a: 2 } }] }))[0]).toContain(
      '"extra": {"a": 2, "b": 1}',
    );
    expect(signedOf(whole({ content: "x", tool_calls: [] }))).toEqual(["x"]);
  });

  test("that declines is no empty text, and what is not read is named", () => {
    const refused = { refusal: "I will not." };
    for (const body of [whole({ content: null, ...refused }), stream([frame({ content: "", ...refused }), TOLD])]) {
      expect(answerOf(body)).toMatchObject({ unsigned: refused });
      expect(answerOf(body)).not.toHaveProperty("text");
    }
    const more = whole({ content: "x", refusal: null, annotations: [], audio: { id: 1 } });
    expect(answerOf(more)).toMatchObject({ text: "x", unsigned: { not_read: ["audio"] } });
  });

  test("of images alone comes as it is, and its signature shows no image", () => {
    const images = [{ url: "data:" }];
    const bodies = [
      whole({ content: "", images }),
      stream([frame({ content: null, images }), { choices: [], ...TOLD }]),
      stream([frame({ role: "assistant" }), { choices: [], images, ...TOLD }]),
    ];
    for (const body of bodies) {
      expect(problemOf(body)).toBe("other_format");
      expect(signedAnswers(utf8(body))).toEqual([{ name: "text", bytes: utf8(""), ofAnother: true }]);
      expect(signatureIn(utf8(body))).toEqual(SIGNATURE);
    }
    const beside = whole({ content: "Here", images });
    expect(answerOf(beside)).toMatchObject({ text: "Here", unsigned: { not_read: ["images"] } });
    expect(signedAnswers(utf8(beside))).toEqual([{ name: "text", bytes: utf8("Here") }]);
    expect(signedOf(whole({ content: "", images, audio: { id: 1 } }))).toEqual([]);
    expect(signatureIn(utf8(whole({ content: "", images: [] })))).toEqual(SIGNATURE);
    expect(problemOf(whole({ content: "", images: [] }))).toBeNull();
  });

  test("of a completion is its text", () => {
    const body = JSON.stringify({ model: "m", choices: [{ index: 0, text: "done" }], ...TOLD });
    expect(signedOf(body)).toEqual(["done"]);
    expect(answerOf(body)).toMatchObject({ text: "done" });
  });

  test.each([
    ["an error", '{"error":{"message":"no"}}', "states_error"],
    ["two choices", '{"choices":[{"message":{"content":"a"}},{"message":{"content":"b"}}]}', "inconsistent"],
    ["a second choice alone", '{"choices":[{"index":1,"message":{"content":"a"}}]}', "inconsistent"],
    ["no choice", '{"choices":[]}', "other_format"],
    ["a list as its content", '{"choices":[{"message":{"content":["a"]}}]}', "other_format"],
    ["calls that are none", '{"choices":[{"message":{"tool_calls":[1]}}]}', "other_format"],
    ["another JSON", '{"outputs":[]}', "other_format"],
    ["an old function call alone", whole({ content: null, function_call: { name: "f" } }), "other_format"],
    ["a message and a text", '{"choices":[{"message":{"content":"a"},"text":"b"}]}', "inconsistent"],
    ["a delta alone", '{"choices":[{"delta":{"content":"a"}}]}', "other_format"],
  ])("with %s is not read, and nothing of it is signed", (_what, body, reason) => {
    expect(problemOf(body)).toBe(reason);
    expect(signedOf(body)).toEqual([]);
    expect(signatureIn(utf8(body))).toBeNull();
  });

  test("that two readers could read in two ways is not signed", () => {
    const twice = `{"choices":[{"message":{"content":"evil","content":"good"}}],${JSON.stringify(TOLD).slice(1)}`;
    expect(signedOf(twice)).toEqual([]);
    expect(signatureIn(utf8(twice))).toBeNull();
    expect(openAiChat.isAmbiguous(utf8(twice))).toBe(true);
    expect(signedOf(String.raw`{"choices":[{"message":{"content":"\ud800"}}]}`)).toEqual([]);
  });
});

test("a signature in any form is seen, and a text about one is none", () => {
  const last = { choices: [{ index: 0, delta: null }], ...TOLD };
  for (const body of [
    whole({ content: "x" }),
    whole({ content: "x" }, { ...TOLD, tee_timestamp: "2026" }),
    stream([frame({ content: "x" }), last, last]),
    stream([frame({ content: "x" }), { ...last, tee_output_hash: "AB".repeat(32) }]),
  ])
    expect(openAiChat.signed.bearsSignature(utf8(body))).toBe(true);
  for (const body of [whole({ content: '"tee_signature": "AAAA"' }, {}), stream([frame({ content: "x" })]), ""])
    expect(openAiChat.signed.bearsSignature(utf8(body))).toBe(false);
});

describe("a stream", () => {
  const deltas = [frame({ role: "assistant", content: "" }), frame({ content: "Hel" }), frame({ content: "lo 😀" })];
  const last = { choices: [{ index: 0, delta: {}, finish_reason: "stop" }], usage: { total_tokens: 3 }, ...TOLD };

  test("is the text of its deltas, signed by its last frame", () => {
    const body = stream([...deltas, last]);
    expect(signedOf(body)).toEqual(["Hello 😀"]);
    expect(signatureIn(utf8(body))).toEqual(SIGNATURE);
    expect(answerOf(body)).toEqual({
      text: "Hello 😀",
      unsigned: { model: "m", finish_reason: "stop", usage: { total_tokens: 3 } },
    });
    for (const same of [
      body.replaceAll("\n", "\r\n"),
      body.replaceAll("data: ", "data:"),
      `: keep alive\n\n${body}`,
      `event: message\nid: 1\nretry: 5\n: in it\n${body}`,
      stream([{ choices: [], model: "" }, ...deltas, last]),
      body.slice(0, -4),
      `${body}: bye`,
      stream([...deltas, { choices: [], web_search: {} }, last], ""),
      stream([...deltas, { ...last, choices: [{ index: 0, delta: null, finish_reason: "stop" }] }]),
    ]) {
      expect(signedOf(same)).toEqual(["Hello 😀"]);
      expect(signatureIn(utf8(same))).toEqual(SIGNATURE);
    }
  });

  test.each<[string, string]>([
    ["ends without a signed frame", stream(deltas)],
    ["lacks a field of the signature", stream([...deltas, { ...last, tee_timestamp: undefined }])],
    ["signs a time that is a text", stream([...deltas, { ...last, tee_timestamp: "2026" }])],
  ])("that %s has no signature", (_what, body) => {
    expect(signatureIn(utf8(body))).toBeNull();
    expect(answerOf(body)).toMatchObject({ text: "Hello 😀" });
  });

  test.each<[string, string, string]>([
    ["goes on after its signed frame", stream([...deltas, last, frame({ content: "!" })]), "inconsistent"],
    ["goes on, unterminated", stream([...deltas, last, frame({ content: "!" })], "").slice(0, -1), "inconsistent"],
    ["goes on in half a line", stream([...deltas, last, frame({ content: "!" })], "").slice(0, -40), "inconsistent"],
    ["lacks its end", stream(deltas, ""), "unfinished"],
    ["breaks off in a frame", `${stream(deltas, "")}data: {"choices":[{"delta":{"content":"NOT`, "unfinished"],
    ["ends in the middle of its signed frame", stream([...deltas, last], "").slice(0, -1), "unfinished"],
    ["ends before that frame's empty line", stream([...deltas, last], "").trimEnd(), "unfinished"],
    ["names two models", stream([...deltas, { ...last, model: "cheap" }]), "inconsistent"],
    ["names a model that is no text", stream([...deltas, { ...last, model: 7 }]), "inconsistent"],
    [
      "has two calls under one index",
      stream([frame({ tool_calls: [INDEXED] }), frame({ tool_calls: [{ ...INDEXED, id: "c2" }] }), last]),
      "inconsistent",
    ],
    ["tells a delta and a text", stream([{ choices: [{ delta: { content: "a" }, text: "b" }] }, last]), "inconsistent"],
    ["tells whole messages", stream([{ choices: [{ message: { content: "a" } }] }, last]), "other_format"],
    ["is signed twice", stream([...deltas, last, last]), "inconsistent"],
    ["goes on after its end", stream([...deltas, last]) + stream(deltas), "other_format"],
    ["states an error", stream([...deltas, { error: "x" }]), "states_error"],
    ["has lines of a lone CR", stream([...deltas, last]).replaceAll("\n", "\r"), "other_format"],
    ["has named events", `event: x\n${stream([...deltas, last])}`, "other_format"],
    ["has data of two lines", `data: {\ndata: }\n\n${stream([last])}`, "other_format"],
    ["is nothing but its end", stream([]), "other_format"],
  ])("that %s is not read", (_what, body, reason) => {
    expect(problemOf(body)).toBe(reason);
    expect(signedOf(body)).toEqual([]);
    expect(signatureIn(utf8(body))).toBeNull();
  });

  test("that names two models has no one model, as with a key named twice", () => {
    const two = utf8(stream([...deltas, { ...last, model: "cheap" }]));
    expect(openAiChat.isAmbiguous(two)).toBe(true);
    expect(openAiChat.modelIn(two, "response")).toBeNull();
    const one = utf8(stream([{ choices: [], model: "" }, ...deltas, { ...last, model: "m" }]));
    expect(openAiChat.isAmbiguous(one)).toBe(false);
    expect(openAiChat.modelIn(one, "response")).toBe("m");
  });

  test("that calls tools is the calls, joined of their fragments by index", () => {
    const calls = [
      { index: 1, id: "c2", type: "function", function: { name: "g", arguments: "{}" } },
      { index: 0, id: "c1", type: "function", function: { name: "f", arguments: '{"é"' } },
      { index: 0, function: { arguments: ": 1}" } },
    ];
    const body = stream([...calls.map((call) => frame({ tool_calls: [call] })), last]);
    const second = '{"function": {"arguments": "{}", "name": "g"}, "id": "c2", "type": "function"}';
    expect(new Set(signedOf(body))).toEqual(new Set([`${SIGNED_CALL.slice(0, -1)}, ${second}]`]));
    expect(answerOf(body)).toMatchObject({
      tool_calls: [CALL, { id: "c2", type: "function", function: { name: "g", arguments: "{}" } }],
    });
  });

  test("whose calls have no index has each of them, and is signed as one that shows none of them", () => {
    const call = (name: string, args: string, rest: object = {}): object =>
      frame({
        tool_calls: [{ index: null, id: null, type: "function", function: { name, arguments: args }, ...rest }],
      });
    const body = stream([call("f", '{"a":'), call("", "1}"), call("g", "{}"), last]);
    expect(answerOf(body)).toMatchObject({
      tool_calls: [
        { id: "", type: "function", function: { name: "f", arguments: '{"a":1}' } },
        { id: "", type: "function", function: { name: "g", arguments: "{}" } },
      ],
    });
    const merged = (name: string, id: string): string =>
      String.raw`[{"function": {"arguments": "{\"a\":1}{}", "name": "${name}"}, "id": ${id}, "type": "function"}]`;
    expect(new Set(signedOf(body))).toEqual(
      new Set([merged("g", '""'), merged("g", "null"), merged("f", '""'), merged("f", "null")]),
    );
    expect(signedAnswers(utf8(body)).every((form) => form.ofAnother)).toBe(true);
    expect(signatureIn(utf8(body))).toEqual(SIGNATURE);
    expect(signedAnswers(utf8(stream([call("f", "{"), call("f", "}"), last]))).some((form) => form.ofAnother)).toBe(
      false,
    );
    for (const mixed of [
      [call("f", "{}"), call("g", "{}"), call("h", "{}", { index: 2 }), last],
      [call("h", "{}", { index: 0 }), call("g", "{}"), last],
    ])
      expect(problemOf(stream(mixed))).toBe("inconsistent");
  });

  test("whose calls have no id or name may be signed with null for each", () => {
    const body = stream([frame({ tool_calls: [{ index: null, function: { arguments: "{}" } }] }), last]);
    const variant = (name: string, id: string): string =>
      `[{"function": {"arguments": "{}", "name": ${name}}, "id": ${id}, "type": "function"}]`;
    expect(signedOf(body)).toEqual([
      variant('""', '""'),
      variant("null", '""'),
      variant('""', "null"),
      variant("null", "null"),
    ]);
  });
});

test("no bytes make a reader of answers throw", () => {
  const readAll = (body: Uint8Array): void => {
    readChatAnswer(body);
    signedAnswers(body);
    signatureIn(body);
    openAiChat.readAnswer(body);
  };
  fc.assert(fc.property(fc.json(), (json) => readAll(utf8(json))));
  fc.assert(fc.property(fc.json(), (json) => readAll(utf8(`{"choices":[{"message":${json}}]}`))));
  fc.assert(fc.property(fc.array(fc.json()), (all) => readAll(utf8(all.map((one) => `data: ${one}\n\n`).join("")))));
});
