import { readFile } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { fromUtf8, keccak256, toHex, utf8 } from "../../../../src/evidence/bytes.ts";
import { signedRequests } from "../../../../src/evidence/exchange/openai-chat/signed-request.ts";
import { vectorsDirectory } from "../../../support/vectors.ts";

const shared = await vectorsDirectory();
const ALL = "V1, V2, V3, V4";

const formsOf = (body: string): [string, string][] =>
  signedRequests(utf8(body)).map(({ name, bytes }) => [name, fromUtf8(bytes)]);
/** The names of a body's forms; those of another request, too, in brackets. */
const namesOf = (body: string): string[] =>
  signedRequests(utf8(body)).map(({ name, ofAnother }) => (ofAnother === true ? `(${name})` : name));
const chat = (messages: string, rest = ""): string => `{"model":"m","messages":[${messages}]${rest}}`;
const HELLO = '{"role":"user","content":"hi"}';
const SIGNED_HELLO = '{"content": "hi", "role": "user"}';

describe.skipIf(shared === null)("the gateway's request vectors", () => {
  test("have the bytes and the hashes that this computes", async () => {
    const file = join(shared ?? "", "opengradient", "opengradient-vectors.json");
    const { requests } = JSON.parse(await readFile(file, "utf8")) as {
      requests: { wire_body: string; canonical: string; tee_request_hash: string }[];
    };
    expect(requests.length).toBe(10);
    for (const { wire_body, canonical, tee_request_hash } of requests) {
      expect(formsOf(wire_body)).toEqual([[ALL, canonical]]);
      expect(signedRequests(utf8(wire_body)).map(({ bytes }) => toHex(keccak256(bytes)))).toEqual([tee_request_hash]);
    }
  });
});

describe("what is signed of a request", () => {
  test.each([
    ["", '"temperature": 0.0'],
    [',"temperature":null,"max_tokens":null,"stop":null,"tools":null', '"temperature": 0.0'],
    [',"temperature":-0', '"temperature": 0.0'],
    [',"temperature":-0.0', '"temperature": -0.0'],
    [',"temperature":2', '"temperature": 2.0'],
    [',"temperature":1e-05', '"temperature": 1e-05'],
    [',"temperature":10000000000000000', '"temperature": 1e+16'],
    [',"temperature":123456789012345678901', '"temperature": 1.2345678901234568e+20'],
    [',"stop":"","tools":[],"response_format":{},"web_search":[]', '"temperature": 0.0'],
    [',"stop":"END"', '"stop": "END", "temperature": 0.0'],
    [
      ',"response_format":{"type":"json_object","b":1.0}',
      '"response_format": {"b": 1.0, "type": "json_object"}, "temperature": 0.0',
    ],
    [
      ',"tools":[{"type":"function","10":{"9":1,"10":9007199254740993}}]',
      '"temperature": 0.0, "tools": [{"10": {"10": 9007199254740993, "9": 1}, "type": "function"}]',
    ],
    [',"stream":true,"tool_choice":"auto","top_p":0.1,"seed":1,"n":1,"user":"u"', '"temperature": 0.0'],
  ])("is the same in every form with the fields %s", (rest, signed) => {
    expect(formsOf(chat(HELLO, rest))).toEqual([[ALL, `{"messages": [${SIGNED_HELLO}], "model": "m", ${signed}}`]]);
  });

  test.each([
    ['{"role":"system","content":[{"b":1,"a":2}],"name":"x"}', '{"content": [{"a": 2, "b": 1}], "role": "system"}'],
    ['{"role":"assistant","content":null}', '{"content": "", "role": "assistant"}'],
    ['{"role":"assistant"}', '{"content": "", "role": "assistant"}'],
    [
      '{"role":"assistant","content":"c","tool_calls":[{"index":0,"function":{"name":"f","arguments":"{}","x":1}}]}',
      '{"content": "c", "role": "assistant", "tool_calls": [{"function": {"arguments": "{}", "name": "f"}, "id": null, "type": null}]}',
    ],
    ['{"role":"tool","content":"r"}', '{"content": "r", "role": "tool", "tool_call_id": null}'],
    ['{"role":"function","content":"r","name":"f"}', '{"content": "r", "name": "f", "role": "function"}'],
  ])("of the message %s", (message, signed) => {
    expect(formsOf(chat(message))).toEqual([[ALL, `{"messages": [${signed}], "model": "m", "temperature": 0.0}`]]);
  });

  test("has three forms for a content that is a list, and of before an option came one without it", () => {
    const parts = `[{"type":"text","text":"it's é","x":true,"y":null},"z",7,{"type":"image_url","image_url":{"url":"data:"}},{"type":"file","file":{"filename":"a.pdf","data":"AA"}},{"type":"file","filename":"b"}]`;
    const user = (content: string): string =>
      `{"messages": [{"content": ${content}, "role": "user"}], "model": "m", "temperature": 0.0`;
    const [v1, v2, v3] = [
      user(
        String.raw`"[{'type': 'text', 'text': \"it's \u00e9\", 'x': True, 'y': None}, 'z', 7, {'type': 'image_url', 'image_url': {'url': 'data:'}}, {'type': 'file', 'file': {'filename': 'a.pdf', 'data': 'AA'}}, {'type': 'file', 'filename': 'b'}]"`,
      ),
      user(
        String.raw`[{"text": "it's \u00e9", "type": "text", "x": true, "y": null}, "z", 7, {"image_url": {"url": "data:"}, "type": "image_url"}, {"file": {"data": "AA", "filename": "a.pdf"}, "type": "file"}, {"filename": "b", "type": "file"}]`,
      ),
      user(
        String.raw`[{"text": "it's \u00e9", "type": "text"}, {"text": "z", "type": "text"}, {"text": "7", "type": "text"}, {"type": "image_url"}, {"filename": "a.pdf", "type": "file"}, {"filename": "b", "type": "file"}]`,
      ),
    ];
    const message = `{"role":"user","content":${parts}}`;
    expect(formsOf(chat(message))).toEqual([
      ["V1", `${v1}}`],
      ["V2", `${v2}}`],
      ["V3, V4", `${v3}}`],
    ]);
    const searched = `{"messages": [${SIGNED_HELLO}], "model": "m", "temperature": 0.0, "web_search": true}`;
    const plain = searched.replace(', "web_search": true', "");
    expect(formsOf(chat(HELLO, ',"web_search":1'))).toEqual([
      ["V1, V2", plain],
      ["V3, V4", searched],
    ]);
    expect(namesOf(chat(HELLO, ',"web_search":1'))).toEqual(["(V1, V2)", "V3, V4"]);
    const both = chat(HELLO, ',"web_search":true,"reasoning_effort":"low"');
    expect(formsOf(both)).toEqual([
      ["V1, V2", plain],
      ["V3", searched],
      ["V4", searched.replace('"temperature"', '"reasoning_effort": "low", "temperature"')],
    ]);
    expect(namesOf(both)).toEqual(["(V1, V2)", "(V3)", "V4"]);
    expect(namesOf(chat(HELLO, ',"reasoning_effort":"low"'))).toEqual(["(V1, V2, V3)", "V4"]);
    expect(namesOf('{"model":"m","prompt":"p","web_search":true}')).toEqual(["(V1, V2)", "V3, V4"]);
    expect(namesOf(chat(HELLO, ',"web_search":false,"reasoning_effort":""'))).toEqual([ALL]);
    expect(formsOf(chat('{"role":"user"}')).map(([name, text]) => [name, text.includes('"None"')])).toEqual([
      ["V1, V3, V4", true],
      ["V2", false],
    ]);
  });

  test.each([
    ["", "no JSON"],
    ["[]", "no object"],
    ['{"messages":[]}', "no model"],
    ['{"model":"m"}', "neither messages nor a prompt"],
    [chat("7"), "a message that is none"],
    [chat('{"role":"developer","content":"x"}'), "a role that the gateway does not know"],
    [chat('{"role":"user","content":null}'), "a content of null"],
    [chat('{"role":"system"}'), "no content"],
    [chat('{"role":"tool","content":"r","tool_call_id":null}'), "an id of null"],
    [chat('{"role":"function","content":["r"],"name":"f"}'), "a function's list"],
    [chat('{"role":"assistant","tool_calls":[{"id":"c"}]}'), "a call of nothing"],
    [chat(HELLO, ',"temperature":"1"'), "a temperature that is a text"],
    [chat(HELLO, ',"max_tokens":"1"'), "a bound that is a text"],
    [chat(HELLO, ',"stop":7'), "a stop that is a number"],
    [chat(HELLO, ',"tools":{"a":1}'), "tools that are no list"],
    ['{"model":"m","prompt":["a"]}', "a prompt that is a list"],
  ])("is nothing where %s is %s", (body) => {
    expect(formsOf(body)).toEqual([]);
  });

  test("is never an exception", () => {
    fc.assert(fc.property(fc.json(), (json) => void signedRequests(utf8(json))));
    fc.assert(fc.property(fc.json(), (json) => void signedRequests(utf8(chat(`{"role":"user","content":${json}}`)))));
  });
});
