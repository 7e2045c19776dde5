import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { fromUtf8, utf8 } from "../../../../src/evidence/bytes.ts";
import { ollamaChat } from "../../../../src/evidence/exchange/ollama/ollama-chat.ts";

const write = (input: Record<string, unknown>): Record<string, unknown> => {
  const { body } = ollamaChat.writeRequest({ takes: [], model: "m", input, nonce: "ab".repeat(32) });
  return JSON.parse(fromUtf8(body)) as Record<string, unknown>;
};

/** A second turn as OpenAI's clients send it: the call of the first answer, and what the tool gave. */
const turn = (args: unknown): Record<string, unknown> => ({
  messages: [
    { role: "user", content: "Weather?" },
    {
      role: "assistant",
      content: "",
      tool_calls: [{ id: "call_1", type: "function", function: { name: "weather", arguments: args } }],
    },
    { role: "tool", tool_call_id: "call_1", content: "rain" },
  ],
});

const refused = expect.objectContaining({ code: "invalid_input" });

describe("a chat's input as OpenAI's clients write it", () => {
  test("has the arguments of its calls written as objects, and names the tool of each result", () => {
    const written = write(turn('{"city":"Łódź","days":[1,2.5],"in":{"unit":"°C"}}'));
    const [asked, called, given] = written["messages"] as Record<string, unknown>[];
    expect(asked).toEqual({ role: "user", content: "Weather?" });
    expect(called?.["tool_calls"]).toEqual([
      {
        id: "call_1",
        type: "function",
        function: { name: "weather", arguments: { city: "Łódź", days: [1, 2.5], in: { unit: "°C" } } },
      },
    ]);
    expect(given).toEqual({ role: "tool", tool_call_id: "call_1", content: "rain", tool_name: "weather" });
  });

  test("says in Ollama's form what it says already, unchanged", () => {
    const native = turn({ city: "x" });
    (native["messages"] as Record<string, unknown>[])[2] = { role: "tool", tool_name: "other", content: "rain" };
    expect(write(native)["messages"]).toEqual(native["messages"]);
  });

  test("any arguments that every JSON reader holds alike arrive as they are", () => {
    fc.assert(
      fc.property(
        fc.dictionary(
          fc.string().filter((key) => key !== "__proto__"),
          fc.jsonValue(),
        ),
        (args) => {
          const text = JSON.stringify(args);
          fc.pre(text.isWellFormed() && !text.includes("__proto__") && !/\\ud[89a-f]/i.test(text));
          const written = write(turn(text))["messages"] as { tool_calls?: { function: { arguments: unknown } }[] }[];
          expect(written[1]?.tool_calls?.[0]?.function.arguments).toEqual(JSON.parse(text));
        },
      ),
    );
  });

  test.each([
    ["no JSON", "{city"],
    ["a list", "[1]"],
    ["null", "null"],
    ["a text in quotes", '"{}"'],
    ["a key named twice", '{"a":1,"a":2}'],
    ["a number that a double rounds", '{"id":12345678901234567890123}'],
    ["half a character", '{"a":"\\ud800"}'],
  ])("is refused before any payment with arguments that are %s", (_what, args) => {
    expect(() => write(turn(args))).toThrow(refused);
  });

  test("writes the empty arguments of a call as an empty object", () => {
    const written = write(turn(""))["messages"] as { tool_calls?: object[] }[];
    expect(written[1]?.tool_calls).toMatchObject([{ function: { name: "weather", arguments: {} } }]);
  });

  test("has a content in parts written as one text, as Ollama takes it, and no text is left out", () => {
    const content = [
      { type: "text", text: "Weather" },
      { type: "text", text: " in Łódź?" },
    ];
    const given = ["user", "system", "assistant", "tool"].map((role) => ({ role, content }));
    expect(write({ messages: given })["messages"]).toEqual(
      given.map(({ role }) => ({ role, content: "Weather in Łódź?" })),
    );
    expect(write({ messages: [{ role: "user", content: [] }] })["messages"]).toEqual([{ role: "user", content: "" }]);
  });

  test.each([
    ["an image", [{ type: "image_url", image_url: { url: "data:," } }]],
    ["a text with a field beside it", [{ type: "text", text: "x", cache_control: { type: "ephemeral" } }]],
    ["a part that is no object", ["x"]],
    ["a text that is none", [{ type: "text", text: 1 }]],
    ["an object", { type: "text", text: "x" }],
    ["a number", 1],
  ])("is refused before any payment with a content of %s", (_what, content) => {
    const messages = [
      { role: "user", content: "hi" },
      { role: "user", content },
    ];
    expect(() => write({ messages })).toThrow(refused);
  });

  test("names the tool of a result by the result's own name, without its call", () => {
    const messages = [{ role: "tool", name: "weather", content: "rain" }];
    expect(write({ messages })["messages"]).toMatchObject([{ role: "tool", tool_name: "weather", content: "rain" }]);
  });

  test("has its temperature among the options, beside those given", () => {
    const messages = [{ role: "user", content: "hi" }];
    expect(write({ messages, temperature: 0 })).toMatchObject({ options: { temperature: 0 } });
    const written = write({ messages, temperature: 0.5, options: { num_predict: 3 } });
    expect(written).toMatchObject({ options: { num_predict: 3, temperature: 0.5 } });
    expect(written).not.toHaveProperty("temperature");
    expect(() => write({ messages, temperature: 1, options: { temperature: 0 } })).toThrow(refused);
    expect(() => write({ messages, temperature: 1, options: "none" })).toThrow(refused);
  });

  test("gets its answer's calls back with their arguments as text, each digit of it", () => {
    const answer = (args: string): string[] => {
      const calls = `[{"function":{"name":"f","arguments":${args}}}]`;
      const response = `{"model":"m","message":{"role":"assistant","content":"","tool_calls":${calls}},"done":true}`;
      const read = ollamaChat.readAnswer(utf8(response));
      const chat = read.readable ? ollamaChat.readChat(read.answer) : null;
      return (chat?.calls ?? []).map((call) => call.arguments);
    };
    expect(answer('{"city":"Łódź","n":1.5}')).toEqual(['{"city":"Łódź","n":1.5}']);
    expect(answer('{"id": 12345678901234567890123, "b":[true,null,"\\""]}')).toEqual([
      '{"id":12345678901234567890123,"b":[true,null,"\\""]}',
    ]);
  });
});
