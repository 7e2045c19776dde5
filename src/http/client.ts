import { lookup as dnsLookup } from "node:dns";
import { isIP, type LookupFunction } from "node:net";
import { Agent, errors } from "undici";
import { Proof402Error } from "../errors.ts";
import { isPublicAddress } from "./addresses.ts";

/** Bounds of every leg. */
export type HttpLimits = {
  /** Loopback, private and link-local addresses are refused otherwise. */
  allowPrivateAddresses: boolean;
  connectSeconds: number;
  /** Longest silence while waiting for, or in the middle of, a response. */
  idleSeconds: number;
  /** Longest time from the first byte sent to the last byte received. */
  totalSeconds: number;
  maxResponseBytes: number;
};

export type HttpRequest = {
  method: "GET" | "POST";
  url: string;
  headers?: Record<string, string>;
  body?: Uint8Array;
  signal?: AbortSignal;
  /** Tightens `maxResponseBytes` for this request. */
  maxBytes?: number;
};

export type HttpResponse = {
  status: number;
  /** Names lower case; repeated headers joined by ", ". */
  headers: Record<string, string>;
  body: Uint8Array;
};

/**
 * A client for talking to sellers: no redirects, no content encodings, every size and time bounded, and no address of
 * this machine's own network unless configured.
 *
 * `request` throws Proof402Error with codes `http_url_refused`, `http_address_refused`, `http_redirect_refused`,
 * `http_encoding_refused`, `http_headers_too_large`, `http_body_too_large`, `http_timeout`, `http_aborted` and
 * `http_unreachable`; `details.requestSent` says whether request bytes may have reached the server.
 */
export type Http = {
  request(request: HttpRequest): Promise<HttpResponse>;
  close(): Promise<void>;
};

const MAX_HEADER_BYTES = 32_768;

/** `lookup` is for tests; it takes the place of the system's resolver. */
export function createHttp(limits: HttpLimits, options: { lookup?: LookupFunction } = {}): Http {
  const agent = new Agent({
    connect: {
      timeout: limits.connectSeconds * 1000,
      lookup: guardedLookup(limits, options.lookup ?? (dnsLookup as LookupFunction)),
    },
    headersTimeout: limits.idleSeconds * 1000,
    bodyTimeout: limits.idleSeconds * 1000,
    maxHeaderSize: MAX_HEADER_BYTES,
    keepAliveTimeout: 30_000,
    pipelining: 1,
  });

  return {
    async request(request) {
      const url = checkUrl(request.url, limits);
      const total = AbortSignal.timeout(limits.totalSeconds * 1000);
      const signal = request.signal === undefined ? total : AbortSignal.any([total, request.signal]);
      const maxBytes = Math.min(request.maxBytes ?? limits.maxResponseBytes, limits.maxResponseBytes);
      let sent = false;
      try {
        const response = await agent.request({
          origin: url.origin,
          path: `${url.pathname}${url.search}`,
          method: request.method,
          headers: { ...request.headers, "accept-encoding": "identity" },
          body: request.body ?? null,
          signal,
        });
        sent = true;
        const headers = flatten(response.headers);
        try {
          checkHead(response.statusCode, headers, maxBytes);
          return { status: response.statusCode, headers, body: await readBounded(response.body, maxBytes) };
        } catch (error) {
          // Frees the connection; what it reports of being cut off is not news.
          response.body.on("error", () => undefined).destroy();
          throw error;
        }
      } catch (error) {
        throw toError(error, { url, total, sent, ...(request.signal === undefined ? {} : { caller: request.signal }) });
      }
    },
    close: () => agent.destroy(),
  };
}

/** Resolves, refuses private answers, and hands the connector only checked addresses: no second look-up can differ (DNS rebinding). */
function guardedLookup(limits: HttpLimits, lookup: LookupFunction): LookupFunction {
  return (hostname, options, callback) => {
    lookup(hostname, { ...options, all: true }, (error, answer) => {
      if (error !== null) {
        callback(error, "", 0);
        return;
      }
      const addresses = Array.isArray(answer) ? answer : [{ address: answer, family: isIP(answer) }];
      const allowed = limits.allowPrivateAddresses ? addresses : addresses.filter((a) => isPublicAddress(a.address));
      const [first] = allowed;
      if (first === undefined || allowed.length < addresses.length) {
        callback(addressRefused(hostname), "", 0);
      } else if (options.all === true) {
        callback(null, allowed);
      } else {
        callback(null, first.address, first.family);
      }
    });
  };
}

function checkUrl(text: string, limits: HttpLimits): URL {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || (url.protocol !== "http:" && url.protocol !== "https:") || url.username !== "" || url.password !== "") {
    throw new Proof402Error("http_url_refused", "Only plain http and https addresses without user information are requested.", {
      next: "Correct the seller's origin in the configuration.",
      details: { requestSent: false },
    });
  }
  const host = url.hostname.replace(/^\[|\]$/g, "");
  // The connector does not resolve literals, so they are checked here.
  if (isIP(host) !== 0 && !limits.allowPrivateAddresses && !isPublicAddress(host)) throw addressRefused(host);
  return url;
}

const addressRefused = (host: string): Proof402Error =>
  new Proof402Error("http_address_refused", `"${host}" is, or leads to, an address of this machine or its network.`, {
    next: "Set http.allowPrivateAddresses only for a market you run yourself.",
    details: { requestSent: false },
  });

function checkHead(status: number, headers: Record<string, string>, maxBytes: number): void {
  const sent = { requestSent: true };
  if (status >= 300 && status < 400) {
    throw new Proof402Error("http_redirect_refused", `The server answered with a redirect (${status}).`, {
      next: "Redirects are never followed. Correct the seller's origin if it has moved.",
      details: { ...sent, status },
    });
  }
  const encoding = headers["content-encoding"];
  if (encoding !== undefined && encoding.toLowerCase() !== "identity") {
    throw new Proof402Error("http_encoding_refused", "The server compressed its answer although it was asked not to.", {
      next: "Choose another seller.",
      details: sent,
    });
  }
  if (Number(headers["content-length"] ?? 0) > maxBytes) throw tooLarge(maxBytes);
}

const tooLarge = (maxBytes: number): Proof402Error =>
  new Proof402Error("http_body_too_large", `The answer is larger than ${maxBytes} bytes.`, {
    next: "Choose another seller, or have the owner raise http.maxResponseBytes.",
    details: { requestSent: true, limit: maxBytes },
  });

async function readBounded(body: AsyncIterable<Uint8Array>, maxBytes: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body) {
    size += chunk.length;
    if (size > maxBytes) throw tooLarge(maxBytes);
    chunks.push(chunk);
  }
  return new Uint8Array(Buffer.concat(chunks, size));
}

const flatten = (headers: Record<string, string | string[] | undefined>): Record<string, string> =>
  Object.fromEntries(
    Object.entries(headers).flatMap(([name, value]) =>
      value === undefined ? [] : [[name.toLowerCase(), Array.isArray(value) ? value.join(", ") : value]],
    ),
  );

/** Errors raised before a connection existed: nothing was sent. */
const BEFORE_SENDING = new Set(["ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "EHOSTUNREACH", "ENETUNREACH", "UND_ERR_CONNECT_TIMEOUT"]);

function toError(error: unknown, context: { url: URL; total: AbortSignal; caller?: AbortSignal; sent: boolean }): Proof402Error {
  if (Proof402Error.isInstance(error)) return error;
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  const cause = error instanceof Error ? error.cause : undefined;
  if (Proof402Error.isInstance(cause)) return cause;
  const details = { requestSent: context.sent || !BEFORE_SENDING.has(code), cause: code };
  const host = context.url.host;
  if (context.caller?.aborted) return new Proof402Error("http_aborted", "The request was aborted by its caller.", { next: "Call again.", details });
  if (error instanceof errors.HeadersOverflowError) {
    return new Proof402Error("http_headers_too_large", `${host} sent more than ${MAX_HEADER_BYTES} bytes of headers.`, { next: "Choose another seller.", details });
  }
  const timedOut =
    context.total.aborted ||
    error instanceof errors.ConnectTimeoutError ||
    error instanceof errors.HeadersTimeoutError ||
    error instanceof errors.BodyTimeoutError;
  if (timedOut) return new Proof402Error("http_timeout", `${host} took too long.`, { next: "Try again later or choose another seller.", details });
  return new Proof402Error("http_unreachable", `The connection to ${host} failed${code === "" ? "" : ` (${code})`}.`, {
    next: "Try again later or choose another seller.",
    details,
  });
}
