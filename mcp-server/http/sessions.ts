import {
  isInitializeRequest,
  WebStandardStreamableHTTPServerTransport,
  type AuthInfo,
  type McpServer,
} from "@modelcontextprotocol/server";
import type { McpClient } from "./access.ts";
import type { Roll } from "./roll.ts";

/** A request that its listener has admitted and read. */
export type Admitted = { request: Request; body: unknown; client: McpClient; authInfo: AuthInfo };

/** Bounds of the sessions of 2025. They hold no purchase: each is in the journal. */
export type SessionBounds = {
  /** Sessions of one client at once. A new one takes the place of the one unused for longest. */
  perClient: number;
  /** A session without a request or an open stream for so long ends, ms. */
  idleMs: number;
};

export const SESSION_BOUNDS: SessionBounds = { perClient: 32, idleMs: 30 * 60_000 };

/** An answer, and what has to be called once all of it is sent or its client is gone. */
export type Answered = { response: Response; sent: () => void };

type Session = {
  id: string;
  /** The token that opened it. No other client may use it, nor this one under another token. */
  tokenSha256: string;
  transport: WebStandardStreamableHTTPServerTransport;
  server: McpServer;
  /** Requests and streams that are open. */
  active: number;
  usedAt: number;
};

/** The sessions of clients of 2025, each with a server of its own. */
export type Sessions = {
  answer(admitted: Admitted): Promise<Answered>;
  /** Ends all of them. */
  close(): Promise<void>;
};

export function createSessions(
  create: (client: McpClient) => McpServer,
  { whileKnown }: Pick<Roll, "whileKnown">,
  { perClient, idleMs }: SessionBounds,
): Sessions {
  const sessions = new Map<string, Session>();

  const end = async (session: Session): Promise<void> => {
    sessions.delete(session.id);
    await session.server.close().catch(() => undefined);
  };
  const sweep = setInterval(
    () => {
      const before = performance.now() - idleMs;
      for (const session of sessions.values()) if (session.active === 0 && session.usedAt < before) void end(session);
    },
    Math.min(idleMs, 60_000),
  );
  sweep.unref();

  /** Makes room for one more of a client. False if all of its sessions are in use. */
  const makeRoom = (tokenSha256: string): boolean => {
    const own = [...sessions.values()].filter((one) => one.tokenSha256 === tokenSha256);
    if (own.length < perClient) return true;
    const [oldest] = own.filter(({ active }) => active === 0).toSorted((a, b) => a.usedAt - b.usedAt);
    if (oldest === undefined) return false;
    void end(oldest);
    return true;
  };

  const use = async (session: Session, { request, body, authInfo }: Admitted): Promise<Answered> => {
    session.active += 1;
    let isDone = false;
    const sent = (): void => {
      if (isDone) return;
      isDone = true;
      session.active -= 1;
      session.usedAt = performance.now();
    };
    try {
      const parsed = body === undefined ? {} : { parsedBody: body };
      return { response: await session.transport.handleRequest(request, { authInfo, ...parsed }), sent };
    } catch (error) {
      sent();
      throw error;
    }
  };

  const open = async (admitted: Admitted): Promise<Answered> => {
    const { tokenSha256 } = admitted.client;
    if (!makeRoom(tokenSha256)) {
      const words = `This client has ${perClient} sessions in use. Nothing was done. End one, and try again.`;
      return refused(429, words, { "retry-after": "5" });
    }
    const id = crypto.randomUUID();
    const transport = new WebStandardStreamableHTTPServerTransport({
      sessionIdGenerator: () => id,
      onsessionclosed: () => void sessions.delete(id),
    });
    const session = { id, tokenSha256, transport, active: 0, usedAt: performance.now() };
    const server = create(admitted.client);
    const kept: Session = { ...session, server };
    // Of two that open at once both have their room.
    sessions.set(id, kept);
    const forget = whileKnown(admitted.client, () => void end(kept));
    await server.connect(transport);
    const { onclose } = transport;
    // oxlint-disable-next-line unicorn/prefer-add-event-listener -- the SDK has no listeners here
    transport.onclose = () => {
      forget();
      onclose?.();
    };
    const answered = await use(kept, admitted);
    if (answered.response.status >= 400) await end(kept);
    return answered;
  };

  return {
    async answer(admitted) {
      const { request, body, client } = admitted;
      const id = request.headers.get("mcp-session-id");
      const session = id === null ? undefined : sessions.get(id);
      // A session of another client is none: not even that it exists is told.
      if (session !== undefined && session.tokenSha256 === client.tokenSha256) return use(session, admitted);
      if (id !== null) return refused(404, "No such session of this client. Initialize a new one.", {}, -32_001);
      if (isInitializeRequest(body)) return open(admitted);
      return refused(400, "This needs a session of the client: initialize one, or send a request of 2026-07-28.");
    },
    async close() {
      clearInterval(sweep);
      await Promise.all([...sessions.values()].map(end));
    },
  };
}

function refused(status: number, message: string, headers: Record<string, string> = {}, code = -32_000): Answered {
  const body = { jsonrpc: "2.0", error: { code, message }, id: null };
  return { response: Response.json(body, { status, headers }), sent: () => undefined };
}
