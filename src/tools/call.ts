import type { z } from "zod";
import type { Buyer } from "../buyer/types.ts";
import { toHex } from "../evidence/bytes.ts";
import { canonicalSha256 } from "../evidence/canonical.ts";
import type { ToolContext, ToolDefinition, ToolOutcome } from "./definition.ts";
import { isRecord } from "../evidence/record.ts";
import { readHostArguments } from "./host-arguments.ts";
import { inputSchema } from "./input-schema.ts";
import { errorOutcome } from "./outcome.ts";
import { couldBound } from "./unknown-arguments.ts";

type Failure = Extract<ToolOutcome<never>, { status: "error" }>;
type Issue = Pick<z.core.$ZodIssue, "path" | "message">;

/** Runs a tool on unchecked input. What does not fit its schema is an outcome like every other failure. */
export async function callTool<Part extends keyof Buyer>(
  definition: ToolDefinition<z.ZodObject, z.ZodObject, Part>,
  context: ToolContext<Part>,
  input: unknown,
): Promise<ToolOutcome<unknown>> {
  const read = readArguments(definition, input);
  return read.ok ? definition.run(context, read.args) : read.failure;
}

/**
 * The one reading of a tool's arguments, for every surface: the value that names the call, is shown to a person and is
 * run. Keys outside the schema are left out, and where one could be a bound of a purchase the call fails.
 *
 * @example
 * ```ts
 * import { readArguments, tools } from "proof402/tools";
 *
 * for (const tool of tools) process.stdout.write(`${tool.name} ${readArguments(tool, {}).ok}`);
 * ```
 */
export function readArguments(
  definition: Pick<ToolDefinition, "input" | "annotations" | "jsonText">,
  input: unknown,
): { ok: true; args: Record<string, unknown> } | { ok: false; failure: Failure } {
  const shape: Readonly<Record<string, z.ZodType | undefined>> = definition.input.shape;
  const schema = inputSchema(definition);
  const takes = (name: string, value: unknown): boolean => shape[name]?.safeParse(value).success ?? false;
  const read = readHostArguments(schema, takes, asText(definition.jsonText ?? [], input));
  const given = isRecord(read) ? Object.entries(read) : [];
  const unknown = given.filter(([name]) => !Object.hasOwn(shape, name));
  const bounding = definition.annotations.readOnlyHint
    ? []
    : unknown.filter(([name, value]) => couldBound(schema, name, value));
  const parsed = definition.input.safeParse(
    isRecord(read) ? Object.fromEntries(given.filter(([name]) => Object.hasOwn(shape, name))) : read,
  );
  if (parsed.success && bounding.length === 0) return { ok: true, args: parsed.data };
  const known = Object.keys(shape).join(", ");
  const issues: Issue[] = [
    ...bounding.map(([name]) => ({
      path: [name.slice(0, 64)],
      message: `is no argument of this tool and could be meant as a bound; its arguments are ${known}`,
    })),
    ...(parsed.error?.issues ?? []),
  ];
  return { ok: false, failure: invalidInput(definition, issues, read) };
}

/** An object in place of a field's JSON text, as that text. */
function asText(fields: readonly string[], input: unknown): unknown {
  if (!isRecord(input)) return input;
  return Object.fromEntries(
    Object.entries(input).map(([name, value]) => [
      name,
      fields.includes(name) && isRecord(value) ? JSON.stringify(value) : value,
    ]),
  );
}

/**
 * Names a call by its arguments: sha256 over the canonical form (RFC 8785), hex. Throws for what is no plain JSON.
 *
 * @example
 * ```ts
 * import { callDigest } from "proof402/tools";
 *
 * const key = callDigest(["spending", {}]);
 * ```
 */
export const callDigest = (call: readonly unknown[]): string => toHex(canonicalSha256(call));

/**
 * The failure of a call whose arguments do not fit: names each field, quotes no value.
 *
 * @example
 * ```ts
 * import { invalidInput, listModels } from "proof402/tools";
 *
 * const failure = invalidInput(listModels, [{ path: ["model"], message: "must be text" }]);
 * ```
 */
export const invalidInput = (
  { annotations }: Pick<ToolDefinition, "annotations">,
  issues: readonly Issue[],
  input?: unknown,
): Failure =>
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

/** Whether a key is given, in some spelling. */
const namesKey = (input: unknown): boolean => isRecord(input) && Object.keys(input).some((name) => /idem/i.test(name));
