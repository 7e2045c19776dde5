import * as z from "zod";

/** A call of a tool as an answer makes it. Arguments are JSON text, unless the model wrote something else. */
export type ChatCall = { id: string; name: string; arguments: string };

/** Tokens as a seller counts them. No seller signs them. */
export type ChatUsage = z.infer<typeof usageSchema>;

/** What a chat's answer says. */
export type Chat = {
  /** Beside calls no seller signs it. */
  text: string;
  /** Why the model declines, empty if it does not. */
  refusal: string;
  calls: ChatCall[];
  /** The model that the answer names. */
  model: string | null;
  finishReason: string | null;
  usage: ChatUsage | null;
};

const count = z.int().min(0);
const usageSchema = z.looseObject({
  prompt_tokens: count,
  completion_tokens: count,
  total_tokens: count,
  prompt_tokens_details: z.looseObject({ cached_tokens: count.optional() }).nullish().catch(null),
  completion_tokens_details: z.looseObject({ reasoning_tokens: count.optional() }).nullish().catch(null),
});

const text = z.string().default("");
const called = z.looseObject({
  id: z.string().nullish(),
  function: z.looseObject({ name: z.string().nullish(), arguments: z.string().nullish() }),
});
const answerSchema = z.looseObject({
  text,
  tool_calls: z.array(called).default([]),
  unsigned: z.looseObject({
    text,
    refusal: text,
    model: z.string().nullish().catch(null),
    finish_reason: z.string().nullish().catch(null),
    usage: usageSchema.nullish().catch(null),
  }),
});

/** A chat's answer in the form of a purchase's `answer`, or null for an answer of another form. */
export function chatIn(answer: Record<string, unknown>): Chat | null {
  const read = answerSchema.safeParse(answer);
  if (!read.success) return null;
  const { unsigned, tool_calls: calls, text: signed } = read.data;
  return {
    text: signed === "" ? unsigned.text : signed,
    refusal: unsigned.refusal,
    calls: calls.map(({ id, function: { name, arguments: args } }) => ({
      id: id ?? "",
      name: name ?? "",
      arguments: args ?? "",
    })),
    model: unsigned.model ?? null,
    finishReason: unsigned.finish_reason ?? null,
    usage: unsigned.usage ?? null,
  };
}
