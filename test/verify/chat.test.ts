import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { fromBase64, toBase64, utf8, type Hex } from "../../src/evidence/bytes.ts";
import { createReceipt, parseReceipt, redactReceipt, serializeReceipt } from "../../src/receipts/receipt.ts";
import type { Appraisal, Layer, Receipt } from "../../src/receipts/schema.ts";
import { isSignature, type GatewaySignatureEvidence } from "../../src/receipts/signature-schema.ts";
import { inclusionLeafOf } from "../../src/verify/layers/inclusion.ts";
import { verifyReceipt } from "../../src/verify/index.ts";
import { chatReceiptOf, makeChatReceipt, textOfPart, type ChatAnswer } from "../support/chat-receipt.ts";
import { makeFixture, type Fixture } from "../support/fixture-receipt.ts";
import { hashed } from "../support/receipt-core.ts";
import { vectorsDirectory } from "../support/vectors.ts";

const shared = await vectorsDirectory();

async function judged({ receipt, policy, evaluateAt }: Fixture): Promise<Appraisal> {
  const verification = await verifyReceipt(serializeReceipt(receipt), policy, { at: evaluateAt });
  if (!verification.ok) throw new Error(verification.message);
  return verification.appraisal;
}
const brief = ({ layers }: Appraisal, layer: Layer): string => `${layers[layer].status} ${layers[layer].code}`;

/** The same purchase as another file tells it, every hash that takes no key made right. */
function retold(fixture: Fixture, changes: { request?: string; response?: string; signature?: object }): Fixture {
  const core = structuredClone(fixture.receipt.core);
  for (const part of ["request", "response"] as const)
    if (changes[part] !== undefined) Object.assign(core[part], hashed(utf8(changes[part])));
  Object.assign(core.evidence.find(isSignature)!, changes.signature);
  const receipt: Receipt = { ...createReceipt(core), later: fixture.receipt.later };
  return { ...fixture, receipt };
}
/** The text with one piece changed, which must stand in it. */
function changed(text: string, from: string, to: string): string {
  expect(text.split(from).length).toBe(2);
  return text.replace(from, to);
}

const TOOLS = [
  { type: "function", function: { name: "f", parameters: { "10": { maximum: 1e16 }, "9": { minimum: 1e-5 } } } },
];
const ASKED = {
  messages: [{ role: "user", content: "Hello 日本😀" }],
  temperature: 1e-5,
  max_tokens: 64,
  tools: TOOLS,
};
const CALLS = [{ id: "c1", type: "function", function: { name: "f", arguments: '{"é": 1}' } }];
const STREAMED: ChatAnswer = { deltas: [{ role: "assistant", content: "Hel" }, { content: "lo 😀" }] };
const STREAMED_CALLS: ChatAnswer = {
  deltas: [
    { tool_calls: [{ index: 0, id: "c1", type: "function", function: { name: "f", arguments: '{"é"' } }] },
    { tool_calls: [{ index: 0, function: { arguments: ": 1}" } }] },
  ],
};

describe("a receipt of a chat", () => {
  test.each<[string, ChatAnswer, string]>([
    ["text", { message: { role: "assistant", content: "Hi 😀" } }, "text"],
    ["tool calls", { message: { content: "I call", tool_calls: CALLS } }, "tool calls"],
    ["a stream of text", STREAMED, "text"],
    ["a stream of tool calls", STREAMED_CALLS, "tool calls"],
  ])("of %s is verified at signed by a pinned key, offline", async (_what, answer, form) => {
    const fixture = await makeChatReceipt({ input: ASKED, answer });
    const appraisal = await judged(fixture);
    expect(appraisal).toMatchObject({ verdict: "verified", assurance: "signed", simulated: false });
    expect(appraisal.layers.response.note).toBe(
      `The seller's known key signed exactly this request (form V1, V2, V3, V4) and the answer's ${form}.`,
    );
    const limits = appraisal.notProven.join("\n");
    for (const what of [
      "usage",
      "finish reason",
      "images",
      "citations",
      "refusal",
      "top_p",
      "names",
      "temperature of 0",
      "attachments",
    ])
      expect(limits).toContain(what);
    expect(limits).toContain("That the answer repeats the payment's hash");
  });

  test("of a completion is verified, and at the address of chats it is not", async () => {
    const fixture = await makeChatReceipt({ prompt: "Hello" });
    expect(await judged(fixture)).toMatchObject({ verdict: "verified", assurance: "signed" });
    expect(fixture.receipt.core.request.path).toBe("/v1/completions");
    fixture.receipt.core.request.path = "/v1/chat/completions";
    expect(brief(await judged(retold(fixture, {})), "model")).toBe("fail path_mismatch");
  });

  test("says which form of the request was signed, and takes no other", async () => {
    const file = { type: "file", file: { filename: "a.txt", data: "AA" } };
    const input = { messages: [{ role: "user", content: [{ type: "text", text: "it's" }, file] }] };
    for (const [era, name] of [null, "V2", "V3, V4"].entries()) {
      if (name === null) continue;
      const { layers, verdict } = await judged(await makeChatReceipt({ input, era }));
      expect(verdict).toBe("verified");
      expect(layers.response.note).toContain(`(form ${name})`);
    }
  });

  test("T111: is not verified in a form of another request, too: a list, or its text in V1", async () => {
    const input = { messages: [{ role: "user", content: [{ type: "text", text: "hi" }] }] };
    const list = await makeChatReceipt({ input, era: 0 });
    const text = changed(
      textOfPart(list, "request"),
      '[{"type":"text","text":"hi"}]',
      `"[{'type': 'text', 'text': 'hi'}]"`,
    );
    for (const fixture of [list, retold(list, { request: text })]) {
      const appraisal = await judged(fixture);
      expect(brief(appraisal, "response")).toBe("skip form_of_another");
      expect(appraisal.verdict).toBe("unverified");
    }
  });

  test("of an older gateway, which left out an option it did not know, is unverified and no contradiction", async () => {
    for (const [option, eras] of [
      [{ web_search: true }, 2],
      [{ reasoning_effort: "low" }, 2],
      [{ web_search: true, reasoning_effort: "low" }, 3],
    ] as const) {
      const input = { ...ASKED, ...option };
      for (let era = 0; era < eras; era += 1) {
        const appraisal = await judged(await makeChatReceipt({ input, era }));
        const isNewest = era === eras - 1;
        expect(brief(appraisal, "response")).toBe(isNewest ? "pass ok" : "skip form_of_another");
        expect(appraisal.verdict).toBe(isNewest ? "verified" : "unverified");
      }
      const other = await makeChatReceipt({ input: { ...input, max_tokens: 1 }, era: 0 });
      const request = changed(textOfPart(other, "request"), '"max_tokens":1,', '"max_tokens":2,');
      expect(brief(await judged(retold(other, { request })), "response")).toBe("fail request_hash_mismatch");
    }
  });

  test.each<[string, ChatAnswer]>([
    ["images", { message: { role: "assistant", content: "", images: [{ url: "data:" }] } }],
    [
      "calls without an index",
      {
        deltas: ["f", "g"].map((name) => ({
          tool_calls: [{ index: null, id: null, type: "function", function: { name, arguments: "{}" } }],
        })),
      },
    ],
  ])("of %s is unverified, as its signature fits others too, and a wrong one contradicts", async (_what, answer) => {
    const fixture = await makeChatReceipt({ answer });
    const appraisal = await judged(fixture);
    expect(brief(appraisal, "response")).toBe("skip form_of_another");
    expect(appraisal.layers.response.note).toContain("Another answer");
    expect(appraisal.verdict).toBe("unverified");
    const { requestHash } = fixture.receipt.core.evidence.find(isSignature) as GatewaySignatureEvidence;
    const response = textOfPart(fixture, "response").replace(
      /"tee_output_hash":"[0-9a-f]+"/,
      `"tee_output_hash":"${requestHash}"`,
    );
    const wrong = retold(fixture, { response, signature: { outputHash: requestHash } });
    expect(brief(await judged(wrong), "response")).toBe("fail output_hash_mismatch");
  });

  test("says that a signature is there and cannot be read, and that of an answer without one there is none", async () => {
    const fixture = await makeChatReceipt();
    const without = (response: string): Fixture => {
      const other = retold(fixture, { response });
      const core = { ...other.receipt.core, evidence: other.receipt.core.evidence.filter((one) => !isSignature(one)) };
      return { ...other, receipt: { ...createReceipt(core), later: other.receipt.later } };
    };
    const text = textOfPart(fixture, "response");
    const unread = await judged(without(text.replace(/"tee_timestamp":(\d+)/, '"tee_timestamp":"$1"')));
    expect(brief(unread, "response")).toBe("skip signature_unread");
    expect(unread.verdict).toBe("unverified");
    const none = await judged(without(changed(text, "tee_signature", "tea_signature")));
    expect(brief(none, "response")).toBe("skip not_signed");
  });

  test("shows nothing under a key that the policy does not know, and is judged by no other kind of signature", async () => {
    const fixture = await makeChatReceipt();
    const { sellers } = fixture.policy;
    const unknown = { ...fixture.policy, sellers: { fixture: { ...sellers["fixture"]!, keyIds: [] } } };
    expect((await judged({ ...fixture, policy: unknown })).verdict).toBe("unverified");
    const asBytes = retold(fixture, { signature: { kind: "signature.tee" } });
    expect(brief(await judged(asBytes), "response")).toBe("fail signature_of_another_kind");
    const stranger = structuredClone(fixture);
    stranger.receipt.core.seller.provider = "of-tomorrow";
    const appraisal = await judged(retold(stranger, {}));
    expect(brief(appraisal, "response")).toBe("unsupported exchange_format_unknown");
    expect(appraisal.verdict).not.toBe("verified");
    const twice = structuredClone(fixture);
    const one = twice.receipt.core.evidence.find(isSignature)!;
    twice.receipt.core.evidence.push({ ...one, kind: "signature.tee" });
    expect(brief(await judged(retold(twice, {})), "response")).toBe("fail ambiguous_evidence");
  });

  test("is never verified with a part left out, and its file stays whole", async () => {
    const fixture = await makeChatReceipt();
    for (const parts of [{ request: true }, { response: true }, { request: true, response: true }]) {
      const redacted = { ...fixture, receipt: redactReceipt(fixture.receipt, parts) };
      expect(parseReceipt(serializeReceipt(redacted.receipt)).ok).toBe(true);
      const appraisal = await judged(redacted);
      expect(brief(appraisal, "response")).toBe("skip body_redacted");
      expect(brief(appraisal, "request")).toBe("skip not_signed");
      expect(appraisal.verdict).toBe("unverified");
    }
  });
});

describe("what a file changes of a signed chat", () => {
  let whole: Fixture;
  let stream: Fixture;
  beforeAll(async () => {
    whole = await makeChatReceipt({ input: ASKED });
    stream = await makeChatReceipt({ input: ASKED, answer: STREAMED });
  });

  test.each([
    ["the model", '"model":"gpt-4.1-2025-04-14"', '"model":"gpt-4.1-mini"', "request", "fail model_name_mismatch"],
    ["a message", "Hello 日本😀", "Hello 日本😁", "response", "fail request_hash_mismatch"],
    ["the temperature", '"temperature":0.00001', '"temperature":0.00002', "response", "fail request_hash_mismatch"],
    [
      "the spelling of a number",
      '"maximum":10000000000000000',
      '"maximum":1e16',
      "response",
      "fail request_hash_mismatch",
    ],
    ["the schema of a tool", '"minimum":0.00001', '"minimum":0', "response", "fail request_hash_mismatch"],
    ["a later field", '"max_tokens":64', '"web_search":true,"max_tokens":64', "response", "skip form_of_another"],
    ["the nonce", '"proof402:', '"proof402:0', "request", "fail nonce_missing"],
    ["what is no chat", '"role":"user"', '"role":"developer"', "response", "skip form_unread"],
  ] as const)("T111: is told of the request: %s", async (_what, from, to, layer, code) => {
    const appraisal = await judged(retold(whole, { request: changed(textOfPart(whole, "request"), from, to) }));
    expect(brief(appraisal, layer)).toBe(code);
    expect(appraisal.verdict).toBe(code.startsWith("fail") ? "failed" : "unverified");
  });

  test("T111: is told of the answer: its text, one delta, its calls", async () => {
    const text = changed(textOfPart(whole, "response"), "Hi 😀", "Hi 😁");
    expect(brief(await judged(retold(whole, { response: text })), "response")).toBe("fail output_hash_mismatch");
    const delta = changed(textOfPart(stream, "response"), "lo 😀", "lo 😁");
    expect(brief(await judged(retold(stream, { response: delta })), "response")).toBe("fail output_hash_mismatch");
    // Calls beside a signed text are no part of what was signed.
    const called = changed(
      textOfPart(whole, "response"),
      '"content":',
      `"tool_calls":${JSON.stringify(CALLS)},"content":`,
    );
    expect(brief(await judged(retold(whole, { response: called })), "response")).toBe("fail output_hash_mismatch");
  });

  test("is told of the signature: time, key, and that it is the answer's own", async () => {
    const { timestamp, teeId } = whole.receipt.core.evidence.find(isSignature)! as GatewaySignatureEvidence;
    const response = textOfPart(whole, "response");
    const later = { timestamp: timestamp + 1 };
    expect(brief(await judged(retold(whole, { signature: later })), "response")).toBe("fail signature_not_of_answer");
    const both = { signature: later, response: changed(response, `:${timestamp},`, `:${timestamp + 1},`) };
    expect(brief(await judged(retold(whole, both)), "response")).toBe("fail signature_invalid");
    const other: Hex = `0x${"ab".repeat(32)}`;
    expect(brief(await judged(retold(whole, { response: changed(response, teeId, other) })), "response")).toBe(
      "fail signature_not_of_answer",
    );
    expect(brief(await judged(retold(whole, { signature: { teeId: other } })), "response")).toBe("fail key_mismatch");
    const old = structuredClone(whole);
    old.receipt.core.request.sentAt = new Date((timestamp + 600) * 1000).toISOString();
    old.receipt.core.response.receivedAt = old.receipt.core.request.sentAt;
    expect(brief(await judged(retold(old, {})), "response")).toBe("fail signature_time");
  });

  test("T111: a stream without its signed frame is not verified, even with the evidence beside it", async () => {
    const text = textOfPart(stream, "response");
    const frames = text.split("\n\n");
    const signed = frames.findIndex((frame) => frame.includes("tee_signature"));
    const unsigned = frames.toSpliced(signed, 1).join("\n\n");
    for (const response of [
      unsigned,
      text.slice(0, text.indexOf("tee_signature")),
      frames.slice(0, signed + 1).join("\n\n"),
    ]) {
      const appraisal = await judged(retold(stream, { response }));
      expect(brief(appraisal, "response")).toBe("skip answer_not_signed");
      expect(appraisal.verdict).toBe("unverified");
    }
    const after = `${frames.slice(0, signed + 1).join("\n\n")}\n\n${frames[0]}\n\n`;
    expect((await judged(retold(stream, { response: after }))).verdict).not.toBe("verified");
  });

  test("names a key twice, so that two readers hold two answers", async () => {
    const response = changed(textOfPart(whole, "response"), '"content":"Hi 😀"', '"content":"evil","content":"Hi 😀"');
    expect((await judged(retold(whole, { response }))).verdict).not.toBe("verified");
    const request = changed(textOfPart(whole, "request"), '"max_tokens":64', '"max_tokens":1,"max_tokens":64');
    expect(brief(await judged(retold(whole, { request })), "request")).toBe("fail body_ambiguous");
  });

  test("says that another model answered", async () => {
    const response = changed(textOfPart(whole, "response"), '"model":"gpt-4.1-2025-04-14"', '"model":"gpt-4.1-mini"');
    expect(brief(await judged(retold(whole, { response })), "model")).toBe("fail model_name_mismatch");
  });

  test("no byte of what is signed, changed alone, is verified", async () => {
    const body = fromBase64(whole.receipt.core.request.body!);
    const text = textOfPart(whole, "request");
    const inside = text.indexOf("Hello");
    for (let at = inside; at < inside + 5; at += 1) {
      const turned = Uint8Array.from(body, (byte, index) => (index === at ? byte ^ 1 : byte));
      expect((await judged(retold(whole, { request: Buffer.from(turned).toString() }))).verdict).toBe("failed");
    }
  });
});

describe.skipIf(shared === null)("the gateway's signature vector", () => {
  test("makes a receipt that reaches signed under its key, and ties no payment to it", async () => {
    const file = join(shared ?? "", "opengradient", "opengradient-vectors.json");
    const { requests, signature: s } = JSON.parse(await readFile(file, "utf8")) as {
      requests: { wire_body: string; tee_request_hash: string }[];
      signature: Record<
        "spki_der_b64" | "output" | "tee_request_hash" | "tee_output_hash" | "tee_signature",
        string
      > & {
        tee_id: Hex;
        tee_timestamp: number;
      };
    };
    const { tee_id, tee_timestamp, tee_request_hash, tee_output_hash, tee_signature } = s;
    const asked = requests.find((one) => one.tee_request_hash === tee_request_hash)!.wire_body;
    const answer = {
      choices: [{ index: 0, message: { role: "assistant", content: s.output }, finish_reason: "stop" }],
      tee_signature,
      tee_request_hash,
      tee_output_hash,
      tee_timestamp,
      tee_id,
    };
    const told = {
      teeId: tee_id,
      requestHash: tee_request_hash,
      outputHash: tee_output_hash,
      timestamp: tee_timestamp,
      signature: tee_signature,
    };
    const fixture = chatReceiptOf(await makeFixture(), utf8(asked), utf8(JSON.stringify(answer)), {
      spki: fromBase64(s.spki_der_b64),
      told,
    });
    const appraisal = await judged(fixture);
    expect(appraisal.assurance).toBe("signed");
    expect(brief(appraisal, "payment")).toBe("skip nonce_not_carried");
    expect(inclusionLeafOf(fixture.receipt)).toMatchObject({
      inputHash: `0x${tee_request_hash}`,
      outputHash: `0x${tee_output_hash}`,
    });
    expect(appraisal.verdict).toBe("unverified");
    expect(appraisal.notProven.join("\n")).toContain("neither part carries the payment's hash");
    const unpaid = { ...fixture.policy, requiredLayers: ["key", "request", "response"] as Layer[] };
    expect((await judged({ ...fixture, policy: unpaid })).verdict).toBe("verified");
    const forged = { ...told, signature: toBase64(Uint8Array.from(fromBase64(tee_signature), (byte) => byte ^ 1)) };
    const other = utf8(JSON.stringify({ ...answer, tee_signature: forged.signature }));
    const wrong = chatReceiptOf(await makeFixture(), utf8(asked), other, {
      spki: fromBase64(s.spki_der_b64),
      told: forged,
    });
    expect(brief(await judged(wrong), "response")).toBe("fail signature_invalid");
  });
});
