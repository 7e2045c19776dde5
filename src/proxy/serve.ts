import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { Proof402Error } from "../errors.ts";
import type { ProxyReply, ProxyRequest } from "./proxy.ts";
import { refusalOf, turnedAway, type Refusal } from "./refusal.ts";
import { bears } from "./token.ts";

/** Where the proxy listens, and whom it answers. */
export type ListenOptions = {
  host: string;
  port: number;
  token: string;
  /** Names in a request's `host` header beside the listening address's own. */
  allowHosts: readonly string[];
  /** Origins of pages that may ask. Browsers name theirs; other clients name none. */
  allowOrigins: readonly string[];
};

/** A proxy on its socket. */
export type ServedProxy = {
  /** The base for clients. It ends in `/v1`. */
  baseUrl: string;
  /** Takes no more requests, and resolves once the last answer is out or a minute is over. */
  stop(): Promise<void>;
};

const MOST_BODY_BYTES = 20_000_000;
const HEAD_MS = 10_000;
const BODY_MS = 60_000;
const STOP_MS = 60_000;
const LOOPBACK: readonly string[] = ["127.0.0.1", "localhost", "[::1]"];

/** Serves the proxy. Throws Proof402Error `port_taken`. */
export async function serveProxy(
  answer: (request: ProxyRequest) => Promise<ProxyReply>,
  options: ListenOptions,
): Promise<ServedProxy> {
  const { host, port } = options;
  const underWay = new Set<Promise<void>>();
  const server = createServer({ headersTimeout: HEAD_MS, requestTimeout: BODY_MS }, (incoming, outgoing) => {
    const work = respond(answer, options, incoming, outgoing)
      .catch(() => void outgoing.destroy())
      .finally(() => underWay.delete(work));
    underWay.add(work);
  });
  server.listen(port, host);
  await once(server, "listening").catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code !== "EADDRINUSE") throw error;
    throw new Proof402Error("port_taken", `Port ${port} is taken.`, {
      next: "Choose another with --port.",
      cause: error,
    });
  });
  const name = host.includes(":") ? `[${host}]` : host;
  return {
    baseUrl: `http://${name}:${(server.address() as AddressInfo).port}/v1`,
    async stop() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeIdleConnections();
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, STOP_MS)));
      await Promise.race([Promise.all(underWay), late]);
      clearTimeout(timer);
      server.closeAllConnections();
      await closed;
    },
  };
}

async function respond(
  answer: (request: ProxyRequest) => Promise<ProxyReply>,
  options: ListenOptions,
  incoming: IncomingMessage,
  outgoing: ServerResponse,
): Promise<void> {
  const gone = new AbortController();
  outgoing.on("close", () => {
    if (!outgoing.writableFinished) gone.abort();
  });
  const refused = refusalFor(options, incoming);
  if (refused !== FOREIGN) for (const [name, value] of sharing(options, incoming)) outgoing.setHeader(name, value);
  if (refused === PREFLIGHT) {
    outgoing.writeHead(204).end();
    return;
  }
  const body = refused === null ? await readBody(incoming) : null;
  if (refused !== null || body === null) {
    const { status, body: words } = refused ?? TOO_LARGE;
    // What is left of the body is not read.
    outgoing.setHeader("connection", "close");
    await send(outgoing, { status, headers: { "x-should-retry": "false" }, body: words });
    return;
  }
  const headers = Object.fromEntries(
    Object.entries(incoming.headers).map(([name, value]) => [name, Array.isArray(value) ? value.join(", ") : value]),
  );
  const { pathname } = new URL(incoming.url ?? "/", "http://proxy");
  const { method = "GET" } = incoming;
  const reply = await answer({ method, path: pathname, headers, body, signal: gone.signal });
  const { delivered } = reply;
  if (delivered !== undefined) outgoing.on("finish", delivered);
  await send(outgoing, reply);
}

/**
 * Why a request is not even read. A page in a browser must not buy here: neither by another name for this address, nor by a
 * form that needs no permission.
 */
function refusalFor(options: ListenOptions, { headers, method, socket }: IncomingMessage): Refusal | null {
  const { host, allowHosts, allowOrigins, token } = options;
  const named = host.includes(":") ? `[${host}]` : host;
  const own = LOOPBACK.includes(named) ? LOOPBACK : [named];
  const hosts = [...own.map((one) => `${one}:${socket.localPort}`), ...allowHosts];
  if (!hosts.includes(headers.host ?? ""))
    return turnedAway(
      403,
      "The host header names another host than this one.",
      "Use the address that the proxy printed.",
    );
  const { origin } = headers;
  if (origin !== undefined && !allowOrigins.includes(origin)) return FOREIGN;
  // A browser asks without the token first, and buys nothing by it.
  if (origin !== undefined && method === "OPTIONS" && headers["access-control-request-method"] !== undefined)
    return PREFLIGHT;
  if (!bears(token, headers.authorization))
    return turnedAway(
      401,
      "The proxy's token is missing or wrong.",
      "Give it as the API key; the proxy says where it is.",
    );
  if (method === "POST" && !/^application\/json\b/i.test(headers["content-type"] ?? ""))
    return turnedAway(415, "The body is not announced as JSON.", "Send content-type: application/json.");
  return null;
}

const FOREIGN = turnedAway(
  403,
  "Pages of this origin may not ask.",
  "Start the proxy with --allow-origin to let them.",
);
/** No refusal, and no request for an answer: it is told what it may send. */
const PREFLIGHT = turnedAway(204, "A preflight.", "");

/**
 * Lets a page of an allowed origin send its request and read the answer (Fetch standard, CORS protocol).
 *
 * @yields Headers, each with its value.
 */
function* sharing({ allowOrigins }: ListenOptions, { headers }: IncomingMessage): Generator<[string, string]> {
  if (allowOrigins.length === 0) return;
  yield ["vary", "origin"];
  const { origin } = headers;
  if (origin === undefined || !allowOrigins.includes(origin)) return;
  yield ["access-control-allow-origin", origin];
  yield ["access-control-expose-headers", "*"];
  if (headers["access-control-request-method"] === undefined) return;
  yield ["access-control-allow-methods", "GET, POST"];
  const { "access-control-request-headers": asked } = headers;
  if (asked !== undefined) yield ["access-control-allow-headers", asked];
  if (headers["access-control-request-private-network"] === "true")
    yield ["access-control-allow-private-network", "true"];
}

const TOO_LARGE = turnedAway(413, `The body has more than ${MOST_BODY_BYTES} bytes.`, "Send less.");

/** The body, or null if it is too large. */
async function readBody(incoming: IncomingMessage): Promise<Uint8Array | null> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of incoming as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MOST_BODY_BYTES) return null;
    chunks.push(chunk);
  }
  return new Uint8Array(Buffer.concat(chunks));
}

async function send(outgoing: ServerResponse, { status, headers, body }: ProxyReply): Promise<void> {
  outgoing.writeHead(status, { "content-type": "application/json", "x-content-type-options": "nosniff", ...headers });
  if (!(Symbol.asyncIterator in body)) {
    outgoing.end(JSON.stringify(body));
    return;
  }
  try {
    for await (const text of body) {
      if (outgoing.destroyed) break;
      if (!outgoing.write(text)) await Promise.race([once(outgoing, "drain"), once(outgoing, "close")]);
    }
  } catch (error) {
    outgoing.write(`data: ${JSON.stringify(refusalOf(error).body)}\n\n`);
  }
  outgoing.end();
}
