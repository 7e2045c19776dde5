import * as z from "zod";
import { usageSchema, type Chat } from "../chat.ts";

const called = z.looseObject({
  id: z.string().nullish().catch(null),
  function: z.looseObject({
    name: z.string(),
    arguments: z.union([z.string(), z.record(z.string(), z.unknown())]).nullish(),
  }),
});
const answerSchema = z.looseObject({
  text: z.string(),
  tool_calls: z.array(called).default([]),
  model: z.string().nullish().catch(null),
  done_reason: z.string().nullish().catch(null),
  prompt_eval_count: z.unknown(),
  eval_count: z.unknown(),
});

/**
 * Reads an answer of `readAnswer` as a chat. Ollama's calls have objects as arguments, and most have no id. Null for an answer of another form.
 */
export function readChat(answer: Record<string, unknown>): Chat | null {
  const read = answerSchema.safeParse(answer);
  if (!read.success) return null;
  const { text, tool_calls: calls, model, done_reason: reason, prompt_eval_count: asked, eval_count: said } = read.data;
  const usage = usageSchema.safeParse({
    prompt_tokens: asked,
    completion_tokens: said,
    total_tokens: Number(asked) + Number(said),
  });
  return {
    text,
    refusal: "",
    calls: calls.map(({ id, function: { name, arguments: args } }) => ({
      id: id ?? "",
      name,
      arguments: typeof args === "string" ? args : JSON.stringify(args ?? {}),
    })),
    unsigned: { text: "", refusal: "" },
    model: model ?? null,
    finishReason: calls.length > 0 ? "tool_calls" : (reason ?? null),
    usage: usage.data ?? null,
  };
}
