import type { Buyer } from "../buyer/types.ts";
import type { ToolContext, ToolDefinition, ToolOutcome } from "../tools/definition.ts";
import { EXIT, note, print, printJson } from "./globals.ts";

/** The inputs of a tool that a command has read from its arguments. */
export type ToolInput = Record<string, unknown>;

/**
 * Runs a tool for a command and prints its outcome: the same data as on every other surface with `--json`, else its text.
 * Input that does not fit the tool's schema is a usage error that names the field. Returns the exit code.
 */
export async function runTool(
  definition: ToolDefinition,
  input: ToolInput,
  options: { buyer: Buyer; json: boolean; context?: Partial<ToolContext>; show?: (data: unknown, text: string) => string; exit?: (data: unknown) => number },
): Promise<number> {
  const parsed = definition.input.safeParse(input);
  if (!parsed.success) {
    for (const issue of parsed.error.issues) note(`${issue.path.map(String).join(".") || definition.name}: ${issue.message}`);
    return EXIT.usage;
  }
  const outcome = await definition.run({ buyer: options.buyer, clock: () => new Date(), ...options.context }, parsed.data);
  return printOutcome(outcome, options);
}

function printOutcome(
  outcome: ToolOutcome<unknown>,
  options: { json: boolean; show?: (data: unknown, text: string) => string; exit?: (data: unknown) => number },
): number {
  if (outcome.status === "ok") {
    if (options.json) printJson(outcome.data);
    else print(options.show?.(outcome.data, outcome.text) ?? outcome.text);
    return options.exit?.(outcome.data) ?? EXIT.ok;
  }
  if (outcome.status === "need_input") throw new Error("a command always has an answer");
  if (options.json) printJson({ error: outcome.error });
  else note(outcome.text);
  return EXIT.failed;
}
