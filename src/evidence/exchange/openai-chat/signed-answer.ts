import { utf8, type Hex } from "../../bytes.ts";
import { perBody } from "../../body.ts";
import type { SellerSignature, SignedForm } from "../format.ts";
import { dumpPythonJson, isPythonNumber, type PythonJson, type PythonObject } from "../python-json.ts";
import { readInOneWay } from "./chat-answer.ts";

/**
 * An answer's bytes as OpenGradient's gateway signs their Keccak-256: its text or, if it calls tools, the calls alone.
 * Of a stream an id or a name that never came is a text or null. Empty for an answer that cannot be read in one way.
 * Source: OpenGradient tee-gateway, `chat_controller.py`.
 */
export const signedAnswers = perBody((body): SignedForm[] => {
  const answer = readInOneWay(body);
  if (answer === null) return [];
  const { calls, streamed, text } = answer;
  // UTF-8 has no lone surrogate: written, it would be the same as another character.
  if (calls === null) return text.isWellFormed() ? [{ name: "text", bytes: utf8(text) }] : [];
  const variants = streamed ? variantsOf(calls) : [calls];
  return variants.map((variant) => ({ name: "tool calls", bytes: dumpPythonJson(variant) }));
});

/** Calls with null for each id, each name or both that never came. */
const variantsOf = (calls: readonly PythonObject[]): PythonObject[][] =>
  [false, true].flatMap((ids) =>
    [false, true].map((names) =>
      calls.map((call) => {
        const called = call.get("function");
        const withNames = names && called instanceof Map ? nulled(called, "name") : called;
        return (ids ? nulled(call, "id") : new Map(call)).set("function", withNames ?? null);
      }),
    ),
  );

const nulled = (members: PythonObject, field: string): PythonObject =>
  new Map(
    [...members].map(([name, value]): [string, PythonJson] => [name, name === field && value === "" ? null : value]),
  );

/** The signature at the end of an answer, as the seller tells it; null without one, or of another form. */
export function signatureIn(body: Uint8Array): SellerSignature | null {
  const answer = readInOneWay(body);
  if (answer === null) return null;
  const { last } = answer;
  const timestamp = last.get("tee_timestamp");
  const teeId = matching(last, "tee_id", /^0x[0-9a-f]{64}$/);
  const requestHash = matching(last, "tee_request_hash", /^[0-9a-f]{64}$/);
  const outputHash = matching(last, "tee_output_hash", /^[0-9a-f]{64}$/);
  const signature = matching(last, "tee_signature", /^[A-Za-z0-9+/]{1,4094}={0,2}$/);
  if (teeId === null || requestHash === null || outputHash === null || signature === null) return null;
  if (!isPythonNumber(timestamp) || !/^\d{1,10}$/.test(timestamp.literal)) return null;
  return { teeId: teeId as Hex, requestHash, outputHash, timestamp: Number(timestamp.literal), signature };
}

function matching(members: PythonObject, field: string, form: RegExp): string | null {
  const value = members.get(field);
  return typeof value === "string" && form.test(value) ? value : null;
}
