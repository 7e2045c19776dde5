import * as z from "zod";
import { jsonOf, sha256, toHex, utf8 } from "../evidence/bytes.ts";
import { answerTo, tokensIn, type Call, type Said, type Wish } from "./upstream-words.ts";

/** Answers requests of OpenAI's API by their paths from `/v1` on. */
export type Upstream = (request: Request) => Promise<Response>;

/** What the built-in upstream serves. */
const UPSTREAM_MODELS = ["devnet-chat", "devnet-chat-large"] as const;
/** Equal requests have equal answers, so each is of the same second. */
const CREATED = 1_767_225_600;

const part = z.looseObject({ type: z.string(), text: z.string().optional() });
const message = z.looseObject({
  role: z.enum(["system", "developer", "user", "assistant", "tool", "function"]),
  content: z.union([z.string(), z.array(part)]).nullish(),
});
const tool = z.looseObject({
  type: z.literal("function"),
  function: z.looseObject({ name: z.string().min(1), parameters: z.unknown().optional() }),
});
const common = {
  model: z.enum(UPSTREAM_MODELS),
  max_tokens: z.int().min(1).nullish(),
  max_completion_tokens: z.int().min(1).nullish(),
  stop: z.union([z.string(), z.array(z.string()).max(4)]).nullish(),
  stream: z.boolean().nullish(),
  stream_options: z.looseObject({ include_usage: z.boolean().optional() }).nullish(),
  n: z.literal(1).nullish(),
};
const chatSchema = z.looseObject({
  ...common,
  messages: z.array(message).min(1),
  tools: z.array(tool).nullish(),
  tool_choice: z.union([z.enum(["none", "auto", "required"]), tool]).nullish(),
  response_format: z
    .looseObject({
      type: z.enum(["text", "json_object", "json_schema"]),
      json_schema: z.looseObject({ schema: z.unknown() }).optional(),
    })
    .nullish(),
});
const completionSchema = z.looseObject({ ...common, prompt: z.string() });

/**
 * A language model's place on this machine: OpenAI's API with models that compute their words by rules. Equal requests have
 * equal answers, byte for byte. `answerTo` says which answer a text gets.
 *
 * @example
 * ```ts
 * import { createUpstream, serveLocally } from "proof402/devnet";
 *
 * const { origin, stop } = await serveLocally(createUpstream());
 * const { data } = await (await fetch(`${origin}/v1/models`)).json();
 * await stop();
 * ```
 */
export function createUpstream(): Upstream {
  return async (request) => {
    const path = `${request.method} ${new URL(request.url).pathname}`;
    if (path === "GET /v1/models") return Response.json({ object: "list", data: UPSTREAM_MODELS.map(modelOf) });
    if (path !== "POST /v1/chat/completions" && path !== "POST /v1/completions")
      return refusal(404, "not_found_error", "No such path.");
    const isChat = path === "POST /v1/chat/completions";
    const bytes = new Uint8Array(await request.arrayBuffer());
    const parsed = (isChat ? chatSchema : completionSchema).safeParse(jsonOf(bytes));
    if (!parsed.success) {
      const at = parsed.error.issues[0]?.path.join(".") ?? "";
      return at === "model"
        ? refusal(404, "not_found_error", `The models are ${UPSTREAM_MODELS.join(", ")}.`)
        : refusal(400, "invalid_request_error", `The request does not fit at "${at.slice(0, 64)}".`);
    }
    const asked = parsed.data;
    const wish = wishOf(asked);
    const said = answerTo(wish);
    const id = toHex(sha256(bytes)).slice(0, 24);
    const usage = usageOf(wish, said);
    const head = { created: CREATED, model: asked.model };
    if (asked.stream !== true)
      return Response.json(isChat ? whole(id, head, said, usage) : text(id, head, said, usage));
    const frames = isChat ? deltas(id, head, said) : pieces(id, head, said);
    const last = asked.stream_options?.include_usage === true ? [{ ...frames[0], choices: [], usage }] : [];
    return events([...frames, ...last]);
  };
}

/**
 * An upstream elsewhere, by the base of its address as OpenAI's clients take it (`https://api.example/v1`). `key` goes out
 * as a bearer token.
 */
export function upstreamAt(base: string, key?: string): Upstream {
  const root = base.replace(/\/+$/, "").replace(/\/v1$/, "");
  return async (request) => {
    const { pathname, search } = new URL(request.url);
    const body = request.method === "POST" ? { body: await request.arrayBuffer() } : {};
    const headers = {
      "content-type": "application/json",
      ...(key === undefined ? {} : { authorization: `Bearer ${key}` }),
    };
    const { signal, method } = request;
    const answer = await fetch(`${root}${pathname}${search}`, { method, headers, signal, ...body });
    const type = answer.headers.get("content-type") ?? "application/json";
    return new Response(answer.body, { status: answer.status, headers: { "content-type": type } });
  };
}

const modelOf = (id: string): object => ({ id, object: "model", created: CREATED, owned_by: "devnet" });

const refusal = (status: number, type: string, words: string): Response =>
  Response.json({ error: { message: words, type, param: null, code: null } }, { status });

function wishOf(asked: z.infer<typeof chatSchema> | z.infer<typeof completionSchema>): Wish {
  const { stop } = asked;
  const most = asked.max_completion_tokens ?? asked.max_tokens ?? null;
  const stops = stop == null ? [] : typeof stop === "string" ? [stop] : stop;
  if ("prompt" in asked && typeof asked.prompt === "string")
    return { messages: [{ role: "user", text: asked.prompt }], tools: [], choice: "none", format: null, stops, most };
  const { messages, tools, tool_choice: choice, response_format: format } = asked as z.infer<typeof chatSchema>;
  return {
    messages: messages.map(({ role, content }) => ({ role, text: textOf(content) })),
    tools: (tools ?? []).map(({ function: { name, parameters } }) => ({ name, parameters })),
    choice: choice == null ? "auto" : typeof choice === "string" ? choice : { name: choice.function.name },
    format:
      format == null || format.type === "text"
        ? null
        : { schema: format.type === "json_schema" ? format.json_schema?.schema : undefined },
    stops,
    most,
  };
}

const textOf = (content: z.infer<typeof message>["content"]): string =>
  typeof content === "string" ? content : (content ?? []).map((one) => one.text ?? "").join("");

function usageOf({ messages }: Wish, { text, calls }: Said): object {
  const prompt = messages.reduce((sum, one) => sum + tokensIn(one.text).length, 0);
  const completion = tokensIn(text).length + calls.reduce((sum, one) => sum + 1 + tokensIn(one.arguments).length, 0);
  return { prompt_tokens: prompt, completion_tokens: completion, total_tokens: prompt + completion };
}

type Head = { created: number; model: string };

const callOf = ({ id, name, arguments: args }: Call): object => ({
  id,
  type: "function",
  function: { name, arguments: args },
});

function whole(id: string, head: Head, { text, calls, reason }: Said, usage: object): object {
  const message = {
    role: "assistant",
    content: calls.length === 0 ? text : null,
    ...(calls.length === 0 ? {} : { tool_calls: calls.map(callOf) }),
  };
  const choices = [{ index: 0, message, logprobs: null, finish_reason: reason }];
  return { id: `chatcmpl-${id}`, object: "chat.completion", ...head, choices, usage };
}

const text = (id: string, head: Head, { text: words, reason }: Said, usage: object): object => ({
  id: `cmpl-${id}`,
  object: "text_completion",
  ...head,
  choices: [{ index: 0, text: words, logprobs: null, finish_reason: reason }],
  usage,
});

/** The frames of a stream: the role, then a token each, or each call in two pieces, then the reason for the end. */
function deltas(id: string, head: Head, { text: words, calls, reason }: Said): object[] {
  const frame = (delta: object, finish: string | null = null): object => ({
    id: `chatcmpl-${id}`,
    object: "chat.completion.chunk",
    ...head,
    choices: [{ index: 0, delta, logprobs: null, finish_reason: finish }],
  });
  const called = calls.flatMap((call, index) => {
    const half = Math.ceil(call.arguments.length / 2);
    const begun = { ...callOf({ ...call, arguments: call.arguments.slice(0, half) }), index };
    return [[begun], [{ index, function: { arguments: call.arguments.slice(half) } }]].map((tool_calls) =>
      frame({ tool_calls }),
    );
  });
  const said = called.length > 0 ? called : tokensIn(words).map((content) => frame({ content }));
  return [frame({ role: "assistant", content: called.length > 0 ? null : "" }), ...said, frame({}, reason)];
}

const pieces = (id: string, head: Head, { text: words, reason }: Said): object[] =>
  [...tokensIn(words), ""].map((one, at, all) => ({
    id: `cmpl-${id}`,
    object: "text_completion",
    ...head,
    choices: [{ index: 0, text: one, logprobs: null, finish_reason: at === all.length - 1 ? reason : null }],
  }));

/** A stream that sends each frame for itself. */
function events(frames: readonly object[]): Response {
  const texts = [...frames.map((frame) => JSON.stringify(frame)), "[DONE]"];
  let at = 0;
  const body = new ReadableStream<Uint8Array>({
    pull(controller) {
      const next = texts[at];
      at += 1;
      if (next === undefined) controller.close();
      else controller.enqueue(utf8(`data: ${next}\n\n`));
    },
  });
  return new Response(body, { headers: { "content-type": "text/event-stream", "cache-control": "no-cache" } });
}
