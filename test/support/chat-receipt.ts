import { fromBase64, fromHex, keccak256, toBase64, toHex, utf8, type Hex } from "../../src/evidence/bytes.ts";
import { openAiChat } from "../../src/evidence/exchange/openai-chat/openai-chat.ts";
import { TEE_SIGNATURE_ALGORITHM, teeIdOf, teeMessageHash } from "../../src/evidence/tee-signature.ts";
import { createReceipt } from "../../src/receipts/receipt.ts";
import { appraisalPolicySchema } from "../../src/verify/policy.ts";
import { makeFixture, type Fixture } from "./fixture-receipt.ts";
import { hashed } from "./receipt-core.ts";

const CHAT_MODEL = "gpt-4.1-2025-04-14";

/** What a gateway answers: a message, or the deltas of a stream. Anything else of its answer no signature covers. */
export type ChatAnswer = { message: object } | { deltas: readonly object[] };

const keys = await crypto.subtle.generateKey(
  { name: "RSA-PSS", hash: "SHA-256", modulusLength: 2048, publicExponent: Uint8Array.of(1, 0, 1) },
  false,
  ["sign", "verify"],
);
const CHAT_KEY = new Uint8Array(await crypto.subtle.exportKey("spki", keys.publicKey));

/** The answer's bytes with these last fields. */
function answerBytes(answer: ChatAnswer, told: object): Uint8Array {
  const rest = { id: "x", object: "chat.completion", created: 1, usage: { total_tokens: 7 }, model: CHAT_MODEL };
  if ("message" in answer) {
    const choices = [{ index: 0, message: answer.message, finish_reason: "stop" }];
    return utf8(JSON.stringify({ ...rest, choices, ...told }));
  }
  const frames = [
    ...answer.deltas.map((delta) => ({ ...rest, choices: [{ index: 0, delta }] })),
    { ...rest, choices: [{ index: 0, delta: {}, finish_reason: "stop" }], ...told },
  ];
  return utf8(`${frames.map((frame) => `data: ${JSON.stringify(frame)}\n\n`).join("")}data: [DONE]\n\n`);
}

/**
 * A receipt of a chat bought from a gateway whose key the policy pins. `era` is which of the request's forms it signs.
 * `prompt` makes it a completion.
 */
export async function makeChatReceipt(
  options: { input?: Record<string, unknown>; prompt?: string; answer?: ChatAnswer; era?: number } = {},
): Promise<Fixture> {
  const { input = { messages: [{ role: "user", content: "Hello" }] }, answer = { message: { content: "Hi 😀" } } } =
    options;
  const fixture = await makeFixture({ signed: true });
  const { nonce, sentAt } = fixture.receipt.core.request;
  const timestamp = Math.floor(Date.parse(sentAt) / 1000);
  const { prompt } = options;
  const request =
    prompt === undefined
      ? openAiChat.writeRequest({ takes: [], model: CHAT_MODEL, input, nonce }).body
      : utf8(JSON.stringify({ model: CHAT_MODEL, prompt, stop: [`proof402:${nonce}`] }));
  const { formsOf } = openAiChat.signed;
  const hashOf = (body: Uint8Array, part: "request" | "response", at = 0): string =>
    toHex(keccak256(formsOf(body, part).at(at)!.bytes));
  const requestHash = hashOf(request, "request", options.era);
  const outputHash = hashOf(answerBytes(answer, {}), "response");
  const message = teeMessageHash({ requestHash: fromHex(requestHash), outputHash: fromHex(outputHash), timestamp });
  const signature = toBase64(
    new Uint8Array(await crypto.subtle.sign(TEE_SIGNATURE_ALGORITHM, keys.privateKey, message)),
  );
  const told = { teeId: teeIdOf(CHAT_KEY), requestHash, outputHash, timestamp, signature };
  return chatReceiptOf(fixture, request, answerBytes(answer, fieldsOf(told)), { spki: CHAT_KEY, told });
}

type Told = { teeId: Hex; requestHash: string; outputHash: string; timestamp: number; signature: string };

const fieldsOf = ({ teeId, requestHash, outputHash, timestamp, signature }: Told): object => ({
  tee_signature: signature,
  tee_request_hash: requestHash,
  tee_output_hash: outputHash,
  tee_timestamp: timestamp,
  tee_id: teeId,
});

/** The fixture's purchase with these bytes as its exchange, and a policy that pins the key at assurance `signed`. */
export function chatReceiptOf(
  { receipt, policy }: Fixture,
  request: Uint8Array,
  response: Uint8Array,
  { spki, told }: { spki: Uint8Array; told: Told },
): Fixture {
  const { core } = receipt;
  const sentAt = new Date(told.timestamp * 1000).toISOString();
  const seller = { ...core.seller, provider: "opengradient", keyId: told.teeId };
  const path = openAiChat.pathOf(CHAT_MODEL, request);
  const chat = createReceipt({
    ...core,
    seller,
    request: { ...core.request, path, model: CHAT_MODEL, sentAt, ...hashed(request) },
    response: { ...core.response, receivedAt: sentAt, ...hashed(response) },
    evidence: [
      { kind: "signature.key", publicKey: toBase64(spki) },
      { kind: "signature.opengradient", ...told },
    ],
  });
  const { measurements: _none, models: _files, ...known } = policy.sellers["fixture"]!;
  return {
    receipt: { ...chat, later: receipt.later },
    policy: appraisalPolicySchema.parse({
      ...policy,
      assurance: "signed",
      sellers: { fixture: { ...known, provider: "opengradient", keyIds: [told.teeId] } },
    }),
    evaluateAt: new Date(sentAt),
  };
}

/** The receipt's bytes of a part as text. */
export const textOfPart = ({ receipt }: Fixture, part: "request" | "response"): string =>
  Buffer.from(fromBase64(receipt.core[part].body!)).toString();
