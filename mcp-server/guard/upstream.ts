import type {
  JSONRPCMessage,
  JSONRPCNotification,
  JSONRPCRequest,
  JSONRPCResponse,
  RequestId,
  Transport,
} from "@modelcontextprotocol/server";
import { Proof402Error } from "proof402/tools";

/** The connection to the server behind the guard. */
export type Upstream = {
  /**
   * Sends a request and resolves with its answer, an error answer too. Rejects if the connection ends or the signal aborts
   * first. The server may have acted then.
   */
  request(request: JSONRPCRequest, signal?: AbortSignal): Promise<JSONRPCResponse>;
  /** The same for a request of the guard itself, under an id of its own. */
  ask(request: Omit<JSONRPCRequest, "id" | "jsonrpc">): Promise<JSONRPCResponse>;
  send(message: JSONRPCNotification | JSONRPCResponse): Promise<void>;
  /** Whether a request of this id waits for its answer. */
  isAsked(id: RequestId): boolean;
  /** Tells an HTTP server the version that was agreed on. */
  agreeOn(version: string): void;
  close(): Promise<void>;
  /** Resolves when the connection has ended. */
  ended: Promise<void>;
};

type Waiting = { resolve(answer: JSONRPCResponse): void; reject(error: Error): void };

export async function connectUpstream(
  transport: Transport,
  received: (message: JSONRPCRequest | JSONRPCNotification) => void,
): Promise<Upstream> {
  const waiting = new Map<RequestId, Waiting>();
  // No client can guess it.
  const own = `proof402-${crypto.randomUUID()}`;
  let asked = 0;
  let end = (): void => undefined;
  const ended = new Promise<void>((resolve) => (end = resolve));

  const settle = (id: RequestId): Waiting | undefined => {
    const one = waiting.get(id);
    waiting.delete(id);
    return one;
  };
  // oxlint-disable-next-line unicorn/prefer-add-event-listener -- the SDK has no listeners here
  transport.onmessage = (message: JSONRPCMessage) => {
    if ("method" in message) received(message);
    // An answer that nothing waits for is not passed on: it could be to another question.
    else if (message.id !== undefined) settle(message.id)?.resolve(message);
  };
  // oxlint-disable-next-line unicorn/prefer-add-event-listener -- the SDK has no listeners here
  transport.onclose = () => {
    for (const id of waiting.keys()) settle(id)?.reject(lost("ended before it answered"));
    end();
  };
  await transport.start().catch((error: unknown) => {
    throw lost("cannot be started", error);
  });

  const request: Upstream["request"] = (message, signal) =>
    new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      const { id } = message;
      waiting.set(id, { resolve, reject });
      const fail = (why: string, cause?: unknown): void => settle(id)?.reject(lost(why, cause));
      const streaming = new AbortController();
      signal?.addEventListener("abort", () => {
        if (!waiting.has(id)) return;
        fail("was told that the call is cancelled");
        streaming.abort();
        const params = { requestId: id };
        transport.send({ jsonrpc: "2.0", method: "notifications/cancelled", params }).catch(() => undefined);
      });
      transport
        .send(message, {
          requestSignal: streaming.signal,
          onRequestStreamEnd: () => fail("ended its answer's stream before the answer"),
        })
        .catch((error: unknown) => fail("could not be reached", error));
    });

  return {
    request,
    ask: ({ method, params }) =>
      request({ jsonrpc: "2.0", id: `${own}-${(asked += 1)}`, method, ...(params === undefined ? {} : { params }) }),
    send: (message) => transport.send(message),
    isAsked: (id) => waiting.has(id),
    agreeOn: (version) => transport.setProtocolVersion?.(version),
    close: async () => {
      await transport.close().catch(() => undefined);
      transport.onclose?.();
    },
    ended,
  };
}

export const lost = (why: string, cause?: unknown): Proof402Error =>
  new Proof402Error("guard_upstream", `The server behind the guard ${why}.`, {
    next: "Check its command or address, and its own messages.",
    cause,
  });
