import {
  defineToolInputGuardrail,
  RunContext,
  tool,
  ToolGuardrailFunctionOutputFactory,
  type FunctionTool,
  type ToolInputGuardrailDefinition,
  type ToolOptions,
} from "@openai/agents";
import type { ZodType } from "zod";
import { Proof402Error } from "../errors.ts";
import { withReceiptId, type JsonSchema } from "../guard/fields.ts";
import { runGuarded, type GuardedTool } from "../guard/guard.ts";
import { lookAt } from "../guard/look.ts";
import { readRequirement, type GuardOptions } from "../guard/requirement.ts";
import { failureText, guardedDescription, misfitOf, readAlone, refusalError } from "../guard/surface.ts";

/** What is given to the SDK's `tool`. */
export type Definition<Context = unknown> = ToolOptions<any, Context, any>; // oxlint-disable-line typescript/no-explicit-any -- as the SDK has it: a schema's type is of no use to a guard

/**
 * Makes a function tool of the OpenAI Agents SDK that only runs with a verified receipt for its arguments; see `guard` of
 * `proof402`. It takes what the SDK's own `tool` takes. The model gives one more argument, `receipt_id`. `bind` and
 * `execute` get one frozen value: the arguments read once by the tool's schema. The guard sits around the function itself:
 * no agent, handoff, nested agent or parallel call gets past it. A refusal is the tool's output, as text for the model.
 * `actionCall(details)` in `execute` gives the idempotency key.
 *
 * What the function throws reads as the tool's failure, with the advice not to call again: it may have happened. An
 * `errorFunction` of the tool's own is asked about both. With an `outputSchema` and no `errorFunction` both are thrown.
 * `needsApproval` is asked before the receipt is judged, with arguments read for the question alone.
 *
 * Throws Proof402Error `guard_schema` for a schema with a `receipt_id` or of no object, `guard_tool` for a made tool (it would
 * read its arguments after the judgement), and `guard_options`.
 *
 * @example
 * ```ts
 * import { openBuyer } from "proof402";
 * import { guardTool } from "proof402/openai-agents";
 * import * as z from "zod";
 *
 * const buyer = await openBuyer();
 * const trade = guardTool(
 *   {
 *     name: "execute_trade",
 *     description: "Trades ETH.",
 *     parameters: z.object({ side: z.enum(["hold", "sell"]) }),
 *     execute: ({ side }: { side: string }) => `sold: ${side}`,
 *   },
 *   {
 *     buyer,
 *     assurance: "attested",
 *     maxAge: 60,
 *     bind: ({ args, answer }) => args["side"] === (Number(answer["risk"]) > 0.8 ? "sell" : "hold"),
 *   },
 * );
 * ```
 */
export function guardTool<Context = unknown>(
  definition: Definition<Context>,
  options: GuardOptions,
): FunctionTool<Context> {
  const required = readRequirement(options);
  const held = readDefinition(definition);
  const { name, schema, definition: own } = held;
  const made = tool({
    ...own,
    name,
    description: guardedDescription(own.description, required),
    parameters: held.guardedSchema,
    strict: false,
    execute: async (input: unknown, context: RunContext<Context> | undefined, details: Details | undefined) => {
      const problem: { misfit: string | null } = { misfit: null };
      const guarded: GuardedTool = {
        name,
        schema,
        read: (args) => held.read(args, problem),
        run: (args, proof402) => Promise.resolve(own.execute(args, context, { ...details, proof402 } as object)),
        outcomeOf: (result) => result,
      };
      const outcome = await runGuarded(guarded, required, input, details?.signal).catch((error: unknown) => {
        // A refusal of a tool within this one says nothing of what this one did.
        if (typeof error === "object" && error !== null) refusals.delete(error);
        throw error;
      });
      if (!("error" in outcome)) return outcome.result;
      const refused = refusalError(name, outcome, problem.misfit);
      refusals.add(refused);
      throw refused;
    },
    ...(own.timeoutErrorFunction === undefined && own.outputSchema === undefined
      ? { timeoutErrorFunction: timedOut }
      : {}),
    errorFunction: own.errorFunction === undefined && own.outputSchema === undefined ? told : own.errorFunction,
    needsApproval:
      typeof own.needsApproval === "function"
        ? async (context: RunContext<Context>, input: unknown, callId?: string) => {
            const read = await readAlone(held, input);
            // What cannot be read is refused when it is to run.
            return read === null || (own.needsApproval as Asks<Context>)(context, read.value, callId);
          }
        : own.needsApproval,
  } as unknown as Definition<Context>);
  // The schema is the SDK's own, which is strict already.
  return Object.assign(made as FunctionTool<Context>, { strict: held.strict });
}

/**
 * A guardrail on a tool's input: judges receipt and arguments as the call's guard would and stops the whole run if they do not
 * fit. It looks for no stop and for no action before, and claims nothing, so it guards nothing: put it among the `inputGuardrails` of a guarded tool, with the same options. The results
 * of the run then tell of each call.
 *
 * @example
 * ```ts
 * import { openBuyer } from "proof402";
 * import { guardTool, receiptGuardrail } from "proof402/openai-agents";
 * import * as z from "zod";
 *
 * const options = { buyer: await openBuyer(), assurance: "attested" as const, maxAge: 60, bind: () => true };
 * const parameters = z.object({ side: z.string() });
 * const inputGuardrails = [receiptGuardrail({ parameters }, options)];
 * const execute = (): string => "sold";
 * const trade = guardTool({ name: "trade", description: "Trades.", parameters, execute, inputGuardrails }, options);
 * ```
 */
export function receiptGuardrail<Context = unknown>(
  { parameters, strict }: { parameters: unknown; strict?: boolean },
  options: GuardOptions,
): ToolInputGuardrailDefinition<Context> {
  const required = readRequirement(options);
  const held = readDefinition({
    name: "guarded",
    description: "",
    parameters,
    ...(strict === undefined ? {} : { strict }),
    execute: () => "",
  });
  return defineToolInputGuardrail<Context>({
    name: "proof402 receipt",
    run: async ({ toolCall }) => {
      const refused = await lookAt(held, required, argumentsIn(toolCall));
      if (refused === null) return ToolGuardrailFunctionOutputFactory.allow();
      return ToolGuardrailFunctionOutputFactory.throwException({ error: refused.error });
    },
  });
}

function argumentsIn({ arguments: text }: { arguments: string }): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return null;
  }
}

type Details = { signal?: AbortSignal };
type Asks<Context> = (context: RunContext<Context>, input: unknown, callId?: string) => Promise<boolean>;

/** Refusals: the tool's function was not called. */
const refusals = new WeakSet<object>();

const told = (_context: unknown, error: unknown): string =>
  typeof error === "object" && error !== null && refusals.has(error) ? (error as Error).message : failureText(error);

/** What the model reads once a call took longer than `timeoutMs`. The function goes on. */
const timedOut = (): string => failureText("it took longer than its time, and may still be at work.");

/** Given to the reader's own call: calls at the same time have one each. */
type Reading = { take: (value: unknown) => void };

function readDefinition<Context>(given: Definition<Context>) {
  if ("invoke" in given || typeof given.execute !== "function")
    throw new Proof402Error("guard_tool", "A tool that was made already reads its arguments after they were judged.", {
      next: "Give the guard what the SDK's `tool` takes: name, description, parameters and execute.",
    });
  const definition = { ...given };
  // Read as the SDK reads: it has rules of its own for optional fields in strict schemas.
  const { strict } = definition;
  const reader = tool({
    name: definition.name ?? definition.execute.name,
    description: definition.description,
    parameters: definition.parameters as never,
    ...(strict === undefined ? {} : { strict }),
    errorFunction: null,
    execute: (value: unknown, _context: unknown, details: unknown) => {
      (details as Reading).take(value);
      return "";
    },
  });
  const {
    name,
    parameters: schema,
    strict: isStrict,
  } = reader as { name: string; parameters: JsonSchema; strict: boolean };
  return { definition, name, schema, strict: isStrict, guardedSchema: plainId(withReceiptId(name, schema)), read };

  async function read(args: unknown, problem?: { misfit: string | null }): Promise<{ value: unknown } | null> {
    let parsed: { value: unknown } | null = null;
    const reading: Reading = { take: (value) => (parsed = { value }) };
    try {
      await (reader as FunctionTool).invoke(new RunContext(), JSON.stringify(args), reading as object);
    } catch {
      // The SDK's own error says nothing of the fields, unless its logs may.
      if (problem !== undefined) problem.misfit = misfitOf(issuesIn(definition.parameters, args));
    }
    return parsed;
  }
}

/** Zod's error about arguments that do not fit. */
const issuesIn = (parameters: unknown, args: unknown): unknown =>
  typeof parameters === "object" && parameters !== null && "safeParse" in parameters
    ? (parameters as ZodType).safeParse(args).error
    : null;

/** OpenAI's strict schemas know no lengths of texts. */
function plainId(schema: JsonSchema): JsonSchema {
  const properties = schema["properties"] as Record<string, { type: string; description: string }>;
  const { type, description } = properties["receipt_id"] ?? {};
  return { ...schema, properties: { ...properties, receipt_id: { type, description } } };
}
