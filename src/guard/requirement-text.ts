import * as z from "zod";
import { ASSURANCES } from "../receipts/schema.ts";
import { bindRulesSchema, rulesText } from "./rules.ts";

const recorded = z.object({
  assurance: z.enum(ASSURANCES),
  maxAge: z.number(),
  models: z.array(z.string()).nullable(),
  sellers: z.array(z.string()).nullable(),
  spends: z.union([z.literal("once"), z.object({ kind: z.string(), times: z.number() })]),
  allowSimulated: z.boolean(),
  allowImported: z.boolean(),
  bind: z.union([bindRulesSchema, z.object({ function: z.string() })]),
});

/** A recorded requirement in plain English, for a reader who has to approve or audit it. */
export function requirementText(json: string): string {
  const read = recorded.safeParse(JSON.parse(json));
  if (!read.success) return "The record has a form that this version does not know.";
  const { assurance, maxAge, models, sellers, spends, allowSimulated, allowImported, bind } = read.data;
  const named = (what: string, list: readonly string[] | null): string =>
    list === null
      ? `Any ${what} will do.`
      : `The ${what} is one of ${list.map((one) => JSON.stringify(one)).join(", ")}.`;
  return [
    `The receipt is verified, with assurance ${assurance} or more.`,
    `Its answer is at most ${maxAge} s old.`,
    named("model", models),
    named("seller", sellers),
    spends === "once"
      ? "A purchase justifies one action in all."
      : `A purchase justifies at most ${spends.times} actions of the kind ${JSON.stringify(spends.kind)}.`,
    ...(allowSimulated ? ["Simulated hardware will do."] : []),
    ...(allowImported ? ["A purchase that another buyer made will do."] : []),
    "function" in bind
      ? `A function of the program compares answer and arguments; the sha256 of its source is ${bind.function}.`
      : rulesText(bind),
  ].join("\n");
}
