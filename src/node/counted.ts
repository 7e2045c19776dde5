import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { setTimeout as pause } from "node:timers/promises";
import type { HttpBindings } from "@hono/node-server";
import { Hono, type HonoRequest } from "hono";
import { mcpTool } from "../evidence/exchange/mcp-tool/mcp-tool.ts";
import { limitBody } from "./app.ts";
import { calledIn } from "./mcp/called.ts";
import { tooMany } from "./rate-limit.ts";

/** A node's requests on their way, counted. */
export type Counted = {
  fetch: (request: Request, env: HttpBindings) => Promise<Response>;
  /** Paid work and offers under way. */
  underWay(): number;
  /**
   * Waits until every request that came has its response, at most so long. After that it takes no more work and waits for
   * the work under way, at most so long. The signal ends each wait.
   */
  drain(times: { bodiesMs: number; workMs: number; hurry: AbortSignal }): Promise<void>;
};

type Counting = {
  /** POST requests at once. */
  atOnce: number;
  /** What buyers ask, if a proxy stands in front. */
  origin: string | undefined;
  /** Counts a request that costs work: the seconds until its client may come again, or null. */
  waits: (incoming: IncomingMessage) => Promise<number | null>;
  /** Tells whether a payment, in the form of its header, was taken before: no limit over time keeps its answer back. */
  hasTaken: (payment: string) => Promise<boolean>;
};

/**
 * Whether a request costs work, and the payment that came with it. Attesting asks the enclave, and is no POST. A call of a tool has its
 * payment in its body.
 */
async function askedFor(req: HonoRequest, path: string): Promise<{ costsWork: boolean; payment: string | null }> {
  if (req.method !== "POST") return { costsWork: path === "/enclave/attestation", payment: null };
  if (path !== mcpTool.at) return { costsWork: true, payment: req.raw.headers.get("payment-signature") };
  // A body that breaks off says so below.
  const { calls, payment } = calledIn(await req.text().catch(() => ""));
  return { costsWork: calls, payment };
}

/** Hands requests on, as many as may come. */
export function countRequests(
  fetch: (request: Request) => Promise<Response>,
  { atOnce, origin: named, waits, hasTaken }: Counting,
): Counted {
  const [asked, working] = [new Set<Promise<unknown>>(), new Set<Promise<unknown>>()];
  let underWay = 0;
  let state: "open" | "draining" | "closed" = "open";
  const work = async (request: Request): Promise<Response> => {
    underWay += 1;
    try {
      return await fetch(request);
    } finally {
      underWay -= 1;
    }
  };
  const front = new Hono<{ Bindings: HttpBindings }>();
  front.use(limitBody);
  front.all("*", async ({ req, env }) => {
    const { method, headers } = req.raw;
    const { pathname, search, origin } = new URL(req.url);
    const { costsWork, payment } = await askedFor(req, pathname);
    const seconds = costsWork ? await waits(env.incoming) : null;
    if (seconds !== null && (payment === null || !(await hasTaken(payment)))) {
      const unknown = payment === null ? "" : " the payment that came with this one is not known here,";
      return tooMany(`too many requests from this address;${unknown} ask again later`, seconds);
    }
    // Behind a proxy the host that a caller names is not the one that buyers ask.
    const url = `${named ?? origin}${pathname}${search}`;
    if (method !== "POST") return fetch(new Request(url, { method, headers }));
    const body = await req.arrayBuffer().catch(() => null);
    if (body === null) return Response.json({ error: "the body did not come whole" }, { status: 400 });
    // Only whole requests count as work: slow bodies would keep payers out.
    if (state === "closed" || underWay >= atOnce) return busy();
    const answer = work(new Request(url, { method, headers, body }));
    during(working, Promise.allSettled([answer, closed(env.outgoing)]));
    return answer;
  });
  return {
    async fetch(request, env) {
      during(asked, closed(env.outgoing));
      const response = await front.fetch(request, env);
      // A connection that is kept would keep the process.
      if (state !== "open") response.headers.set("connection", "close");
      return response;
    },
    underWay: () => underWay,
    async drain({ bodiesMs, workMs, hurry }) {
      state = "draining";
      await within(bodiesMs, hurry, drained(asked));
      state = "closed";
      await within(workMs, hurry, drained(working));
    },
  };
}

const busy = (): Response =>
  Response.json({ error: "too many requests at once" }, { status: 503, headers: { "retry-after": "1" } });

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
