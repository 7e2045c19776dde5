import * as z from "zod";
import { textOf } from "../evidence/bytes.ts";
import { isInteroperable, parseJsonText } from "../evidence/json-text.ts";
import { Proof402Error } from "../errors.ts";
import { ASSURANCES, type Assurance } from "../receipts/schema.ts";
import { isRecord } from "../evidence/record.ts";

/** What a client of OpenAI's API asks for, as a purchase. */
export type Asked = {
  model: string;
  input: Record<string, unknown>;
  isStream: boolean;
  /** Whether a stream's last frame but one has the usage. */
  withUsage: boolean;
  /** Fields of the request that went no further, by name. */
  leftOut: string[];
};

/** Bounds of one request, from its headers. They only narrow the policy. */
export type Bounds = {
  seller?: string;
  assurance?: Assurance;
  maxUsd?: number;
  idempotencyKey?: string;
};

const requestSchema = z.looseObject({
  model: z.string().min(1).max(256),
  stream: z.boolean().nullish(),
  stream_options: z.strictObject({ include_usage: z.boolean().nullish() }).nullish(),
});

/** Fields that name the caller to the seller, or sort its accounts. They change no answer, so they stay here, and a header says so. */
const OF_CALLER: readonly string[] = [
  "user",
  "safety_identifier",
  "prompt_cache_key",
  "prompt_cache_retention",
  "metadata",
  "store",
  "service_tier",
];
/** Fields with the value that a request without them has, too. */
const DEFAULTS: Readonly<Record<string, unknown>> = { n: 1, logprobs: false, echo: false, best_of: 1 };

/**
 * Reads a request's body. Defaults and fields about the caller stay here. Every other field goes to the exchange format, to be
 * sent or refused. Refuses a body with two readings: a key named twice, an integer of more digits than a double holds.
 *
 * Throws Proof402Error `invalid_input`.
 */
export function readAsked(body: Uint8Array, kind: "chat" | "completion"): Asked {
  const read = parseJsonText(textOf(body) ?? "", Infinity);
  if (!read.ok) throw misfit(`The body cannot be sent as it is written. ${read.message}`);
  const parsed = requestSchema.safeParse(read.value);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    const at = issue?.path.join(".") ?? "";
    throw misfit(at === "" ? "The body is no JSON object." : `"${at}" does not fit: ${issue?.message}.`);
  }
  const { model, stream, stream_options: options, ...fields } = parsed.data;
  const given = Object.entries(fields).filter(([name, value]) => value !== null && value !== DEFAULTS[name]);
  const leftOut = given.flatMap(([name]) => (OF_CALLER.includes(name) ? [name] : []));
  const input = Object.fromEntries(given.filter(([name]) => !OF_CALLER.includes(name)));
  const own = kind === "chat" ? "messages" : "prompt";
  if (input[own] === undefined) throw misfit(`The field "${own}" is missing.`);
  if (kind === "chat") input["messages"] = asFirstSaid(input["messages"]);
  const isStream = stream === true;
  const withUsage = isStream && options?.include_usage === true;
  if (!isInteroperable(input)) throw misfit("The body holds what JSON cannot carry exactly, or is nested too deeply.");
  return {
    model,
    input: {
      ...input,
      ...(isStream ? { stream: true } : {}),
      // Sellers of OpenAI's API tell a stream's usage to those who ask.
      ...(withUsage ? { stream_options: { include_usage: true } } : {}),
    },
    isStream,
    withUsage,
    leftOut,
  };
}

/** Fields that clients add to the messages they send back. OpenAI's API has none of them, and each repeats another field. */
const ADDED: Readonly<Record<string, readonly string[]>> = { assistant: ["parsed"], tool: ["name"] };
const ADDED_TO_CALL = ["index"];
const ADDED_TO_CALLED = ["parsed_arguments"];

/** Clients send back a whole message of an answer, with the fields that were null or empty in it, and with their own. */
function asFirstSaid(messages: unknown): unknown {
  if (!Array.isArray(messages)) return messages;
  return messages.map((message: unknown) => {
    if (!isRecord(message)) return message;
    const { role, tool_calls: calls } = message;
    // A tool's name repeats the call's. It tells more than the message does without that call's id.
    const isAlone = role === "tool" && typeof message["tool_call_id"] !== "string";
    const added = typeof role === "string" && Object.hasOwn(ADDED, role) && !isAlone ? ADDED[role] : undefined;
    const said = Object.entries(without(message, added ?? [])).filter(
      ([name, value]) => name === "content" || !(value === null || (Array.isArray(value) && value.length === 0)),
    );
    return {
      ...Object.fromEntries(said),
      ...(Array.isArray(calls) && calls.length > 0 ? { tool_calls: calls.map(bareCall) } : {}),
    };
  });
}

function bareCall(call: unknown): unknown {
  if (!isRecord(call)) return call;
  const { function: called } = call;
  return {
    ...without(call, ADDED_TO_CALL),
    ...(isRecord(called) ? { function: without(called, ADDED_TO_CALLED) } : {}),
  };
}

const without = (record: Record<string, unknown>, names: readonly string[]): Record<string, unknown> =>
  Object.fromEntries(Object.entries(record).filter(([name]) => !names.includes(name)));

const maxUsdSchema = z
  .string()
  .regex(/^\d{1,12}(\.\d{1,18})?$/)
  .transform(Number);

/** Reads the bounds in a request's headers (names lower case). Throws Proof402Error `invalid_input`. */
export function readBounds(headers: Readonly<Record<string, string | undefined>>): Bounds {
  const read = <T>(name: string, schema: z.ZodType<T>): T | undefined => {
    const value = headers[name];
    if (value === undefined) return undefined;
    const parsed = schema.safeParse(value);
    if (parsed.success) return parsed.data;
    throw misfit(`The header ${name} cannot be used.`);
  };
  const seller = read("x-proof402-seller", z.string().min(1).max(64));
  const assurance = read("x-proof402-assurance", z.enum(ASSURANCES));
  const maxUsd = read("x-proof402-max-usd", maxUsdSchema);
  const idempotencyKey = read("idempotency-key", z.string().regex(/^[\x21-\x7e]{8,128}$/));
  return {
    ...(seller === undefined ? {} : { seller }),
    ...(assurance === undefined ? {} : { assurance }),
    ...(maxUsd === undefined ? {} : { maxUsd }),
    ...(idempotencyKey === undefined ? {} : { idempotencyKey }),
  };
}

const misfit = (message: string): Proof402Error =>
  new Proof402Error("invalid_input", message, {
    next: "Correct the request. docs/chat-clients.md says what is taken.",
  });
