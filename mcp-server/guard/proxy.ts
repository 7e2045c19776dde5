import type {
  JSONRPCMessage,
  JSONRPCNotification,
  JSONRPCRequest,
  JSONRPCResponse,
  RequestId,
  Result,
  Transport,
} from "@modelcontextprotocol/server";
import type { Buyer, GuardConfig } from "proof402";
import { Proof402Error } from "proof402/tools";
import { createCatalog } from "./catalog.ts";
import { answerGuarded, refused } from "./guarded-call.ts";
import {
  asksForHidden,
  errorOf,
  resultOf,
  toServer,
  withoutGuardKeys,
  withoutGuardMeta,
  withoutHidden,
} from "./messages.ts";
import { connectUpstream } from "./upstream.ts";

/** What a client may ask of the server besides its tools. Any other method could run one. */
const PASSED = new Set([
  "initialize",
  "server/discover",
  "ping",
  "resources/list",
  "resources/templates/list",
  "resources/read",
  "resources/subscribe",
  "resources/unsubscribe",
  "prompts/list",
  "prompts/get",
  "completion/complete",
  "logging/setLevel",
  "subscriptions/listen",
  "tasks/get",
  "tasks/result",
  "tasks/list",
  "tasks/cancel",
]);
const FROM_CLIENT = new Set([
  "notifications/initialized",
  "notifications/progress",
  "notifications/roots/list_changed",
]);
/** What a server may ask of the client, besides questions. */
const FROM_SERVER = new Set(["ping", "roots/list"]);
const QUESTIONS = new Set(["elicitation/create", "sampling/createMessage"]);

/** Most states of the server that a connection keeps. */
const MAX_STATES = 256;

const METHOD_NOT_FOUND = -32_601;
const INVALID_REQUEST = -32_600;
const INVALID_PARAMS = -32_602;
const INTERNAL_ERROR = -32_603;

export type GuardProxy = {
  /** Resolves when the server behind the guard has ended. */
  serverEnded: Promise<void>;
  /** Lets begun actions end, for so long, and closes the server. What has not begun by then does not begin. */
  close(patienceMs: number): Promise<void>;
};

/** One request of the client: its action is kept from beginning, or its server told to give up. */
type Open = { judging: AbortController; cancelled: AbortController };
type Parts = { client: Transport; server: Transport; config: GuardConfig; buyer: () => Promise<Buyer> };

/** Puts the guard between a client and a server. Messages pass as they are, but for what the configuration names. */
export async function joinThroughGuard({ client, server, config, buyer }: Parts): Promise<GuardProxy> {
  /** Requests of the client that have no answer yet. */
  const open = new Map<RequestId, Open>();
  /** Requests of the server that have none. */
  const askedByServer = new Set<RequestId>();
  /** States that the server gave out with a question about roots, the newest of them. */
  const states = new Set<unknown>();
  const acting = new Set<Promise<unknown>>();
  let closing = false;

  // A client that is gone is seen by its transport's end.
  const tell = (message: JSONRPCMessage): void => void client.send(message).catch(() => undefined);
  const upstream = await connectUpstream(server, (message) =>
    "id" in message ? fromServer(message) : notified(message),
  );
  const catalog = createCatalog(config, (request) => upstream.ask(request));

  function fromServer(request: JSONRPCRequest): void {
    const passes = FROM_SERVER.has(request.method) || (QUESTIONS.has(request.method) && config.questions === "pass");
    if (passes && !askedByServer.has(request.id)) {
      askedByServer.add(request.id);
      tell(withoutGuardKeys(request));
    } else
      void upstream
        .send(errorOf(request.id, METHOD_NOT_FOUND, "The guard before this server does not pass this request on."))
        .catch(() => undefined);
  }

  function notified(notification: JSONRPCNotification): void {
    if (/^notifications\/[\w/]+$/.test(notification.method)) tell(withoutGuardKeys(notification));
  }

  async function answer(request: JSONRPCRequest, one: Open): Promise<JSONRPCResponse> {
    const { method, id, params } = request;
    if (method === "tools/call") return called(request, one);
    if (method === "tools/list") {
      // The whole list is one page.
      if (params?.["cursor"] !== undefined) return errorOf(id, INVALID_PARAMS, "There is no such page.");
      return resultOf(request, await catalog.listed(request));
    }
    if (!PASSED.has(method) || asksForHidden(request, config))
      return errorOf(id, METHOD_NOT_FOUND, "The guard before this server does not pass this method on.");
    const response = await passedOn(request, one);
    if (method === "initialize" && "result" in response && typeof response.result["protocolVersion"] === "string")
      upstream.agreeOn(response.result["protocolVersion"]);
    return method === "initialize" || method === "server/discover" ? withoutHidden(response, config) : response;
  }

  /** An answer without what a server wrote in the guard's name. */
  async function passedOn(request: JSONRPCRequest, { cancelled }: Open): Promise<JSONRPCResponse> {
    const seen = toServer(request, config, (state) => states.has(state));
    const response = withoutGuardKeys(await upstream.request(seen, cancelled.signal));
    if (!("result" in response)) return response;
    // Since 2026-07-28 a question comes in place of a result.
    if (config.questions === "refuse" && asksQuestion(response.result))
      return errorOf(request.id, INTERNAL_ERROR, "The server asked a question, and the guard passes none on.");
    keepState(response.result["requestState"]);
    return response;
  }

  function keepState(state: unknown): void {
    if (typeof state !== "string") return;
    states.add(state);
    const [oldest] = states;
    if (states.size > MAX_STATES) states.delete(oldest);
  }

  async function called(request: JSONRPCRequest, one: Open): Promise<JSONRPCResponse> {
    const name: unknown = request.params?.["name"];
    if (typeof name !== "string") return errorOf(request.id, INVALID_PARAMS, "The call names no tool.");
    const rule = config.ruleOf(name);
    if (rule === "pass" && (await catalog.wasThere(name, request))) return passedOn(request, one);
    if (typeof rule === "string") return refused(request, notLet(name));
    const tool = await catalog.guarded(name, request);
    const action = answerGuarded({
      request,
      tool,
      rule,
      config,
      buyer: await buyer(),
      judging: one.judging.signal,
      cancelled: one.cancelled.signal,
      forward: (forwarded, signal) => upstream.request(forwarded, signal),
    });
    acting.add(action);
    try {
      return await action;
    } finally {
      acting.delete(action);
    }
  }

  async function asked(request: JSONRPCRequest): Promise<void> {
    if (open.has(request.id)) {
      tell(errorOf(request.id, INVALID_REQUEST, "A request of this id has no answer yet."));
      return;
    }
    const one = { judging: new AbortController(), cancelled: new AbortController() };
    open.set(request.id, one);
    if (closing) one.judging.abort();
    let response: JSONRPCResponse;
    try {
      response = await answer(request, one);
    } catch (error) {
      response =
        request.method === "tools/call"
          ? refused(request, error)
          : errorOf(request.id, INTERNAL_ERROR, ...wordsOf(error));
    }
    open.delete(request.id);
    if (!one.cancelled.signal.aborted) tell(response);
  }

  // oxlint-disable-next-line unicorn/prefer-add-event-listener -- the SDK has no listeners here
  client.onmessage = (message: JSONRPCMessage) => {
    if ("method" in message && "id" in message) void asked(message);
    else if ("method" in message) {
      if (message.method === "notifications/cancelled") {
        const given = open.get(message.params?.["requestId"] as RequestId);
        given?.judging.abort();
        given?.cancelled.abort();
      } else if (FROM_CLIENT.has(message.method)) void upstream.send(fromClient(message)).catch(() => undefined);
    } else if (message.id !== undefined && askedByServer.delete(message.id))
      void upstream.send(message).catch(() => undefined);
  };
  await client.start();

  return {
    serverEnded: upstream.ended,
    async close(patienceMs) {
      closing = true;
      for (const { judging } of open.values()) judging.abort();
      let late: NodeJS.Timeout | undefined;
      const waited = new Promise((resolve) => (late = setTimeout(resolve, patienceMs)));
      await Promise.race([Promise.allSettled(acting), waited, upstream.ended]);
      clearTimeout(late);
      await upstream.close();
      await Promise.allSettled(acting);
    },
  };
}

/** A client's notification as the server may see it. */
const fromClient = (message: JSONRPCNotification): JSONRPCNotification =>
  message.params === undefined ? message : { ...message, params: withoutGuardMeta(message.params) };

/** Whether a result, one that tells of a task included, asks for words of a person or a model. Roots are neither. */
function asksQuestion(result: Result): boolean {
  const requests: unknown = result["inputRequests"];
  if (requests === undefined || requests === null) return false;
  if (typeof requests !== "object") return true;
  return Object.values(requests).some((one: { method?: unknown } | null) => !FROM_SERVER.has(String(one?.method)));
}

const notLet = (name: string): Proof402Error =>
  new Proof402Error("guard_tool_refused", `The guard does not let ${JSON.stringify(name.slice(0, 128))} be called.`, {
    next: "Call a tool that is listed without this note, or ask the guard's owner to configure it.",
  });

const wordsOf = (error: unknown): [string, unknown?] =>
  Proof402Error.isInstance(error)
    ? [`${error.message} ${error.next}`, { code: error.code, next: error.next }]
    : ["The guard could not pass this on."];
