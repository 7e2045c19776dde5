import * as z from "zod";

/** A call of a tool as an answer makes it. Arguments are JSON text, unless the model wrote something else. */
export type ChatCall = { id: string; name: string; arguments: string };

const count = z.int().min(0);
/** Tokens as a seller counts them. */
export const usageSchema = z.looseObject({
  prompt_tokens: count,
  completion_tokens: count,
  total_tokens: count,
  prompt_tokens_details: z.looseObject({ cached_tokens: count.optional() }).nullish().catch(null),
  completion_tokens_details: z.looseObject({ reasoning_tokens: count.optional() }).nullish().catch(null),
});
export type ChatUsage = z.infer<typeof usageSchema>;

/** The saying of a chat's answer. Its verdict is about `text`, `refusal` and `calls`, and about nothing else here. */
export type Chat = {
  text: string;
  /** Why the model declines, empty if it does not. */
  refusal: string;
  calls: ChatCall[];
  /** Words in the answer outside the seller's signature, in a format with signatures over a part of it. No verdict is about them. */
  unsigned: { text: string; refusal: string };
  /** The model that the answer names. */
  model: string | null;
  finishReason: string | null;
  usage: ChatUsage | null;
};

/** Whether an input's messages are at least one, each with a role. */
export const isConversation = (messages: unknown): boolean =>
  Array.isArray(messages) &&
  messages.length > 0 &&
  messages.every(
    (one: unknown) => typeof one === "object" && one !== null && typeof (one as { role?: unknown }).role === "string",
  );
