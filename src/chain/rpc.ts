import { setTimeout as sleep } from "node:timers/promises";
import { joinBytes, jsonOf, type Address } from "../evidence/bytes.ts";

/** Most bytes of one answer. */
const MAX_ANSWER_BYTES = 10 * 1024 * 1024;
/** How long until a request is made again, ms. */
const RETRY_MS = 100;
/** Answers that another try may better: by JSON-RPC code, several of them single operators' own, and by HTTP status. */
const PASSING_CODES = [-1, 429, -32_005, -32_007, -32_603];
const PASSING_STATUS = [403, 408, 413, 429, 500, 502, 503, 504];
/** Each request goes alone over its own exchange, so one id will do. */
const REQUEST_ID = 0;
/** The RPC does not serve the method. */
const UNSERVED_CODES = [-32_601, -32_004];

type Facts = {
  /** The JSON-RPC error's code and data. */
  code?: number | undefined;
  data?: unknown;
  /** HTTP's status, of an answer that is no success. */
  status?: number | undefined;
  /** The contract that was asked. */
  address?: Address;
};

/** What a request to an RPC came to in place of an answer. Names no address of an RPC: it may hold a key. */
export class RpcFault extends Error {
  override readonly name = "RpcFault";
  readonly kind:
    /** No answer came, or none of HTTP's and JSON's. */
    | "http"
    | "timeout"
    /** The look ended. */
    | "ended"
    /** The RPC answered with an error; its own words are the message. */
    | "refused"
    /** A call among many reverted. */
    | "reverted"
    /** A call brought no bytes. */
    | "empty"
    /** An answer is not of the form that was asked for. */
    | "unusable";
  readonly facts: Facts;

  constructor(kind: RpcFault["kind"], facts: Facts = {}, said: string = kind) {
    super(said);
    this.kind = kind;
    this.facts = facts;
  }
}

/** Whether no answer came of a request, or an error in its place. */
export const isUnanswered = (error: unknown): boolean =>
  (error instanceof RpcFault && ["http", "timeout", "ended", "refused"].includes(error.kind)) ||
  (error instanceof DOMException && error.name === "TimeoutError");

/** Whether a contract turned a call down. RPCs differ in how they say so. */
export function isRevert(error: unknown): boolean {
  if (!(error instanceof RpcFault) || error.kind !== "refused") return false;
  const { code, data } = error.facts;
  const isPlain = code === -32_000 && error.message === "execution reverted" && data !== undefined;
  return code === 3 || code === -32_603 || isPlain;
}

/** Makes one JSON-RPC request. Gives the result as it came; throws {@link RpcFault}. */
export type RpcRequest = (method: string, params?: readonly unknown[]) => Promise<unknown>;

/** An answer of HTTP, and what JSON-RPC says in it. */
type Answer = { status: number; body: Uint8Array };
type Said = { id?: unknown; error?: { code?: unknown; message?: unknown } | null; result?: unknown };

/** How an RPC is asked. */
export type RpcOptions = {
  /** May hold a user's name and password, and a key. */
  url: string;
  /** The longest one try may take, ms. */
  timeoutMs: number;
  /** How often a request that failed in passing is made again. */
  retries: number;
  /** Ends the requests under way. */
  signal?: AbortSignal | undefined;
};

/** Opens an RPC; no request is made. */
export function openRpc({ url, timeoutMs, retries, signal }: RpcOptions): RpcRequest {
  const { href, headers } = splitUrl(url);
  const post = async (body: string): Promise<Answer> => {
    const time = AbortSignal.timeout(timeoutMs);
    const end = signal === undefined ? time : AbortSignal.any([signal, time]);
    try {
      const answer = await fetch(href, { method: "POST", headers, body, redirect: "error", signal: end });
      return { status: answer.status, body: await readBounded(answer) };
    } catch (error) {
      if (error instanceof RpcFault) throw error;
      if (signal?.aborted === true) throw new RpcFault("ended");
      throw new RpcFault(time.aborted ? "timeout" : "http");
    }
  };
  const ask = async (method: string, params: readonly unknown[]): Promise<unknown> => {
    const { status, body } = await post(JSON.stringify({ jsonrpc: "2.0", id: REQUEST_ID, method, params }));
    const answer = jsonOf(body);
    const isObject = typeof answer === "object" && answer !== null && !Array.isArray(answer);
    const { id, error, ...said } = (isObject ? answer : {}) as Said;
    if (status < 200 || status > 299) {
      if (typeof error?.code === "number" && typeof error.message === "string") throw refusal(error, status);
      throw new RpcFault("http", { status });
    }
    if (answer === undefined) throw new RpcFault("http");
    if (!isObject) throw new RpcFault("unusable");
    if (error !== undefined && error !== null) throw refusal(error);
    // JSON-RPC 2.0 §5: a success has a result and the request's own id. Another id is another request's answer.
    if (!("result" in said) || id !== REQUEST_ID) throw new RpcFault("unusable");
    return said.result;
  };
  return async (method, params = []) => {
    for (let turn = 0; ; turn += 1) {
      try {
        return await ask(method, params);
      } catch (error) {
        if (turn >= retries || !mayPass(error)) throw error;
      }
      // However long the RPC says to wait: that may be an hour.
      await sleep(RETRY_MS * 2 ** turn, undefined, { signal }).catch(() => {
        throw new RpcFault("ended");
      });
    }
  };
}

function mayPass(error: unknown): boolean {
  if (!(error instanceof RpcFault) || error.kind === "ended") return false;
  if (error.kind !== "refused") return true;
  const { code, status } = error.facts;
  if (code === undefined || PASSING_CODES.includes(code)) return true;
  return !UNSERVED_CODES.includes(code) && status !== undefined && PASSING_STATUS.includes(status);
}

/** The address without a user in it, which `fetch` takes in a header only. */
function splitUrl(text: string): { href: string; headers: Record<string, string> } {
  const headers = { "content-type": "application/json", accept: "application/json" };
  const url = new URL(text);
  const { username, password } = url;
  if (username === "" && password === "") return { href: text, headers };
  [url.username, url.password] = ["", ""];
  const credentials = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  return { href: url.href, headers: { ...headers, authorization: `Basic ${btoa(credentials)}` } };
}

async function readBounded({ body }: Response): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body ?? []) {
    size += chunk.length;
    if (size > MAX_ANSWER_BYTES) throw new RpcFault("unusable");
    chunks.push(chunk);
  }
  return joinBytes(chunks);
}

function refusal(error: unknown, status?: number): RpcFault {
  const { code, message, data } = error as { code?: unknown; message?: unknown; data?: unknown };
  const facts = { code: typeof code === "number" ? code : undefined, data, status };
  return new RpcFault("refused", facts, typeof message === "string" ? message : undefined);
}
