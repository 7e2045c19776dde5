import { utf8, type Hex } from "../../bytes.ts";
import { perBody } from "../../body.ts";
import type { SellerSignature, SignedForm } from "../format.ts";
import { dumpPythonJson, isPythonNumber, type PythonJson, type PythonObject } from "../python-json.ts";
import { readImages, readInOneWay } from "./chat-answer.ts";

/**
 * An answer's bytes as OpenGradient's gateway signs their Keccak-256: its text or, if it calls tools, the calls alone.
 * Of a stream an id or a name that never came is a text or null. Calls without an index are one, of the arguments of all.
 * Images are not signed, and the empty text beside them is. Empty for an answer that cannot be read in one way.
 * Source: OpenGradient tee-gateway, `chat_controller.py`.
 */
export const signedAnswers = perBody((body): SignedForm[] => {
  const answer = readInOneWay(body);
  if (answer === null) return readImages(body) === null ? [] : [{ name: "text", bytes: utf8(""), ofAnother: true }];
  const { calls, streamed, text, unindexed } = answer;
  // UTF-8 has no lone surrogate: written, it would be the same as another character.
  if (calls === null) return text.isWellFormed() ? [{ name: "text", bytes: utf8(text) }] : [];
  const lists = unindexed ? [mergedCall(calls), mergedCall(calls.toReversed(), calls)] : [calls];
  const variants = streamed ? lists.flatMap(variantsOf) : lists;
  return variants.map((variant) => ({
    name: "tool calls",
    bytes: dumpPythonJson(variant),
    ...(unindexed ? { ofAnother: true } : {}),
  }));
});

/** One call of several: the first id, type and name that `named` tell, and all arguments. */
function mergedCall(named: readonly PythonObject[], calls = named): PythonObject[] {
  const told = (of: readonly PythonObject[], field: string): string[] =>
    of.map((one) => one.get(field)).filter((one) => typeof one === "string");
  const functionsOf = (all: readonly PythonObject[]): PythonObject[] =>
    all.map((call) => call.get("function")).filter((one) => one instanceof Map);
  const first = (values: readonly string[]): string => values.find((one) => one !== "") ?? "";
  const called: PythonObject = new Map([
    ["name", first(told(functionsOf(named), "name"))],
    ["arguments", told(functionsOf(calls), "arguments").join("")],
  ]);
  return [
    new Map<string, PythonJson>([
      ["id", first(told(named, "id"))],
      ["type", first(told(named, "type"))],
      ["function", called],
    ]),
  ];
}

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
  const answer = readInOneWay(body) ?? readImages(body);
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

/** Whether an answer holds a signature, read or not. */
export const bearsSignature = perBody((body): boolean =>
  /(?<!\\)"tee_signature"\s*:/.test(new TextDecoder().decode(body)),
);

function matching(members: PythonObject, field: string, form: RegExp): string | null {
  const value = members.get(field);
  return typeof value === "string" && form.test(value) ? value : null;
}
