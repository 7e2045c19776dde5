import { jsonOf } from "../../evidence/bytes.ts";
import { readEventStream } from "../../evidence/event-stream.ts";
import type { Upstream } from "../upstream.ts";

/** A message as a gateway passes it on. */
export type Message = { role: string; content: string | null; tool_calls?: ToolCall[] };
export type ToolCall = { id: string | null; type: string; function: { name: string | null; arguments: string } };
export type Usage = { prompt_tokens: number; completion_tokens: number; total_tokens: number };

/** What an upstream answered, whole. */
export type Said = { message: Message; finishReason: string; usage: Usage | null };

/** A piece of a streamed answer: a choice's delta as it came, or the usage at the end. */
export type Piece = { delta: Record<string, unknown>; finishReason: string | null } | { usage: Usage };

/** The upstream failed: nothing of it is passed on, and nothing is charged. */
export class UpstreamFailed extends Error {}

/** Fields of a request that a gateway passes on. `stop` is not among them: it is hashed, and no model gets it. */
const PASSED = ["model", "messages", "temperature", "max_tokens", "tools", "tool_choice", "response_format"];

const requestOf = (request: Record<string, unknown>, more: Record<string, unknown>): Request =>
  new Request("http://upstream/v1/chat/completions", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      ...Object.fromEntries(PASSED.flatMap((name) => (request[name] == null ? [] : [[name, request[name]]]))),
      ...more,
    }),
  });

type Whole = { choices?: { message?: Message; finish_reason?: string }[]; usage?: Usage };

/** Asks for an answer in one piece. */
export async function forward(upstream: Upstream, request: Record<string, unknown>): Promise<Said> {
  const response = await upstream(requestOf(request, {})).catch(() => null);
  if (response === null || !response.ok) throw new UpstreamFailed();
  const { choices = [], usage = null } = (await response.json()) as Whole;
  const [choice] = choices;
  if (choice?.message === undefined) throw new UpstreamFailed();
  const { role, content, tool_calls: calls } = choice.message;
  const message = {
    role,
    content,
    ...(calls === undefined || calls.length === 0 ? {} : { tool_calls: calls.map(bare) }),
  };
  return { message, finishReason: choice.finish_reason ?? "stop", usage };
}

const bare = ({ id, type, function: { name, arguments: args } }: ToolCall): ToolCall => ({
  id,
  type,
  function: { name, arguments: args },
});

/** Asks for a stream. The upstream has accepted it once this resolves; the pieces come as they come. */
export async function forwardStream(
  upstream: Upstream,
  request: Record<string, unknown>,
): Promise<AsyncGenerator<Piece>> {
  const wanted = { stream: true, stream_options: { include_usage: true } };
  const response = await upstream(requestOf(request, wanted)).catch(() => null);
  if (response === null || !response.ok || response.body === null) throw new UpstreamFailed();
  return piecesOf(response.body);
}

async function* piecesOf(body: ReadableStream<Uint8Array>): AsyncGenerator<Piece> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of body) {
    text += decoder.decode(chunk, { stream: true });
    const end = text.lastIndexOf("\n\n");
    if (end === -1) continue;
    const { events } = readEventStream(text.slice(0, end + 2)) ?? { events: [] };
    text = text.slice(end + 2);
    for (const event of events) yield* readEvent(event);
  }
}

type Frame = { choices?: { delta?: Record<string, unknown>; finish_reason?: string | null }[]; usage?: Usage | null };

function* readEvent(event: string): Generator<Piece> {
  if (event === "[DONE]") return;
  const { choices = [], usage } = (jsonOf(new TextEncoder().encode(event)) ?? {}) as Frame;
  const [choice] = choices;
  if (choice !== undefined) yield { delta: choice.delta ?? {}, finishReason: choice.finish_reason ?? null };
  if (usage != null) yield { usage };
}
