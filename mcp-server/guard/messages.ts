import {
  CLIENT_CAPABILITIES_META_KEY,
  PROTOCOL_VERSION_META_KEY,
  type JSONRPCRequest,
  type JSONRPCResponse,
  type JSONRPCResultResponse,
} from "@modelcontextprotocol/server";
import type { GuardConfig } from "proof402";

/** Keys of `_meta` that only the guard writes, to the client and to the server behind it. */
export const GUARD_META = {
  /** To the client, on each guarded result: what became of the action. */
  outcome: "proof402/guard",
  /** To the client, on each guarded tool of a listing: true. */
  guarded: "proof402/guarded",
  /** To the server: the same action again has the same key, and no other has it. */
  idempotencyKey: "proof402/idempotency-key",
  claim: "proof402/claim",
  receipt: "proof402/receipt",
} as const;

/** From the server: its word that the call did nothing. Counts only if the configuration says so. */
export const NOT_DONE_META = "proof402/not-done";

type Meta = Readonly<Record<string, unknown>>;
const isObject = (value: unknown): value is Meta =>
  typeof value === "object" && value !== null && !Array.isArray(value);

export const metaOf = (part: unknown): Meta => (isObject(part) && isObject(part["_meta"]) ? part["_meta"] : {});

/**
 * Takes the guard's own keys out of every `_meta` of a server's message, at any depth. Changes the message: it was just read
 * off the wire.
 */
export function withoutGuardKeys<T>(message: T): T {
  const open: unknown[] = [message];
  while (open.length > 0) {
    const part = open.pop();
    if (typeof part !== "object" || part === null) continue;
    for (const [key, value] of Object.entries(part)) {
      open.push(value);
      if (key !== "_meta" || !isObject(value)) continue;
      for (const own of Object.keys(value)) if (isGuardKey(own)) Reflect.deleteProperty(value, own);
    }
  }
  return message;
}

const isGuardKey = (key: string): boolean => /^proof402\//i.test(key);

/** A client's part without what only the guard may say to the server. */
export function withoutGuardMeta<T>(part: T): T {
  if (!isObject(part) || !("_meta" in part)) return part;
  const kept = Object.entries(metaOf(part)).filter(([key]) => !isGuardKey(key));
  return { ...part, _meta: Object.fromEntries(kept) };
}

/** The keys of a client's `_meta` that go with judged arguments: the protocol's own. None is an argument. */
export function protocolMeta(meta: Meta): Record<string, unknown> {
  const own = /^(?:io\.modelcontextprotocol\/.*|progressToken|traceparent|tracestate|baggage)$/;
  return Object.fromEntries(Object.entries(meta).filter(([key]) => own.test(key)));
}

/** Capabilities by which a server could get words past the guard. */
const ASKING = ["elicitation", "sampling"] as const;

const without = (part: unknown, keys: readonly string[]): unknown =>
  isObject(part) ? Object.fromEntries(Object.entries(part).filter(([key]) => !keys.includes(key))) : part;

/** Of a client's answers those to no question: the folders it works in. */
const onlyRoots = (answers: unknown): unknown =>
  Object.fromEntries(
    Object.entries(isObject(answers) ? answers : {}).filter(
      ([, answer]) => isObject(answer) && Object.keys(answer).every((key) => key === "roots" || key === "_meta"),
    ),
  );

/**
 * A client's request as the server may see it. If questions are refused, a state that the server did not give out in this
 * connection is kept back like an answer: a server may take it for one.
 */
export function toServer(
  request: JSONRPCRequest,
  { questions }: Pick<GuardConfig, "questions">,
  wasGiven: (state: unknown) => boolean,
): JSONRPCRequest {
  if (request.params === undefined) return request;
  const params = { ...withoutGuardMeta(request.params) } as Record<string, unknown>;
  if (questions === "refuse") {
    if ("inputResponses" in params) params["inputResponses"] = onlyRoots(params["inputResponses"]);
    if ("requestState" in params && !wasGiven(params["requestState"])) delete params["requestState"];
    if (request.method === "initialize" && "capabilities" in params)
      params["capabilities"] = without(params["capabilities"], ASKING);
    const meta = metaOf(params);
    if (CLIENT_CAPABILITIES_META_KEY in meta)
      params["_meta"] = {
        ...meta,
        [CLIENT_CAPABILITIES_META_KEY]: without(meta[CLIENT_CAPABILITIES_META_KEY], ASKING),
      };
  }
  return { ...request, params };
}

/** Resources and prompts hidden by the configuration, by the word that a request has for them. */
const HIDEABLE = ["resources", "prompts"] as const;
const REFERENCES: Readonly<Record<string, (typeof HIDEABLE)[number]>> = {
  "ref/resource": "resources",
  "ref/prompt": "prompts",
};

/** Whether a request is about a part of the server that the configuration hides. */
export function asksForHidden({ method, params }: JSONRPCRequest, config: GuardConfig): boolean {
  const ref: unknown = params?.["ref"];
  const completed = isObject(ref) ? REFERENCES[String(ref["type"])] : undefined;
  return HIDEABLE.some(
    (one) =>
      config[one] === "hide" &&
      (method.startsWith(`${one}/`) || (method === "completion/complete" && (completed ?? one) === one)),
  );
}

/** A server's description of itself, without what the configuration hides. */
export function withoutHidden(response: JSONRPCResponse, config: GuardConfig): JSONRPCResponse {
  if (!("result" in response)) return response;
  const hidden = HIDEABLE.filter((one) => config[one] === "hide");
  return {
    ...response,
    result: { ...response.result, capabilities: without(response.result["capabilities"], hidden) },
  };
}

const isOf2026 = (request: JSONRPCRequest): boolean => PROTOCOL_VERSION_META_KEY in metaOf(request.params);

/** A result of the guard's own, in the form of the request's protocol. */
export const resultOf = (request: JSONRPCRequest, result: Record<string, unknown>): JSONRPCResultResponse => ({
  jsonrpc: "2.0",
  id: request.id,
  result: { ...(isOf2026(request) ? { resultType: "complete" } : {}), ...result },
});

export const errorOf = (id: JSONRPCRequest["id"], code: number, message: string, data?: unknown): JSONRPCResponse => ({
  jsonrpc: "2.0",
  id,
  error: { code, message, ...(data === undefined ? {} : { data }) },
});
