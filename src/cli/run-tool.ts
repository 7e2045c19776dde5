import type { z } from "zod";
import type { Buyer } from "../buyer/types.ts";
import type { ToolContext, ToolDefinition, ToolError, ToolOutcome } from "../tools/definition.ts";
import { callTool, invalidInput } from "../tools/call.ts";
import { errorText } from "../tools/outcome.ts";
import { inCommands } from "./next.ts";
import { EXIT, exitOf, note, print, printJson } from "./globals.ts";

/** The inputs of a tool that a command has read from its arguments. */
export type ToolInput = Record<string, unknown>;

/** How a command shows what a tool returned. */
type Shown = {
  json: boolean;
  show?: (data: unknown, text: string) => string;
  /** The exit code that success ends with. */
  exit?: (data: unknown) => number;
  onError?: (error: ToolError) => void;
};

/**
 * Runs a tool for a command and prints its outcome: the same data as on every other surface with `--json`, else its
 * text. Input outside the tool's schema is a usage error, and the error names the field. Returns the exit code.
 */
export async function runTool<Part extends keyof Buyer>(
  definition: ToolDefinition<z.ZodObject, z.ZodObject, Part>,
  input: ToolInput,
  options: Shown & { buyer: Pick<Buyer, Part>; context?: Partial<ToolContext<Part>> },
): Promise<number> {
  // Typed by a person or filled in by a script: an empty bound is a mistake, and a host's way to leave one out is not theirs.
  const empty = Object.keys(input).filter((name) => input[name] === "");
  const outcome =
    empty.length === 0
      ? await callTool(definition, { buyer: options.buyer, words: inCommands, ...options.context }, input)
      : invalidInput(
          definition,
          empty.map((name) => ({ path: [name], message: "is empty" })),
          input,
        );
  return printOutcome(outcome, options);
}

/** The options of commands by the arguments of tools that they fill in. */
const OPTIONS: Readonly<Record<string, string>> = { max_usd: "--max-usd", idempotency_key: "--key" };

const inOptions = (text: string): string =>
  text.replaceAll(/\b(?:max_usd|idempotency_key)\b/g, (name) => OPTIONS[name] ?? name);

function printOutcome(outcome: ToolOutcome<unknown>, options: Shown): number {
  if (outcome.status === "ok") {
    if (options.json) printJson(outcome.data);
    else print(options.show?.(outcome.data, outcome.text) ?? outcome.text);
    return options.exit?.(outcome.data) ?? EXIT.ok;
  }
  if (options.json) printJson({ error: outcome.error });
  else note(inOptions(errorText(outcome.error)));
  options.onError?.(outcome.error);
  return exitOf(outcome.error.code);
}
