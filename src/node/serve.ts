import { once } from "node:events";
import { createServer as createPlainServer, type ServerResponse } from "node:http";
import { createServer } from "node:https";
import { readFile } from "node:fs/promises";
import type { Socket } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import { serve, type HttpBindings, type ServerType } from "@hono/node-server";
import { Hono } from "hono";
import { parseUnits } from "../chain/amounts.ts";
import { Proof402Error } from "../errors.ts";
import { limitBody } from "./app.ts";
import { descriptionsIn, readSecret, type NodeConfig } from "./config.ts";
import { createInferenceNode, createProver, createSigner, readCompiled, type NodeProving } from "./index.ts";
import { facilitatorTimeoutMs } from "./payment-gate.ts";

/** One thing that happened, for a log of lines. */
export type NodeEvent =
  | { event: "listening"; address: string; models: string[]; keyId: string }
  | { event: "request"; method: string; path: string; status: number; milliseconds: number }
  | { event: "stopping"; underWay: number }
  | { event: "stopped" };

/** A node on its socket. */
export type ServedNode = {
  address: string;
  /**
   * Takes no more requests, finishes those under way, hands on what is not on chain yet, and ends. A body has seconds to
   * come whole, paid work as long as a settlement takes. With `now` nothing is waited for; records are closed still.
   */
  stop(now?: "now"): Promise<void>;
};

/** A body's time to come whole, and the head's; when the node stops a body has the shorter. */
const BODY_MS = 30_000;
const HEAD_MS = 10_000;
const STOP_BODY_MS = 3_000;
/** What a paid call takes besides two waits for its facilitator and one for the chain: verifying, the model, the answer. */
const WORK_MS = 60_000;

/**
 * Runs a node as its configuration says. Throws Proof402Error as `createInferenceNode`, `port_taken`, `config_permissions`,
 * `file_unreadable`, or `signing_key_invalid`.
 */
export async function serveNode(config: NodeConfig, log: (event: NodeEvent) => void): Promise<ServedNode> {
  const { payment, listen, limits } = config;
  const { facilitatorTokenFile, decimals, ...rest } = payment;
  const [pem, token, tls] = await Promise.all([
    readSecret(config.signingKeyFile, "signingKeyFile"),
    facilitatorTokenFile === undefined ? undefined : readSecret(facilitatorTokenFile, "payment.facilitatorTokenFile"),
    tlsOf(listen),
  ]);
  const signer = await createSigner(pem);
  const proving = await provingOf(config);
  const end = async (): Promise<void> => proving?.prover.close();
  try {
    const node = await createInferenceNode({
      descriptions: descriptionsIn(config),
      models: config.models.map(({ name, price, rows }) => ({
        name,
        price: String(parseUnits(price, decimals) ?? 0n),
        rows,
      })),
      payment: {
        ...rest,
        facilitatorToken: token?.trim(),
      },
      enclave: null,
      signer,
      proving: proving ?? undefined,
      records: { database: config.database, keepSeconds: config.keepSeconds },
    });
    const [asked, working] = [new Set<Promise<unknown>>(), new Set<Promise<unknown>>()];
    let underWay = 0;
    let closing = false;
    let stopping: Promise<void> | null = null;
    const busy = (): Response =>
      Response.json({ error: "too many requests at once" }, { status: 503, headers: { "retry-after": "1" } });
    const work = async (request: Request): Promise<Response> => {
      underWay += 1;
      try {
        return await node.fetch(request);
      } finally {
        underWay -= 1;
      }
    };
    const front = new Hono<{ Bindings: HttpBindings }>();
    front.use(limitBody);
    front.all("*", async ({ req, env }) => {
      const { method, headers } = req.raw;
      const { pathname, search, origin } = new URL(req.url);
      // Behind a proxy the host that a caller names is not the one that buyers ask.
      const url = `${config.origin ?? origin}${pathname}${search}`;
      if (method !== "POST") return node.fetch(new Request(url, { method, headers }));
      const body = await req.arrayBuffer().catch(() => null);
      if (body === null) return Response.json({ error: "the body did not come whole" }, { status: 400 });
      // Only whole requests count as work: slow bodies would keep payers out.
      if (closing || underWay >= limits.atOnce) return busy();
      const answer = work(new Request(url, { method, headers, body }));
      during(working, Promise.allSettled([answer, closed(env.outgoing)]));
      return answer;
    });
    const fetch = async (request: Request, env: HttpBindings): Promise<Response> => {
      const from = performance.now();
      during(asked, closed(env.outgoing));
      const response = await front.fetch(request, env);
      // A connection that is kept would keep the process.
      if (stopping !== null) response.headers.set("connection", "close");
      const { pathname } = new URL(request.url);
      const milliseconds = Math.round(performance.now() - from);
      log({
        event: "request",
        method: request.method,
        path: pathname.slice(0, 200),
        status: response.status,
        milliseconds,
      });
      return response;
    };
    const { server, address, sockets } = await open(fetch, listen, tls).catch(async (error: unknown) => {
      await node.close();
      throw error;
    });
    log({ event: "listening", address, models: config.models.map(({ name }) => name), keyId: signer.keyId });
    const hurry = new AbortController();
    const settleMs = WORK_MS + 3 * facilitatorTimeoutMs(payment.waitSeconds ?? 0);
    const stop = async (): Promise<void> => {
      log({ event: "stopping", underWay });
      const ended = new Promise<void>((done) => server.close(() => done()));
      try {
        await within(STOP_BODY_MS, hurry.signal, drained(asked));
        closing = true;
        await within(settleMs, hurry.signal, drained(working));
        for (const socket of sockets) socket.destroy();
        await ended;
      } finally {
        try {
          await node.close();
        } finally {
          await end();
        }
      }
      log({ event: "stopped" });
    };
    return {
      address,
      stop: (now) => {
        if (now !== undefined) hurry.abort();
        return (stopping ??= stop());
      },
    };
  } catch (error) {
    await end();
    throw error;
  }
}

/** Ends with a response's connection, or once its last byte is out. */
const closed = (outgoing: ServerResponse): Promise<unknown> =>
  outgoing.closed ? Promise.resolve() : once(outgoing, "close").catch(() => null);

function during(set: Set<Promise<unknown>>, one: Promise<unknown>): void {
  set.add(one);
  void one.finally(() => set.delete(one));
}

async function drained(set: ReadonlySet<Promise<unknown>>): Promise<void> {
  while (set.size > 0) await Promise.all(set);
}

/** Waits for work, at most this long, and no longer than until the signal. */
async function within(milliseconds: number, signal: AbortSignal, work: Promise<void>): Promise<void> {
  const timer = new AbortController();
  const until = AbortSignal.any([signal, timer.signal]);
  await Promise.race([work, pause(milliseconds, undefined, { signal: until }).catch(() => undefined)]);
  timer.abort();
}

type Listen = NodeConfig["listen"];
type Tls = { cert: string; key: string } | null;

async function tlsOf({ tls }: Listen): Promise<Tls> {
  if (tls === undefined) return null;
  const cert = await readFile(tls.certificateFile, "utf8").catch((cause: unknown) => {
    throw new Proof402Error(
      "file_unreadable",
      `${tls.certificateFile} (listen.tls.certificateFile) could not be read.`,
      {
        next: "Correct listen.tls.certificateFile in the configuration.",
        cause,
      },
    );
  });
  return { cert, key: await readSecret(tls.keyFile, "listen.tls.keyFile") };
}

/** What proves the answers of the models that have a folder of proving files, or null. */
async function provingOf({ models }: NodeConfig): Promise<NodeProving | null> {
  const proved = await Promise.all(
    models.flatMap(({ name, provingFolder }) =>
      provingFolder === undefined ? [] : [readCompiled(provingFolder, name).then((files) => [name, files] as const)],
    ),
  );
  return proved.length === 0 ? null : { prover: createProver(), models: Object.fromEntries(proved) };
}

function open(
  fetch: (request: Request, env: HttpBindings) => Promise<Response>,
  { host, port }: Listen,
  tls: Tls,
): Promise<{ server: ServerType; address: string; sockets: ReadonlySet<Socket> }> {
  return new Promise((resolve, reject) => {
    const times = { requestTimeout: BODY_MS, headersTimeout: HEAD_MS, connectionsCheckingInterval: 5_000 };
    const made =
      tls === null
        ? { createServer: createPlainServer, serverOptions: times }
        : { createServer, serverOptions: { ...times, ...tls, handshakeTimeout: HEAD_MS } };
    const answer = (request: Request, env: unknown): Promise<Response> => fetch(request, env as HttpBindings);
    // HTTP's own list lacks connections that are still in their TLS handshake.
    const sockets = new Set<Socket>();
    const server: ServerType = serve({ fetch: answer, hostname: host, port, ...made }, (info) => {
      const name = host.includes(":") ? `[${host}]` : host;
      resolve({ server, sockets, address: `${tls === null ? "http" : "https"}://${name}:${info.port}` });
    });
    server.on("connection", (socket: Socket) => {
      sockets.add(socket);
      socket.once("close", () => sockets.delete(socket));
    });
    server.once("error", (error: NodeJS.ErrnoException) => {
      reject(
        error.code === "EADDRINUSE"
          ? new Proof402Error("port_taken", `Port ${port} is taken (listen.port).`, {
              next: "Choose another in listen.port.",
              cause: error,
            })
          : error,
      );
    });
  });
}
