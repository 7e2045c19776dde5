import { lookup as dnsLookup } from "node:dns";
import { isIP, type LookupFunction } from "node:net";
import { Agent, type Dispatcher } from "undici";
import { VERSION } from "../version.ts";
import { isPublicAddress } from "./addresses.ts";
import {
  aborted,
  addressRefused,
  bodyTooLarge,
  encodingRefused,
  malformed,
  MAX_HEADER_BYTES,
  ofTransport,
  redirectRefused,
  timedOut,
  urlRefused,
} from "./errors.ts";

/** Bounds of every leg. */
export type HttpLimits = {
  /** Loopback, private and link-local addresses are refused otherwise. */
  allowPrivateAddresses: boolean;
  /** Longest time for name resolution, TCP and TLS together. */
  connectSeconds: number;
  /** Longest silence while waiting for, or in the middle of, a response; less than 1 KiB of a body in this time is silence. */
  idleSeconds: number;
  /** Longest time from the call to the last byte received, however steadily bytes drip. */
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
  /** Tightens `totalSeconds` for this request, milliseconds. */
  totalMs?: number;
};

export type HttpResponse = {
  status: number;
  /** Names lower case; repeated headers joined by ", ". */
  headers: Record<string, string>;
  /** The exact bytes. */
  body: Uint8Array;
};

/**
 * A client for talking to sellers: no redirects, no content encodings, every size and time bounded, and no address of
 * this machine's own network unless configured. Proxies and environment variables play no part.
 *
 * `request` throws Proof402Error with codes `http_url_refused`, `http_address_refused`, `http_request_invalid`,
 * `http_unreachable`, `http_redirect_refused`, `http_encoding_refused`, `http_headers_too_large`, `http_body_too_large`,
 * `http_malformed`, `http_interrupted`, `http_timeout` and `http_aborted`. `details.requestSent` is false only where no
 * byte of the request went out. Errors name the host and never carry the path, the query, a header or a body.
 */
export type Http = {
  request(request: HttpRequest): Promise<HttpResponse>;
  /** Largest body that is read, bytes. */
  maxResponseBytes: number;
  /** Closes all connections; requests under way fail with `http_aborted`. */
  close(): Promise<void>;
};

/** A body that brings less than this in one idle time counts as silent, bytes: bytes that drip are no progress. */
const PROGRESS_BYTES = 1024;
/** First size of the buffer for a body of unknown length. */
const FIRST_BUFFER_BYTES = 16_384;

/** `lookup` is for tests; it takes the place of the system's resolver. */
export function createHttp(limits: HttpLimits, options: { lookup?: LookupFunction } = {}): Http {
  const agent = new Agent({
    connect: {
      timeout: limits.connectSeconds * 1000,
      lookup: guardedLookup(limits, options.lookup ?? dnsLookup),
      // Stated, because the environment could switch it off otherwise.
      rejectUnauthorized: true,
    },
    headersTimeout: limits.idleSeconds * 1000,
    bodyTimeout: limits.idleSeconds * 1000,
    maxHeaderSize: MAX_HEADER_BYTES,
    // Applies where a server announces no time of its own.
    keepAliveTimeout: 30_000,
    pipelining: 1,
  });
  return {
    request: async (request) => exchange(agent, checkUrl(request.url, limits), request, limits),
    maxResponseBytes: limits.maxResponseBytes,
    close: () => agent.destroy(),
  };
}

function exchange(agent: Agent, url: URL, request: HttpRequest, limits: HttpLimits): Promise<HttpResponse> {
  const maxBytes = Math.min(request.maxBytes ?? limits.maxResponseBytes, limits.maxResponseBytes);
  const totalMs = Math.min(request.totalMs ?? Infinity, limits.totalSeconds * 1000);
  const { signal } = request;
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) {
      reject(aborted(false));
      return;
    }
    let requestSent = false;
    let over = false;
    let controller: Dispatcher.DispatchController | undefined;
    let head: { status: number; headers: Record<string, string> } | undefined;
    let body = new Uint8Array(0);
    let size = 0;
    let progress: NodeJS.Timeout | undefined;

    const settle = (): boolean => {
      if (over) return false;
      over = true;
      clearTimeout(timer);
      clearInterval(progress);
      signal?.removeEventListener("abort", onAbort);
      return true;
    };
    const stop = (error: Error): void => {
      if (!settle()) return;
      reject(error);
      controller?.abort(error);
    };
    const onAbort = (): void => stop(aborted(requestSent));
    const timer = setTimeout(() => stop(timedOut(url.host, requestSent)), totalMs);
    signal?.addEventListener("abort", onAbort);

    agent.dispatch(
      {
        origin: url.origin,
        path: `${url.pathname}${url.search}`,
        method: request.method,
        headers: headersToSend(request.headers),
        body: request.body ?? null,
      },
      {
        // Called on an open connection, before the first byte is written.
        onRequestStart(started) {
          if (over) {
            started.abort(aborted(false));
            return;
          }
          controller = started;
          requestSent = true;
        },
        onResponseStart(_, status, received) {
          // Interim responses carry nothing; the answer is still to come.
          if (over || status < 200) return;
          const headers = flatten(received);
          const refused = refusal(url.host, status, headers, maxBytes);
          if (refused !== null) {
            stop(refused);
            return;
          }
          head = { status, headers };
          body = new Uint8Array(Math.min(Number(headers["content-length"] ?? FIRST_BUFFER_BYTES), maxBytes));
          let before = 0;
          progress = setInterval(() => {
            if (size - before < PROGRESS_BYTES) stop(timedOut(url.host, requestSent));
            before = size;
          }, limits.idleSeconds * 1000);
        },
        onResponseData(_, chunk) {
          if (over) return;
          if (size + chunk.length > maxBytes) {
            stop(bodyTooLarge(maxBytes));
            return;
          }
          // One buffer, not a list of chunks: a body sent byte by byte would cost a hundred times its size.
          if (size + chunk.length > body.length) body = grown(body, size + chunk.length, maxBytes);
          body.set(chunk, size);
          size += chunk.length;
        },
        onResponseEnd() {
          if (head === undefined || !settle()) return;
          const response = { ...head, body: size === body.length ? body : body.slice(0, size) };
          // The connection is free one turn of the event loop from now: a caller that goes on at once, as one that pays
          // what was just quoted does, would open a second one otherwise.
          queueMicrotask(() => setImmediate(() => resolve(response)));
        },
        onResponseError(_, error) {
          stop(ofTransport(error, url.host, requestSent));
        },
      },
    );
  });
}

/** Names lower case, so that none is sent twice. */
const headersToSend = (headers: Record<string, string> = {}): Record<string, string> => ({
  "user-agent": `proof402/${VERSION}`,
  ...Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value])),
  "accept-encoding": "identity",
});

function grown(body: Uint8Array<ArrayBuffer>, needed: number, maxBytes: number): Uint8Array<ArrayBuffer> {
  const larger = new Uint8Array(Math.min(Math.max(needed, body.length * 2), maxBytes));
  larger.set(body);
  return larger;
}

/** Resolves, refuses private answers, and hands the connector only checked addresses: no second look-up can differ (DNS rebinding). */
function guardedLookup(limits: HttpLimits, lookup: LookupFunction): LookupFunction {
  return (hostname, options, callback) => {
    lookup(hostname, { ...options, all: true }, (error, answer) => {
      if (error) {
        callback(error, "", 0);
        return;
      }
      const addresses = Array.isArray(answer) ? answer : [{ address: answer, family: isIP(answer) }];
      const [first] = addresses;
      if (
        first === undefined ||
        addresses.some((one) => !limits.allowPrivateAddresses && !isPublicAddress(one.address))
      ) {
        callback(addressRefused(hostname), "", 0);
      } else if (options.all === true) {
        callback(null, addresses);
      } else {
        callback(null, first.address, first.family);
      }
    });
  };
}

/** The parsed URL. Throws what is not plain http(s) or names an address of this machine's network. */
function checkUrl(text: string, limits: HttpLimits): URL {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || !/^https?:$/.test(url.protocol) || url.username !== "" || url.password !== "") throw urlRefused();
  const host = url.hostname.replace(/^\[|\]$/g, "");
  // The connector does not resolve literals, so they are checked here.
  if (isIP(host) !== 0 && !limits.allowPrivateAddresses && !isPublicAddress(host)) throw addressRefused(host);
  return url;
}

/** Why an answer is not read further, or null. */
function refusal(host: string, status: number, headers: Record<string, string>, maxBytes: number): Error | null {
  if (status >= 600) return malformed(host, "status");
  if (status >= 300 && status < 400) return redirectRefused(status);
  const encoding = headers["content-encoding"];
  if (encoding !== undefined && encoding.toLowerCase() !== "identity") return encodingRefused();
  return Number(headers["content-length"] ?? 0) > maxBytes ? bodyTooLarge(maxBytes) : null;
}

const flatten = (headers: Record<string, string | string[] | undefined>): Record<string, string> =>
  Object.fromEntries(
    Object.entries(headers).flatMap(([name, value]) =>
      value === undefined ? [] : [[name.toLowerCase(), Array.isArray(value) ? value.join(", ") : value]],
    ),
  );
