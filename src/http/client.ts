import { isIP, type LookupFunction } from "node:net";
import type { Dispatcher } from "undici";
import type { Proof402Error } from "../errors.ts";
import { isPublicAddress } from "./addresses.ts";
import { createBody, type Body } from "./body.ts";
import type { Certificate } from "./certificate.ts";
import type { Connector } from "./connector.ts";
import { codingName, decodeContent, isCoded, type ContentCoding } from "./content-coding.ts";
import {
  aborted,
  addressRefused,
  bodyTooLarge,
  certificateRefused,
  cutBy,
  encodingRefused,
  isBrokenConnection,
  malformed,
  ofTransport,
  redirectRefused,
  timedOut,
  type Cut,
  urlRefused,
} from "./errors.ts";
import { flatten, headersToSend } from "./headers.ts";
import type { AskableAgent } from "./peer.ts";
import { createWays } from "./ways.ts";

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
  signal?: AbortSignal | undefined;
  /** Tightens `maxResponseBytes` for this request. */
  maxBytes?: number;
  /** Tightens `totalSeconds` for this request, milliseconds. */
  totalMs?: number;
  /** The request is paid for: any answer is taken as it comes, a redirect, a coded one or the beginning of one included. */
  paid?: boolean;
  /** Each sending may count at its server. */
  once?: boolean;
  /** Hears the answer's head before its body is read. Of a paid answer, no more may come. Must not throw. */
  onHead?: ((head: Pick<HttpResponse, "status" | "headers">) => void) | undefined;
  /** Told of the body's bytes as they come, unless it is coded. Those that are read no more are not told of. Must not throw. */
  onBody?: ((chunk: Uint8Array) => void) | undefined;
  /** Says by a piece of the body, if it is not coded, that all of the answer came: no more is read. Must not throw. */
  isWhole?: ((chunk: Uint8Array) => boolean) | undefined;
  /** Nothing is sent on a connection that shows another TLS certificate: SHA-256 of the leaf's DER, hex. */
  certificateSha256?: string | undefined;
  /** The same, in place of the authorities for exactly this request. Comes from the owner or a pinned registry, never from the server. */
  pin?: string | undefined;
};

export type HttpResponse = {
  status: number;
  /** Names lower case; repeated headers joined by ", ". */
  headers: Record<string, string>;
  /** The exact bytes; of a coded answer its content where that could be decoded. */
  body: Uint8Array;
  /** Null where the answer was not coded, as it was asked to be. */
  coding: ContentCoding | null;
  /** Null where the answer is whole. */
  cut: Cut | null;
  /** The server's identity on the request's own connection. */
  certificateSha256: Certificate;
};

/**
 * A client for talking to sellers: no redirects, no content encodings, every size and time bounded, and no address of
 * this machine's own network unless configured. Proxies and environment variables play no part.
 *
 * A request is sent a second time, once and on a new connection, where a connection kept from earlier broke before a
 * byte of the answer came. An unpaid one costs nothing, and a paid one carries the same authorization, accepted once by
 * the chain. A request that is marked `once` has a new connection, and is sent on no other.
 *
 * Hands over the answer to a paid request in any form: any status, a redirect (never followed), a coded body, and the
 * received part of one that is too large, too slow or broken off. Throws if no byte of its body came.
 *
 * `request` throws Proof402Error with codes `http_url_refused`, `http_address_refused`, `http_request_invalid`,
 * `http_unreachable`, `http_redirect_refused`, `http_encoding_refused`, `http_headers_too_large`, `http_body_too_large`,
 * `http_certificate_refused`, `http_malformed`, `http_interrupted`, `http_timeout` and `http_aborted`.
 * `details.requestSent` is false only where no byte of the request went out, in either sending. Errors name the host and
 * never carry the path, the query, a header or a body.
 */
export type Http = {
  request(request: HttpRequest): Promise<HttpResponse>;
  /** Opens a connection for a request that will come, if none is free. Sends nothing, waits for nothing, never throws. */
  open(origin: string, pin?: string): void;
  /** Largest body that is read, bytes. */
  maxResponseBytes: number;
  /** Closes all connections; requests under way fail with `http_aborted`. */
  close(): Promise<void>;
};

/** A body with fewer bytes than this in one idle time counts as silent: dripping bytes are no progress. */
const PROGRESS_BYTES = 1024;

/** `lookup` and `ca` are for tests; they take the place of the system's resolver and of the authorities it trusts (PEM). */
export function createHttp(limits: HttpLimits, options: { lookup?: LookupFunction; ca?: string } = {}): Http {
  const ways = createWays({ ...limits, ...options });
  return {
    async request(request) {
      const url = checkUrl(request.url, limits);
      const end = performance.now() + Math.min(request.totalMs ?? Infinity, limits.totalSeconds * 1000);
      const { kept, fresh, connector } = ways.of(request.pin);
      const agent = request.once === true ? fresh : kept;
      const first = await attempt({ agent, connector, url, request, limits, end, sentBefore: false });
      if (typeof first === "object") return contentOf(first, limits);
      const sentBefore = first === "stale_connection";
      const second = await attempt({ agent: fresh, connector, url, request, limits, end, sentBefore });
      if (typeof second === "object") return contentOf(second, limits);
      throw certificateRefused(url.host, sentBefore);
    },
    open(origin, pin) {
      try {
        const url = checkUrl(origin, limits);
        const { kept, ahead } = ways.of(pin);
        if (!kept.hasFree(url.origin)) ahead.open(url);
      } catch {
        // The request says what is wrong with its address.
      }
    },
    maxResponseBytes: limits.maxResponseBytes,
    close: () => ways.close(),
  };
}

type AsItCame = Omit<HttpResponse, "coding">;

/** The response with its content decoded, where it is whole and coded. */
async function contentOf(response: AsItCame, { maxResponseBytes }: HttpLimits): Promise<HttpResponse> {
  const { "content-encoding": header } = response.headers;
  if (!isCoded(header)) return { ...response, coding: null };
  // Of the beginning of a coded body nothing is decoded: it could not be told from a whole one.
  if (response.cut !== null) return { ...response, coding: { name: codingName(header), decoded: false } };
  return { ...response, ...(await decodeContent(response.body, header, maxResponseBytes)) };
}

/** One sending of a request. `end`: by when it has to be over (`performance.now()`); `sentBefore`: bytes of it went out already. */
type Attempt = {
  agent: AskableAgent;
  connector: Connector;
  url: URL;
  request: HttpRequest;
  limits: HttpLimits;
  end: number;
  sentBefore: boolean;
};

/**
 * `stale_connection` where a connection that was open before broke before a byte of the answer came: most likely the
 * server had closed it while it was idle, and never read the request. `other_certificate` where the server showed another one
 * than it should, and nothing was sent.
 */
function attempt(options: Attempt): Promise<AsItCame | "stale_connection" | "other_certificate"> {
  const { agent, connector, url, request, limits, sentBefore } = options;
  const maxBytes = Math.min(request.maxBytes ?? limits.maxResponseBytes, limits.maxResponseBytes);
  const { signal } = request;
  const began = performance.now();
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) {
      reject(aborted(sentBefore));
      return;
    }
    let requestSent = sentBefore;
    let heard = false;
    let over = false;
    let controller: Dispatcher.DispatchController | undefined;
    let certificate: () => Certificate = () => null;
    let head: Pick<HttpResponse, "status" | "headers" | "certificateSha256"> | undefined;
    let body: Body = createBody(0, undefined);
    let progress: NodeJS.Timeout | undefined;

    const settle = (): boolean => {
      if (over) return false;
      over = true;
      clearTimeout(timer);
      clearInterval(progress);
      signal?.removeEventListener("abort", onAbort);
      return true;
    };
    const finish = (response: Omit<AsItCame, "body">): void => {
      const answer = { ...response, body: body.bytes() };
      // The connection is free one turn of the event loop from now: a caller that goes on at once, as one that pays
      // what was just quoted does, would open a second one otherwise.
      queueMicrotask(() => setImmediate(() => resolve(answer)));
    };
    const stop = (error: Proof402Error): void => {
      if (!settle()) return;
      const cut = request.paid === true && body.size() > 0 ? cutBy(error) : null;
      if (cut === null || head === undefined) reject(error);
      else finish({ ...head, cut });
      controller?.abort(error);
    };
    const onAbort = (): void => stop(aborted(requestSent));
    const timer = setTimeout(() => stop(timedOut(url.host, requestSent)), options.end - began);
    signal?.addEventListener("abort", onAbort);

    agent.dispatch(
      {
        origin: url.origin,
        path: `${url.pathname}${url.search}`,
        method: request.method,
        headers: headersToSend(request.headers),
        body: request.body ?? null,
        onConnection: (read) => (certificate = read),
      },
      {
        // Called on an open connection, before the first byte is written.
        onRequestStart(started) {
          if (over) {
            started.abort(aborted(sentBefore));
            return;
          }
          controller = started;
          const wanted = request.certificateSha256;
          if (wanted !== undefined && wanted !== certificate()) {
            if (settle()) resolve("other_certificate");
            started.abort(certificateRefused(url.host, sentBefore));
            return;
          }
          requestSent = true;
        },
        // oxlint-disable-next-line typescript/no-deprecated -- nothing else is called at the first byte of an answer
        onResponseStarted() {
          heard = true;
        },
        onResponseStart(_, status, received) {
          // Interim responses carry nothing; the answer is still to come.
          if (over || isInterim(status)) return;
          const headers = flatten(received);
          const refused = refusal(url.host, status, headers, request.paid === true ? null : maxBytes);
          if (refused !== null) {
            stop(refused);
            return;
          }
          head = { status, headers, certificateSha256: certificate() };
          request.onHead?.({ status, headers });
          body = createBody(maxBytes, headers["content-length"]);
          let before = 0;
          progress = setInterval(() => {
            if (body.size() - before < PROGRESS_BYTES) stop(timedOut(url.host, requestSent));
            before = body.size();
          }, limits.idleSeconds * 1000);
        },
        onResponseData(_, chunk) {
          if (over) return;
          if (!body.add(chunk)) {
            stop(bodyTooLarge(maxBytes));
            return;
          }
          if (head === undefined || isCoded(head.headers["content-encoding"])) return;
          request.onBody?.(chunk);
          if (request.isWhole?.(chunk) !== true || !settle()) return;
          finish({ ...head, cut: null });
          controller?.abort(aborted(true));
        },
        onResponseEnd() {
          if (head !== undefined && settle()) finish({ ...head, cut: null });
        },
        onResponseError(_, error) {
          const isStale = !sentBefore && !heard && (connector.openedAt(error) ?? began) < began;
          if (isStale && isBrokenConnection(error) && settle()) resolve("stale_connection");
          else stop(ofTransport(error, url.host, requestSent));
        },
      },
    );
  });
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

/** RFC 9110 §15.2. Such a server's whole answer is a switch to a protocol that this client did not name. */
const isInterim = (status: number): boolean => status >= 100 && status <= 199 && status !== 101;

/** Why an answer is not read further, or null. `maxBytes` is null where it was paid for. */
function refusal(
  host: string,
  status: number,
  headers: Record<string, string>,
  maxBytes: number | null,
): Proof402Error | null {
  if (maxBytes === null) return null;
  if (status < 200 || status > 599) return malformed(host, "status");
  if (status >= 300 && status < 400) return redirectRefused(status);
  if (isCoded(headers["content-encoding"])) return encodingRefused();
  return Number(headers["content-length"] ?? 0) > maxBytes ? bodyTooLarge(maxBytes) : null;
}
