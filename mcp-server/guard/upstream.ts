import type {
  JSONRPCMessage,
  JSONRPCNotification,
  JSONRPCRequest,
  JSONRPCResponse,
  RequestId,
  Transport,
} from "@modelcontextprotocol/server";
import { Proof402Error } from "proof402/tools";
import { metaOf } from "./messages.ts";

const SUBSCRIPTION = "io.modelcontextprotocol/subscriptionId";

/** The connection to the server behind the guard. */
export type Upstream = {
  /**
   * Sends a request and resolves with its answer, an error answer too. Rejects if the connection ends or the signal aborts
   * first. The server may have acted then. The server sees an id of the guard's own, never used twice: a late answer to a
   * cancelled request answers nothing else, also if the client takes its id again.
   */
  request(request: JSONRPCRequest, signal?: AbortSignal): Promise<JSONRPCResponse>;
  /** The same for a request of the guard itself. */
  ask(request: Omit<JSONRPCRequest, "id" | "jsonrpc">): Promise<JSONRPCResponse>;
  send(message: JSONRPCNotification | JSONRPCResponse): Promise<void>;
  /** Tells an HTTP server the version that was agreed on. */
  agreeOn(version: string): void;
  close(): Promise<void>;
  /** Resolves when the connection has ended. */
  ended: Promise<void>;
};

type Waiting = { id: RequestId; resolve(answer: JSONRPCResponse): void; reject(error: Error): void };

export async function connectUpstream(
  transport: Transport,
  received: (message: JSONRPCRequest | JSONRPCNotification) => void,
): Promise<Upstream> {
  const waiting = new Map<RequestId, Waiting>();
  /** The client's progress token by the guard's own. It outlives the answer if a task goes on. */
  const tokens = new Map<unknown, unknown>();
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
  const answered = (id: RequestId, answer: JSONRPCResponse): void => {
    if (!("result" in answer && "task" in answer.result)) tokens.delete(id);
    const one = settle(id);
    // An answer that nothing waits for is not passed on: it could be to another question.
    one?.resolve(withSubscription({ ...answer, id: one.id }, () => one.id));
  };
  const heard = (message: JSONRPCNotification): void => {
    const { progressToken } = { ...message.params };
    const isProgress = message.method === "notifications/progress";
    if (isProgress && !tokens.has(progressToken)) return;
    const params = isProgress ? { ...message.params, progressToken: tokens.get(progressToken) } : message.params;
    received(
      withSubscription({ ...message, ...(params === undefined ? {} : { params }) }, (id) => waiting.get(id)?.id),
    );
  };
  // oxlint-disable-next-line unicorn/prefer-add-event-listener -- the SDK has no listeners here
  transport.onmessage = (message: JSONRPCMessage) => {
    if ("method" in message && "id" in message) received(message);
    else if ("method" in message) heard(message);
    else if (message.id !== undefined) answered(message.id, message);
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
      const id = `${own}-${(asked += 1)}`;
      waiting.set(id, { id: message.id, resolve, reject });
      const token = metaOf(message.params)["progressToken"];
      if (token !== undefined) tokens.set(id, token);
      const fail = (why: string, cause?: unknown): void => {
        tokens.delete(id);
        settle(id)?.reject(lost(why, cause));
      };
      const streaming = new AbortController();
      signal?.addEventListener("abort", () => {
        if (!waiting.has(id)) return;
        fail("was told that the call is cancelled");
        streaming.abort();
        const params = { requestId: id };
        transport.send({ jsonrpc: "2.0", method: "notifications/cancelled", params }).catch(() => undefined);
      });
      transport
        .send(token === undefined ? { ...message, id } : withToken({ ...message, id }, id), {
          requestSignal: streaming.signal,
          onRequestStreamEnd: () => fail("ended its answer's stream before the answer"),
        })
        .catch((error: unknown) => fail("could not be reached", error));
    });

  return {
    request,
    ask: ({ method, params }) =>
      request({ jsonrpc: "2.0", id: 0, method, ...(params === undefined ? {} : { params }) }),
    send: (message) => transport.send(message),
    agreeOn: (version) => transport.setProtocolVersion?.(version),
    close: async () => {
      await transport.close().catch(() => undefined);
      transport.onclose?.();
    },
    ended,
  };
}

const withToken = (request: JSONRPCRequest, progressToken: string): JSONRPCRequest => ({
  ...request,
  params: { ...request.params, _meta: { ...metaOf(request.params), progressToken } },
});

/** A message of a subscription names the request behind it: the client knows that by its own id. */
function withSubscription<T extends JSONRPCNotification | JSONRPCResponse>(
  message: T,
  idOf: (own: RequestId) => RequestId | undefined,
): T {
  const field = "method" in message ? "params" : "result";
  const part: unknown = (message as Record<string, unknown>)[field];
  const meta = metaOf(part);
  const own = meta[SUBSCRIPTION];
  if (own === undefined) return message;
  const id = idOf(own as RequestId);
  return { ...message, [field]: { ...(part as object), _meta: { ...meta, [SUBSCRIPTION]: id } } };
}

export const lost = (why: string, cause?: unknown): Proof402Error =>
  new Proof402Error("guard_upstream", `The server behind the guard ${why}.`, {
    next: "Check its command or address, and its own messages.",
    cause,
  });
