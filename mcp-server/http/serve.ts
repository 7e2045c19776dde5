import { createMcpHandler, isLegacyRequest, type McpServer } from "@modelcontextprotocol/server";
import type { Buyer } from "proof402";
import { createApprovals } from "../approval.ts";
import { onceOpen } from "../once-open.ts";
import { createProof402Server } from "../server.ts";
import {
  clientOf,
  insufficient,
  metadataAt,
  metadataUrl,
  neededScopes,
  unauthorized,
  type McpClient,
} from "./access.ts";
import { listen, words, type Answer, type ListenOptions, type Reply } from "./listen.ts";
import { createRoll, type McpClients } from "./roll.ts";
import { createSessions, SESSION_BOUNDS, type SessionBounds } from "./sessions.ts";

/** The path that MCP is served at. */
const PATH = "/mcp";
/** Requests and streams of one client at once. */
const MOST_AT_ONCE = 128;
/** How often the clients are looked at without a request, ms. */
const LOOK_MS = 1000;
/** Time for stopped calls to say the fate of their money, ms. */
const PATIENCE_MS = 5000;

/** A server of MCP over HTTP. */
export type ServedMcp = {
  /** The address for clients. */
  url: string;
  /**
   * Takes no more requests, has the calls under way stop, and resolves once every exchange whose payment was sent has come
   * to its end, its receipt is stored and the buyer is closed.
   */
  stop: () => Promise<void>;
};

/** What a server of MCP over HTTP is made from. */
export type HttpOptions = Partial<ListenOptions> & {
  /** Programs that may call. Each request names one by its bearer token. Taking one out ends all that it has open. */
  clients: McpClients;
  sessions?: Partial<SessionBounds>;
};

/** Makes the server of one connection: of a session of 2025, or of a request of 2026. */
type Create = (client: McpClient, era: "legacy" | "modern") => McpServer;

/**
 * Serves MCP over Streamable HTTP in both eras of the protocol, on 127.0.0.1 where no `host` is given. Every request needs the
 * token of a client, whose scopes and budget bound what it may do. Requests under another host's name, and of pages of other
 * origins, are refused. `open` is called at the first call that needs the buyer, and again after it failed.
 *
 * Throws Proof402Error `port_taken`, and `invalid_input` for clients that cannot be told apart.
 *
 * @example
 * ```ts
 * import { createHash } from "node:crypto";
 * import { openBuyer } from "proof402";
 * import { serveMcpHttp } from "proof402/mcp";
 *
 * const tokenSha256 = createHash("sha256").update("a long random token").digest("hex");
 * const client = { name: "desk", tokenSha256, scopes: ["read", "buy"], maxUsd: 5, per: "day" } as const;
 * const served = await serveMcpHttp(() => openBuyer(), { port: 0, clients: [client] });
 * await served.stop();
 * ```
 */
export async function serveMcpHttp(open: () => Promise<Buyer>, options: HttpOptions): Promise<ServedMcp> {
  const { buyer: opened, close } = onceOpen(open);
  const approvals = createApprovals();
  const closing = new AbortController();
  let isWatched = false;
  let served: Awaited<ReturnType<typeof serveFactory>> | null = null;
  const buyer = async (): Promise<Buyer> => {
    const one = await opened();
    // Of a session each server tells by itself.
    if (!isWatched) one.onReceipt(({ id }) => served?.updated(`receipt://${id}`));
    isWatched = true;
    return one;
  };
  served = await serveFactory(
    ({ name, maxUsd, per, approvalPage }, era) => {
      const client = { name, maxUsd, per };
      const watches = era === "legacy";
      return createProof402Server(
        { buyer, approvals, approvalPage, closing: closing.signal, client, watches },
        { era },
      );
    },
    { ...options, onListen: () => void buyer().catch(() => undefined) },
  );
  const { url, stop } = served;
  return {
    url,
    async stop() {
      closing.abort();
      await stop();
      await close();
    },
  };
}

/** The same for servers of any kind, which is how the protocol's own suite is run against this very stack. */
export async function serveFactory(
  create: Create,
  { clients, sessions: bounds, onListen, ...options }: HttpOptions & { onListen?: () => void },
): Promise<ServedMcp & { updated: (uri: string) => void; server: Awaited<ReturnType<typeof listen>>["server"] }> {
  const roll = createRoll(clients);
  await roll.now();
  // A stream that is open asks for nothing more.
  const look = setInterval(() => void roll.now().catch(() => undefined), LOOK_MS).unref();
  const sessions = createSessions((client) => create(client, "legacy"), roll, { ...SESSION_BOUNDS, ...bounds });
  const modern = createMcpHandler(
    ({ authInfo }) => {
      const client = roll.of(authInfo?.token ?? "");
      if (client === null) throw new TypeError("a request that was let in without a client");
      return create(client, "modern");
    },
    { legacy: "reject" },
  );
  const atOnce = new Map<string, number>();
  /** Requests that end by themselves, as streams do not. */
  const calls = new Set<Promise<void>>();

  const answer: Answer<{ client: McpClient; resource: URL }> = async ({ client, resource }, request, body) => {
    const missing = neededScopes(body).filter((scope) => !client.scopes.includes(scope));
    if (missing.length > 0) return insufficient(resource, missing, client);
    const running = atOnce.get(client.name) ?? 0;
    if (running >= MOST_AT_ONCE)
      return { ...words(429, `This client has ${running} requests open. Nothing was done.`), headers: RETRY };
    if (isListen(body)) onListen?.();
    atOnce.set(client.name, running + 1);
    let end = (): void => undefined;
    const call = new Promise<void>((resolve) => (end = resolve));
    if (request.method === "POST" && !isListen(body)) calls.add(call);
    const ended = (): void => {
      atOnce.set(client.name, (atOnce.get(client.name) ?? 1) - 1);
      calls.delete(call);
      end();
    };
    const authInfo = {
      token: client.tokenSha256,
      clientId: client.name,
      scopes: [...client.scopes],
      resourceMetadataUrl: metadataUrl(resource),
    };
    try {
      const parsed = body === undefined ? {} : { parsedBody: body };
      const answered = (await isLegacyRequest(request, body))
        ? await sessions.answer({ request, body, client, authInfo })
        : { response: await modern.fetch(request, { authInfo, ...parsed }), sent: (): void => undefined };
      return { response: answered.response, sent: () => (answered.sent(), ended()) };
    } catch (error) {
      ended();
      throw error;
    }
  };

  const { origin, stop, server } = await listen(
    { host: "127.0.0.1", port: 0, allowHosts: [], allowOrigins: [], ...options },
    async ({ method, path, origin: used, authorization }) => {
      const resource = new URL(PATH, used);
      const metadata = metadataAt(path, resource);
      if (metadata !== null) return { refused: method === "GET" ? { status: 200, body: metadata } : NOT_ALLOWED };
      if (path !== PATH) return { refused: words(404, `No such path. MCP is at ${PATH}.`) };
      const known = await roll.now().catch(() => null);
      if (known === null) return { refused: UNREADABLE };
      const client = clientOf(authorization, known);
      if (client === null) return { refused: unauthorized(resource, authorization !== undefined) };
      if (!["GET", "POST", "DELETE"].includes(method)) return { refused: NOT_ALLOWED };
      return { pass: { client, resource }, whilePassed: (end) => roll.whileKnown(client, end) };
    },
    answer,
  );
  return {
    url: `${origin}${PATH}`,
    server,
    updated: (uri) => modern.notify.resourceUpdated(uri),
    async stop() {
      clearInterval(look);
      const stopped = stop(2 * PATIENCE_MS);
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, PATIENCE_MS)));
      await Promise.race([Promise.all(calls), late]);
      clearTimeout(timer);
      // What is open now are streams, and calls without an end.
      await Promise.all([sessions.close(), modern.close()]);
      await stopped;
    },
  };
}

const UNREADABLE = words(503, "Who may call cannot be read now. Nothing was done. The owner has to look at it.");
const RETRY = { "retry-after": "5" };
const NOT_ALLOWED: Reply = { ...words(405, "Use GET, POST or DELETE."), headers: { allow: "GET, POST, DELETE" } };

const isListen = (body: unknown): boolean =>
  typeof body === "object" &&
  body !== null &&
  "method" in body &&
  (body.method === "subscriptions/listen" || body.method === "resources/subscribe");
