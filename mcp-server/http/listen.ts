import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { exactArgumentsText, Proof402Error } from "proof402/tools";

/** Where a server listens, and whose requests it reads. */
export type ListenOptions = {
  host: string;
  port: number;
  /** Names in a request's `host` header beside the listening address's own, each as `name:port`. */
  allowHosts: readonly string[];
  /** Origins of pages that may ask. Browsers name theirs; other clients name none. */
  allowOrigins: readonly string[];
};

/** Judges a request by its head. A refusal leaves its body unread. */
export type Admit<Pass> = (head: {
  method: string;
  path: string;
  /** The address that the client used, without path. */
  origin: string;
  authorization: string | undefined;
}) => Promise<{ pass: Pass; whilePassed: WhilePassed } | { refused: Reply }>;

/** Has `end` called if what let a request in holds no more. Returns a way to forget it. */
type WhilePassed = (end: () => void) => () => void;

/** A short answer. */
export type Reply = { status: number; headers?: Record<string, string>; body?: object };

/** Answers an admitted request, whose body is JSON or absent. `sent` is called once all of it is out or its client is gone. */
export type Answer<Pass> = (
  pass: Pass,
  request: Request,
  body: unknown,
) => Promise<{ response: Response; sent: () => void } | Reply>;

/** A server on its socket. */
export type Listening = {
  server: Server;
  /** As its clients name it, without path. */
  origin: string;
  /** Takes no more requests, and waits for answers that are under way, up to `patienceMs`. */
  stop: (patienceMs: number) => Promise<void>;
};

const MOST_BODY_BYTES = 10_000_000;
const HEAD_MS = 10_000;
const BODY_MS = 30_000;
const CHECK_MS = 2000;
const MOST_CONNECTIONS = 512;
const LOOPBACK: readonly string[] = ["127.0.0.1", "localhost", "[::1]"];

/** Listens for MCP over HTTP. Throws Proof402Error `port_taken`. */
export async function listen<Pass>(
  options: ListenOptions,
  admit: Admit<Pass>,
  answer: Answer<Pass>,
): Promise<Listening> {
  const { host, port } = options;
  const underWay = new Set<Promise<void>>();
  const limits = { headersTimeout: HEAD_MS, requestTimeout: BODY_MS, connectionsCheckingInterval: CHECK_MS };
  const server = createServer(limits, (incoming, outgoing) => {
    const work = respond(options, admit, answer, incoming, outgoing)
      .catch(() => void outgoing.destroy())
      .finally(() => underWay.delete(work));
    underWay.add(work);
  });
  server.maxConnections = MOST_CONNECTIONS;
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
    server,
    origin: `http://${name}:${(server.address() as AddressInfo).port}`,
    async stop(patienceMs) {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeIdleConnections();
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, patienceMs)));
      await Promise.race([Promise.all(underWay), late]);
      clearTimeout(timer);
      server.closeAllConnections();
      await closed;
    },
  };
}

async function respond<Pass>(
  options: ListenOptions,
  admit: Admit<Pass>,
  answer: Answer<Pass>,
  incoming: IncomingMessage,
  outgoing: ServerResponse,
): Promise<void> {
  const gone = new AbortController();
  outgoing.on("close", () => gone.abort());
  const { method = "GET", headers } = incoming;
  const foreign = foreignTo(options, incoming);
  if (foreign !== null) return refuse(outgoing, foreign);
  for (const [header, value] of sharing(options, incoming)) outgoing.setHeader(header, value);
  // A browser asks without the token first, and does nothing by it.
  if (method === "OPTIONS" && headers["access-control-request-method"] !== undefined)
    return refuse(outgoing, { status: 204 });
  const origin = `http://${headers.host}`;
  const { pathname: path, search } = new URL(incoming.url ?? "/", origin);
  const admitted = await admit({ method, path, origin, authorization: headers.authorization });
  if ("refused" in admitted) return refuse(outgoing, admitted.refused);
  const forget = admitted.whilePassed(() => outgoing.destroy());
  outgoing.on("close", forget);
  const read = method === "POST" ? await readJson(incoming) : { body: undefined };
  if ("refused" in read) return refuse(outgoing, read.refused);
  const request = new Request(`${origin}${path}${search}`, {
    method,
    headers: headersOf(incoming),
    signal: gone.signal,
  });
  const answered = await answer(admitted.pass, request, read.body);
  if (!("response" in answered)) return refuse(outgoing, answered);
  try {
    await send(outgoing, answered.response);
  } finally {
    answered.sent();
  }
}

/**
 * Why a request is not from a client of this machine. A page in a browser must reach nothing here: neither by another name for
 * this address (DNS rebinding), nor from its own origin.
 */
function foreignTo(
  { host, allowHosts, allowOrigins }: ListenOptions,
  { headers, socket }: IncomingMessage,
): Reply | null {
  const named = host.includes(":") ? `[${host}]` : host;
  const own = LOOPBACK.includes(named) ? LOOPBACK : [named];
  const hosts = [...own.map((one) => `${one}:${socket.localPort}`), ...allowHosts];
  if (!hosts.includes(headers.host ?? ""))
    return words(403, "The host header names another host than this one. Use the address that the server printed.");
  const { origin } = headers;
  // Its own origin serves no page.
  if (origin !== undefined && origin !== `http://${headers.host}` && !allowOrigins.includes(origin))
    return words(403, "Pages of this origin may not ask. Start the server with --allow-origin to let them.");
  return null;
}

/**
 * Lets a page of an allowed origin send its request and read the answer (Fetch standard, CORS protocol).
 *
 * @yields Headers, each with its value.
 */
function* sharing({ allowOrigins }: ListenOptions, { headers }: IncomingMessage): Generator<[string, string]> {
  if (allowOrigins.length === 0) return;
  yield ["vary", "origin"];
  const { origin, "access-control-request-headers": asked } = headers;
  if (origin === undefined) return;
  yield ["access-control-allow-origin", origin];
  yield ["access-control-expose-headers", "mcp-session-id, www-authenticate"];
  if (headers["access-control-request-method"] === undefined) return;
  yield ["access-control-allow-methods", "GET, POST, DELETE"];
  if (asked !== undefined) yield ["access-control-allow-headers", asked];
  if (headers["access-control-request-private-network"] === "true")
    yield ["access-control-allow-private-network", "true"];
}

/** A body in JSON, read up to the limit. No number of a call's arguments is rounded: what a double would change is its text. */
async function readJson(incoming: IncomingMessage): Promise<{ body: unknown } | { refused: Reply }> {
  // A form in a page can send no other type without asking first.
  if (!/^application\/json *(?:;|$)/i.test(incoming.headers["content-type"] ?? ""))
    return { refused: words(415, "The body is not announced as JSON. Send content-type: application/json.") };
  const chunks: Buffer[] = [];
  let size = 0;
  const tooLarge = { refused: words(413, `The body has more than ${MOST_BODY_BYTES} bytes. Send less.`) };

  if (Number(incoming.headers["content-length"] ?? 0) > MOST_BODY_BYTES) return tooLarge;
  for await (const chunk of incoming as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MOST_BODY_BYTES) return tooLarge;
    chunks.push(chunk);
  }
  try {
    return { body: JSON.parse(exactArgumentsText(Buffer.concat(chunks).toString("utf8"))) };
  } catch {
    return { refused: words(400, "Parse error: the body is not valid JSON.", -32_700) };
  }
}

/** The headers for the protocol: all but the token. No handler needs it. */
function headersOf({ headersDistinct }: IncomingMessage): Headers {
  const headers = new Headers();
  for (const [name, values = []] of Object.entries(headersDistinct))
    if (name !== "authorization" && name !== "content-length") for (const value of values) headers.append(name, value);
  return headers;
}

/** A refusal in the words of the protocol. */
export const words = (status: number, message: string, code = -32_000): Reply => ({
  status,
  body: { jsonrpc: "2.0", error: { code, message }, id: null },
});

/** What is left of a body is not read. */
function refuse(outgoing: ServerResponse, { status, headers, body }: Reply): void {
  const text = body === undefined ? "" : JSON.stringify(body);
  const type = body === undefined ? {} : { "content-type": "application/json", "x-content-type-options": "nosniff" };
  outgoing.writeHead(status, { ...type, connection: "close", "cache-control": "no-store", ...headers });
  outgoing.end(text);
}

async function send(outgoing: ServerResponse, response: Response): Promise<void> {
  const headers = Object.fromEntries(response.headers);
  outgoing.writeHead(response.status, { "x-content-type-options": "nosniff", ...headers });
  const reader = response.body?.getReader();
  if (reader === undefined) {
    outgoing.end();
    return;
  }
  // The client reads an open stream's head before the first event.
  outgoing.flushHeaders();
  const closed = once(outgoing, "close").then(
    () => null,
    () => null,
  );
  for (;;) {
    const part = await Promise.race([reader.read(), closed]);
    if (part === null) {
      await reader.cancel().catch(() => undefined);
      return;
    }
    if (part.done) break;
    if (!outgoing.write(part.value)) await Promise.race([once(outgoing, "drain"), closed]);
  }
  outgoing.end();
}
