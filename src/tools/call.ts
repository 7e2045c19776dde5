import type { z } from "zod";
import type { Buyer } from "../buyer/types.ts";
import type { ToolContext, ToolDefinition, ToolOutcome } from "./definition.ts";
import { errorOutcome } from "./outcome.ts";

/** Runs a tool on unchecked input. What does not fit its schema is an outcome like every other failure. */
export async function callTool<Part extends keyof Buyer>(
  definition: ToolDefinition<z.ZodObject, z.ZodObject, Part>,
  context: ToolContext<Part>,
  input: unknown,
): Promise<ToolOutcome<unknown>> {
  const parsed = definition.input.safeParse(input);
  return parsed.success ? definition.run(context, parsed.data) : invalidInput(definition, parsed.error.issues, input);
}

/** The failure of a call whose arguments do not fit: names each field, quotes no value. */
export const invalidInput = (
  { annotations }: Pick<ToolDefinition, "annotations">,
  issues: readonly Pick<z.core.$ZodIssue, "path" | "message">[],
  input?: unknown,
): Extract<ToolOutcome<never>, { status: "error" }> =>
  errorOutcome({
    code: "invalid_input",
    message: `The arguments do not fit: ${issues
      .slice(0, 10)
      .map((issue) => `${issue.path.map(String).join(".") || "arguments"}: ${issue.message}`)
      .join("; ")}.`,
    // A key may name a call that was paid: what became of its money is not known here.
    ...(annotations.readOnlyHint || namesKey(input) ? {} : { money: "not-moved" as const }),
    next: "Correct the named fields and call again.",
  });

const namesKey = (input: unknown): boolean => typeof input === "object" && input !== null && "idempotency_key" in input;
