import { ToolMessage } from "@langchain/core/messages";
import { tool, type StructuredToolInterface } from "@langchain/core/tools";
import { toJsonSchema, Validator } from "@langchain/core/utils/json_schema";
import { interopSafeParseAsync, isInteropZodSchema } from "@langchain/core/utils/types";
import * as z from "zod";
import { Proof402Error } from "../errors.ts";
import { withReceiptId, type JsonSchema } from "../guard/fields.ts";
import { runGuarded, type ActionCall, type GuardedTool } from "../guard/guard.ts";
import { refusal, type Refusal } from "../guard/judge.ts";
import { readRequirement, type GuardOptions } from "../guard/requirement.ts";
import { failureOf, guardedDescription } from "../guard/surface.ts";
import { readHostArguments } from "../tools/host-arguments.ts";
import { errorMessage, goesOn, readingFirst, toolCallIdOf, type CallRuntime } from "./runtime.ts";

/**
 * Wraps a tool so that it only runs with a verified receipt for its arguments. The wrapped tool takes one more
 * argument, `receipt_id`. The receipt is of this buyer's purchase, appraised again, recent and bound to the arguments.
 * Its purchase is consumed: durably and across processes it allows one action, also where the tool then fails. `bind`
 * and the tool's function get one frozen value: the arguments read once by the tool's schema, with the keys it names
 * and of plain data. Afterwards `buyer.claims` lists each receipt with the arguments it justified and the outcome. The
 * check sits around the tool itself, so no agent, subagent or parallel call gets past it. Refusals are returned as
 * error messages and the tool does not run. What the tool throws is the `cause` of an error with the advice not to call again. A tool that interrupts its graph has begun: ask a person before the guarded
 * tool is called, not within it.
 *
 * Throws Proof402Error `guard_schema` for a tool whose schema is not of objects or has a `receipt_id` already,
 * `guard_tool` for one not made by LangChain's `tool` or `StructuredTool`, and `guard_options` for options without
 * effect.
 *
 * @example
 * ```ts
 * import { tool } from "@langchain/core/tools";
 * import { openBuyer } from "proof402";
 * import { guardTool } from "proof402/langchain";
 * import * as z from "zod";
 *
 * const buyer = await openBuyer();
 * const trade = tool(async ({ side }) => `sold: ${side}`, {
 *   name: "execute_trade",
 *   description: "Trades ETH.",
 *   schema: z.object({ side: z.enum(["hold", "sell"]) }),
 * });
 * const guarded = guardTool(trade, {
 *   buyer,
 *   assurance: "attested",
 *   maxAge: 60,
 *   bind: ({ args, answer }) => args["side"] === (Number(answer["risk"]) > 0.8 ? "sell" : "hold"),
 * });
 * ```
 */
export function guardTool(inner: StructuredToolInterface, options: GuardOptions): StructuredToolInterface {
  const required = readRequirement(options);
  if (!hasFunction(inner)) {
    throw new Proof402Error("guard_tool", `"${inner.name}" has no function that can be called with judged arguments.`, {
      next: "Guard the tool that `tool` or a StructuredTool made, not a wrapper around it.",
    });
  }
  const schema = jsonSchemaOf(inner);
  const guarded = (runtime: CallRuntime): GuardedTool => ({
    name: inner.name,
    schema,
    read: (args) => readAsTool(inner, schema, args),
    run: (args, call) => callFunction(inner, args, withCall(runtime, call)),
    outcomeOf: (result) => (ToolMessage.isInstance(result) ? result.text : result),
  });
  const guardedSchema = withReceiptId(inner.name, schema);
  const refuse = ({ text, error }: Refusal, runtime: CallRuntime): ToolMessage =>
    errorMessage(runtime, inner.name, `${text} ${inner.name} was not run.`, { status: "error", error });
  const made = tool(
    async (input: Record<string, unknown>, runtime: CallRuntime) => {
      const outcome = nestsToolCall(runtime)
        ? NESTED
        : await runGuarded(guarded(runtime), required, input, runtime.signal).catch((error: unknown) => {
            throw goesOn(error, runtime.signal) ? error : failureOf(error);
          });
      return "error" in outcome ? refuse(outcome, runtime) : outcome.result;
    },
    {
      name: inner.name,
      description: guardedDescription(inner.description, required),
      schema: guardedSchema,
      returnDirect: inner.returnDirect,
      tags: ["proof402", "guarded"],
    },
  ) as unknown as StructuredToolInterface;
  return readingFirst(made, (given, runtime) => {
    const read = readGuarded(guardedSchema, given);
    return Array.isArray(read) ? { refusal: refuse(misfit(read), runtime) } : { args: read };
  });
}

/** The runtime with what the tool's function may hand on: its metadata hold the claim and its idempotency key. */
const withCall = (runtime: CallRuntime, { idempotencyKey, claimId, receiptId }: ActionCall): CallRuntime => ({
  ...runtime,
  metadata: {
    ...runtime.metadata,
    proof402_idempotency_key: idempotencyKey,
    proof402_claim: claimId,
    proof402_receipt: receiptId,
  },
});

/** The arguments as the schema takes them, or what of them does not fit. */
function readGuarded(schema: JsonSchema, given: unknown): Record<string, unknown> | string[] {
  const { $defs, definitions, properties } = schema;
  const fields = properties as JsonSchema | undefined;
  const takes = (name: string, value: unknown): boolean => {
    const alone: JsonSchema = { type: "object", properties: { [name]: fields?.[name] }, $defs, definitions };
    return new Validator(alone).validate({ [name]: value }).valid;
  };
  const args = readHostArguments(schema, takes, given);
  const { valid, errors } = new Validator(schema).validate(args);
  // A schema of an object takes nothing else.
  if (valid) return args as Record<string, unknown>;
  return [
    ...new Set(errors.map(({ instanceLocation, error }) => `${instanceLocation.slice(2) || "arguments"}: ${error}`)),
  ];
}

const misfit = (issues: readonly string[]): Refusal =>
  refusal(
    "invalid_input",
    `The arguments do not fit: ${issues.slice(0, 10).join(" ")}`,
    "Correct the named fields and call again.",
  );

/** What StructuredTool hands its arguments to, once they are parsed. */
type WithFunction = StructuredToolInterface & {
  _call(args: unknown, manager: unknown, config: CallRuntime): Promise<unknown>;
};

const hasFunction = (inner: StructuredToolInterface): inner is WithFunction =>
  "_call" in inner && typeof inner._call === "function";

/** JSON Schema of what the model writes: before transforms and defaults. */
const jsonSchemaOf = ({ schema }: StructuredToolInterface): JsonSchema =>
  schema instanceof z.ZodType ? z.toJSONSchema(schema, { io: "input", unrepresentable: "any" }) : toJsonSchema(schema);

/** As LangChain applies a tool's schema: zod of either version, else JSON Schema. */
async function readAsTool(
  { schema }: StructuredToolInterface,
  jsonSchema: JsonSchema,
  args: unknown,
): Promise<{ value: unknown } | null> {
  if (!isInteropZodSchema(schema)) return new Validator(jsonSchema).validate(args).valid ? { value: args } : null;
  const parsed = await interopSafeParseAsync(schema, args);
  return parsed.success ? { value: parsed.data } : null;
}

/**
 * Calls the tool's function with these very arguments, and has LangChain do the rest (callbacks, messages) by a stand-in
 * whose schema takes anything. LangChain reads any arguments with `type: "tool_call"` as a call and takes its `args`
 * instead, once: so they are handed over inside one.
 */
function callFunction(inner: WithFunction, args: unknown, runtime: CallRuntime): Promise<unknown> {
  const id = toolCallIdOf(runtime);
  const call = { type: "tool_call", name: inner.name, args, ...(id === null ? {} : { id }) };
  const standIn = Object.create(inner, {
    schema: { value: {} },
    _call: {
      value: (_same: unknown, manager: unknown, config: CallRuntime) =>
        inner._call(args, manager, { ...config, toolCall: id === null ? undefined : call } as CallRuntime),
    },
  }) as WithFunction;
  return standIn.invoke({ ...call, args: call }, runtime) as Promise<unknown>;
}

/** Whether the model wrote a call within its call, of which LangChain took the inner one for the arguments. */
const nestsToolCall = ({ toolCall }: CallRuntime): boolean => {
  const args: unknown = toolCall?.args;
  return typeof args === "object" && args !== null && "type" in args && args.type === "tool_call";
};
const NESTED = refusal(
  "invalid_input",
  "The arguments hold a tool call in place of the tool's fields.",
  "Give the tool's own fields and receipt_id.",
);
