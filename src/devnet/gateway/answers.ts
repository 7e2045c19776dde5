import { keccak256, toBase64, toHex, utf8, type Bytes } from "../../evidence/bytes.ts";
import { openAiChat } from "../../evidence/exchange/openai-chat/openai-chat.ts";
import { dumpPythonJson, type PythonJson } from "../../evidence/exchange/python-json.ts";
import { teeMessageHash } from "../../evidence/tee-signature.ts";
import type { Signer } from "../../node/index.ts";
import type { Message, ToolCall } from "./forward.ts";

/** The signature's fields at an answer's end, as OpenGradient's gateway names them. */
export type TeeFields = {
  tee_signature: string;
  tee_timestamp: number;
  tee_request_hash: string;
  tee_output_hash: string;
  tee_id: string;
};

/** A request in the newest form of those the gateway hashes; null for a request without an answer. */
export const signedRequestBytes = (body: Uint8Array): Bytes | null =>
  openAiChat.signed.formsOf(body, "request").at(-1)?.bytes ?? null;

/** The bytes of an answer that the gateway hashes: its calls in Python's JSON or, without any, its text. */
export const signedAnswerBytes = ({
  content,
  tool_calls: calls = [],
}: Pick<Message, "content" | "tool_calls">): Bytes =>
  calls.length === 0 ? utf8(content ?? "") : dumpPythonJson(calls.map(pythonCall));

function pythonCall({ id, type, function: { name, arguments: args } }: ToolCall): PythonJson {
  const called: [string, PythonJson][] = [
    ["name", name],
    ["arguments", args],
  ];
  return new Map<string, PythonJson>([
    ["id", id],
    ["type", type],
    ["function", new Map(called)],
  ]);
}

/** Signs an exchange as of a second. */
export async function signExchange(
  signer: Signer,
  parts: { request: Bytes; answer: Bytes; timestamp: number },
): Promise<TeeFields> {
  const [requestHash, outputHash] = [keccak256(parts.request), keccak256(parts.answer)];
  const { timestamp } = parts;
  const signature = await signer.sign(teeMessageHash({ requestHash, outputHash, timestamp }));
  return {
    tee_signature: toBase64(signature),
    tee_timestamp: timestamp,
    tee_request_hash: toHex(requestHash),
    tee_output_hash: toHex(outputHash),
    tee_id: signer.keyId,
  };
}

/** Joins the fragments of streamed calls by their index. */
export function createCallBuffer(): { add(fragments: unknown): void; calls(): ToolCall[] } {
  const calls = new Map<number, ToolCall>();
  type Fragment = { index?: number; id?: string; function?: { name?: string; arguments?: string } };
  return {
    add(fragments) {
      for (const { index = 0, id, function: called } of (fragments ?? []) as Fragment[]) {
        const call = calls.get(index) ?? { id: "", type: "function", function: { name: "", arguments: "" } };
        call.id ||= id ?? "";
        call.function.name ||= called?.name ?? "";
        call.function.arguments += called?.arguments ?? "";
        calls.set(index, call);
      }
    },
    calls: () => [...calls].toSorted(([a], [b]) => a - b).map(([, call]) => call),
  };
}
