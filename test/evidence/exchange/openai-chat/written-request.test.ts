import { describe, expect, test } from "vitest";
import { fromUtf8, utf8 } from "../../../../src/evidence/bytes.ts";
import { openAiChat } from "../../../../src/evidence/exchange/openai-chat/openai-chat.ts";
import { signedRequests } from "../../../../src/evidence/exchange/openai-chat/signed-request.ts";

const written = (message: object): string =>
  fromUtf8(openAiChat.writeRequest({ takes: [], model: "m", nonce: "aa", input: { messages: [message] } }).body);
const user = (content: unknown): object => ({ role: "user", content });
const CALL = { id: "c", type: "function", function: { name: "f", arguments: "{}" } };
const calling = (call: object): object => ({ role: "assistant", content: "", tool_calls: [call] });
const PRINTED = "[{'type': 'text', 'text': 'hi'}]";

describe("a request is written", () => {
  test.each<[string, object]>([
    ["a call", calling(CALL)],
    [
      "an attachment, whose bytes are named as not signed",
      user([{ type: "file", file: { filename: "a", data: "AA" } }]),
    ],
    ["a list of parts", user([{ type: "text", text: "hi" }])],
    ["a system's parts, signed as they are", { role: "system", content: [{ type: "text", text: "x", more: 1 }] }],
    ["a text in brackets", user("[1, 2]")],
  ])("with %s", (_what, message) => {
    expect(JSON.parse(written(message))).toMatchObject({ messages: [message] });
  });

  test.each<[string, object, string]>([
    ["a name", { ...user("hi"), name: "boss" }, '"name"'],
    ["an unknown field", { ...user("hi"), weird: 1 }, '"weird"'],
    ["a role that gateways do not know", { role: "developer", content: "x" }, 'the role "developer"'],
    ["a field of another role", { ...user("hi"), tool_calls: [CALL] }, '"tool_calls"'],
    ["more in a call", calling({ ...CALL, index: 4 }), '"index"'],
    ["more in what is called", calling({ ...CALL, function: { ...CALL.function, strict: true } }), '"strict"'],
    ["more in a text's part", user([{ type: "text", text: "hi", cache_control: {} }]), '"cache_control"'],
    ["a part that is no object", user(["hi"]), "a part"],
    ["no content", { role: "user" }, "missing"],
    ["the text that a list would be", user(PRINTED), "a list of contents"],
  ])("T111: never with %s: the signature would not cover it", (_what, message, named) => {
    expect(() => written(message)).toThrow(
      expect.objectContaining({ code: "invalid_input", message: expect.stringContaining(named) as string }),
    );
  });
});

test("a form that another request has, too, is marked", () => {
  const marksOf = (message: object): [string, boolean | undefined][] =>
    signedRequests(utf8(JSON.stringify({ model: "m", messages: [message] }))).map((one) => [one.name, one.ofAnother]);
  expect(marksOf(user([{ type: "text", text: "hi" }]))).toEqual([
    ["V1", true],
    ["V2, V3, V4", false],
  ]);
  expect(marksOf(user(PRINTED))).toEqual([["V1, V2, V3, V4", true]]);
  expect(marksOf({ role: "user" })).toEqual([
    ["V1, V3, V4", true],
    ["V2", true],
  ]);
  expect(marksOf(user("hi"))).toEqual([["V1, V2, V3, V4", false]]);
});
