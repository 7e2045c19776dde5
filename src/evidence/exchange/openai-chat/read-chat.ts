import * as z from "zod";
import { usageSchema, type Chat } from "../chat.ts";

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

/**
 * Reads an answer of `readAnswer` as a chat. `signsPart` tells of sellers with a signature over the text or the calls alone: a text
 * beside calls, and any refusal, is then unsigned. Null for an answer of another form.
 */
export function readChat(answer: Record<string, unknown>, signsPart: boolean): Chat | null {
  const read = answerSchema.safeParse(answer);
  if (!read.success) return null;
  const { unsigned, tool_calls: calls, text: signed } = read.data;
  const { refusal } = unsigned;
  const said = signsPart
    ? { text: signed, refusal: "", unsigned: { text: unsigned.text, refusal } }
    : { text: signed === "" ? unsigned.text : signed, refusal, unsigned: { text: "", refusal: "" } };
  return {
    ...said,
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
