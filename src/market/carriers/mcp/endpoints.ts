import { utf8 } from "../../../evidence/bytes.ts";
import { isRecord } from "../../../evidence/record.ts";
import { Proof402Error } from "../../../errors.ts";
import type { Http, HttpRequest, HttpResponse } from "../../../http/client.ts";
import { VERSION } from "../../../version.ts";
import { awaitResponse, responseIn } from "./message.ts";

/** Revisions that are spoken, one of each era. */
const MODERN = "2026-07-28";
const LEGACY = "2025-11-25";
const CLIENT = { name: "proof402", version: VERSION };

/** Longest time for one answer before the call itself, ms, and its most bytes. */
const HANDSHAKE_MS = 15_000;
const HANDSHAKE_BYTES = 4_000_000;
/** Endpoints remembered: one for each seller. */
const MAX_ENDPOINTS = 1000;

/** An MCP server's one address, with the certificate that it must show, if its owner pinned one. */
export type Endpoint = { url: string; pin?: string | undefined; certificateSha256?: string | undefined };

/** How an endpoint is spoken to: each request for itself, or within a session that it opened. */
type Speech = { era: "modern" } | { era: "legacy"; version: string; session: string | null };

/** One message. `name`: the called tool's. `write` gives its parameters with these keys in their `_meta`. */
type Message = { method: string; name?: string; write: (meta: Readonly<Record<string, unknown>>) => string };

/** An answer over HTTP, and the text of the response in it; null if it has none. */
export type Heard = { response: HttpResponse; text: string | null };

/**
 * MCP servers over Streamable HTTP, in both eras of the protocol: since 2026-07-28 each request stands for itself, before that
 * a session is opened first. An endpoint is asked once for its era. This is no library's client: the hashes are of
 * the bytes on the wire, and libraries hand over values. Its requests go through the one bounded HTTP client.
 */
export type McpEndpoints = {
  /** Sends one message, in a session that is opened first if need be, and once more in a new one if the server knows the session no more. */
  send(endpoint: Endpoint, message: Message, request?: Partial<HttpRequest>): Promise<Heard>;
  /** The result of a request without a payment, or null for an error of the protocol. Throws the HTTP client's errors. */
  ask(
    endpoint: Endpoint,
    method: string,
    params: Readonly<Record<string, unknown>>,
    signal?: AbortSignal,
  ): Promise<unknown>;
};

export function createMcpEndpoints(http: Http): McpEndpoints {
  const known = new Map<string, Promise<Speech | null>>();

  /** Posts one message to an endpoint. */
  const deliver = (
    { url, pin, certificateSha256 }: Endpoint,
    headers: Record<string, string>,
    message: string,
    request: Partial<HttpRequest>,
  ): Promise<HttpResponse> =>
    http.request({
      ...request,
      method: "POST",
      url,
      pin,
      certificateSha256,
      headers: { "content-type": "application/json", accept: "application/json, text/event-stream", ...headers },
      body: utf8(message),
    });

  const post = async (
    endpoint: Endpoint,
    speech: Speech,
    message: Message,
    request: Partial<HttpRequest>,
  ): Promise<Heard> => {
    const id = crypto.randomUUID();
    const params = message.write(speech.era === "modern" ? ENVELOPE : {});
    const waiting = awaitResponse(id);
    const body = `{"jsonrpc":"2.0","id":"${id}","method":"${message.method}","params":${params}}`;
    const response = await deliver(endpoint, headersOf(speech, message), body, { ...request, ...waiting });
    return { response, text: responseIn(response.headers, response.body, id) };
  };

  const handshake = (signal: AbortSignal | undefined): Partial<HttpRequest> => ({
    signal,
    totalMs: HANDSHAKE_MS,
    maxBytes: HANDSHAKE_BYTES,
  });

  /** Finds the era of an endpoint; null of one that speaks neither. */
  const open = async (endpoint: Endpoint, signal: AbortSignal | undefined): Promise<Speech | null> => {
    const plain = (method: string, params: Record<string, unknown>): Message => ({
      method,
      write: (meta) => JSON.stringify({ ...params, ...(Object.keys(meta).length === 0 ? {} : { _meta: meta }) }),
    });
    const discovered = await post(endpoint, { era: "modern" }, plain("server/discover", {}), handshake(signal));
    const versions = resultOf(discovered)?.["supportedVersions"];
    if (Array.isArray(versions) && versions.includes(MODERN)) return { era: "modern" };
    const hello = { protocolVersion: LEGACY, capabilities: {}, clientInfo: CLIENT };
    const opening = { era: "legacy", version: LEGACY, session: null } as const;
    const opened = await post(endpoint, opening, plain("initialize", hello), handshake(signal));
    const version = resultOf(opened)?.["protocolVersion"];
    if (typeof version !== "string" || !/^\d{4}-\d{2}-\d{2}$/.test(version)) return null;
    const id = opened.response.headers["mcp-session-id"];
    const session = id !== undefined && /^[\x21-\x7e]{1,256}$/.test(id) ? id : null;
    const speech: Speech = { era: "legacy", version, session };
    // A notification, so nothing answers it.
    const initialized = '{"jsonrpc":"2.0","method":"notifications/initialized"}';
    await deliver(endpoint, headersOf(speech, null), initialized, handshake(signal));
    return speech;
  };

  const keyOf = ({ url, pin = "", certificateSha256 = "" }: Endpoint): string => `${url} ${pin} ${certificateSha256}`;

  /** The way to speak to an endpoint, found once for all who ask at a time. Its errors say that nothing of the call was sent. */
  const speechOf = async (endpoint: Endpoint, signal: AbortSignal | undefined): Promise<Speech> => {
    const key = keyOf(endpoint);
    try {
      // The one who gives up must not end the handshake of another.
      const found = await (known.get(key) ?? keep(key, open(endpoint, undefined)));
      if (signal?.aborted === true) throw abortedBefore();
      if (found !== null) return found;
    } catch (error) {
      if (!Proof402Error.isInstance(error)) throw error;
      const { code, message, next, details } = error;
      throw new Proof402Error(code, message, { next, details: { ...details, requestSent: false }, cause: error });
    }
    known.delete(key);
    throw new Proof402Error(
      "http_malformed",
      `${new URL(endpoint.url).host} does not speak the Model Context Protocol there.`,
      {
        next: "Correct the seller's address, or choose another seller.",
        details: { requestSent: false },
      },
    );
  };

  function keep(key: string, opening: Promise<Speech | null>): Promise<Speech | null> {
    const kept = opening.catch((error: unknown) => {
      known.delete(key);
      throw error;
    });
    known.set(key, kept);
    const oldest = known.keys().next();
    if (known.size > MAX_ENDPOINTS && !oldest.done) known.delete(oldest.value);
    return kept;
  }

  const endpoints: McpEndpoints = {
    async send(endpoint, message, request = {}) {
      const isKnown = known.has(keyOf(endpoint));
      const first = await post(endpoint, await speechOf(endpoint, request.signal), message, request);
      if (!isKnown || request.once === true || !isForgotten(first)) return first;
      // It ended the session, or was started again in the other era. The same payment goes with the next try.
      known.delete(keyOf(endpoint));
      const again = await speechOf(endpoint, request.signal).catch((error: unknown) => {
        // The first answer is all there is then, and it says more of the call than a handshake does.
        if (request.signal?.aborted !== true) return null;
        throw Proof402Error.isInstance(error) ? sentBefore(error) : error;
      });
      if (again === null) return first;
      return post(endpoint, again, message, request).catch((error: unknown) => {
        throw Proof402Error.isInstance(error) ? sentBefore(error) : error;
      });
    },
    async ask(endpoint, method, params, signal) {
      const write = (meta: Readonly<Record<string, unknown>>): string =>
        JSON.stringify({ ...params, ...(Object.keys(meta).length === 0 ? {} : { _meta: meta }) });
      return resultOf(await endpoints.send(endpoint, { method, write }, handshake(signal)));
    },
  };
  return endpoints;
}

/** The keys that each request of the modern era carries (Model Context Protocol 2026-07-28, base protocol). */
const ENVELOPE = {
  "io.modelcontextprotocol/protocolVersion": MODERN,
  "io.modelcontextprotocol/clientInfo": CLIENT,
  "io.modelcontextprotocol/clientCapabilities": {},
};

function headersOf(speech: Speech, message: Pick<Message, "method" | "name"> | null): Record<string, string> {
  if (speech.era === "modern")
    return {
      "mcp-protocol-version": MODERN,
      ...(message === null ? {} : { "mcp-method": message.method }),
      ...(message?.name === undefined ? {} : { "mcp-name": message.name }),
    };
  // The first request of a session settles the version.
  return message?.method === "initialize"
    ? {}
    : {
        "mcp-protocol-version": speech.version,
        ...(speech.session === null ? {} : { "mcp-session-id": speech.session }),
      };
}

/** The server knows the session no more, or speaks this era no more. Any other response to the call is its own, under any HTTP status. */
function isForgotten({ response: { status }, text }: Heard): boolean {
  if (status !== 404 && status !== 400) return false;
  const message: unknown = text === null ? null : JSON.parse(text);
  if (!isRecord(message)) return true;
  return isRecord(message["error"]) && FORGOTTEN.includes(message["error"]["code"]);
}

/** Codes of the official SDK for an unknown session and a version not spoken, and of the specification for the latter. */
const FORGOTTEN: readonly unknown[] = [-32_000, -32_001, -32_022];

/** An error of a later try, once an earlier one went out: its words of nothing sent hold for the later one alone. */
const sentBefore = ({ code, message, next, details, cause }: Proof402Error): Proof402Error =>
  new Proof402Error(code, message, { next, details: { ...details, requestSent: true }, cause });

function resultOf({ text }: Heard): Record<string, unknown> | null {
  const message: unknown = text === null ? null : JSON.parse(text);
  const result = isRecord(message) ? message["result"] : null;
  return isRecord(result) ? result : null;
}

const abortedBefore = (): Proof402Error =>
  new Proof402Error("http_aborted", "The request was aborted by its caller.", {
    next: "Call again.",
    details: { requestSent: false },
  });
