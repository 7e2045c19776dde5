import { asSchema, jsonSchema, type Schema, type Tool, type ToolExecutionOptions } from "ai";
import * as z from "zod";
import { Proof402Error } from "../errors.ts";
import { withReceiptId, type JsonSchema } from "../guard/fields.ts";
import { runGuarded, type GuardedTool } from "../guard/guard.ts";
import { readRequirement, type GuardOptions } from "../guard/requirement.ts";
import {
  failureOf,
  guardedDescription,
  misfitOf,
  readAlone,
  refusalError,
  withoutReceiptId,
} from "../guard/surface.ts";
import { queued } from "./queued.ts";

/** The arguments of a guarded tool. */
export type WithReceiptId<Input> = Input & { receipt_id: string };

/**
 * Wraps a tool of the AI SDK so that it only runs with a verified receipt for its arguments; see `guard` of `proof402`. The
 * model gives one more argument, `receipt_id`. `bind` and `execute` get one frozen value: the arguments read once by the
 * tool's schema. `name` is the tool's name on the record and in refusals. A refusal is thrown as Proof402Error: the SDK
 * gives its message to the model as the tool's error. What the function throws is the `cause` of an error with the advice not
 * to call again: it may have happened. `actionCall(options)` in `execute` gives the idempotency key.
 *
 * A function that streams its output may do so; abandoning the stream stops nothing. `needsApproval` is asked before the
 * receipt is judged, with arguments read for the question alone.
 *
 * Throws Proof402Error `guard_schema` for a schema that is not of an object or has a `receipt_id` already, `guard_tool` for
 * a tool without a function here (its provider or its client runs it) or with hooks on its input, and `guard_options`.
 *
 * @example
 * ```ts
 * import { tool } from "ai";
 * import { openBuyer } from "proof402";
 * import { guardTool } from "proof402/ai";
 * import * as z from "zod";
 *
 * const buyer = await openBuyer();
 * const trade = tool({
 *   description: "Trades ETH.",
 *   inputSchema: z.object({ side: z.enum(["hold", "sell"]) }),
 *   execute: ({ side }) => `sold: ${side}`,
 * });
 * const guarded = guardTool("execute_trade", trade, {
 *   buyer,
 *   assurance: "attested",
 *   maxAge: 60,
 *   bind: ({ args, answer }) => args["side"] === (Number(answer["risk"]) > 0.8 ? "sell" : "hold"),
 * });
 * ```
 */
export function guardTool<Input, Output>(
  name: string,
  inner: Tool<Input, Output>,
  options: GuardOptions,
): Tool<WithReceiptId<Input>, Output> {
  const required = readRequirement(options);
  const held = readInner(name, inner as unknown as Tool);
  const { execute, own, needsApproval, toModelOutput, inputExamples } = held;

  const guarded = (schema: JsonSchema, given: ToolExecutionOptions, tell: (output: unknown) => void) => {
    let misfit: string | null = null;
    const tool: GuardedTool = {
      name,
      schema,
      async read(args) {
        const read = await readBy(own, args);
        if ("value" in read) return read;
        misfit = misfitOf(read.error);
        return null;
      },
      async run(args, proof402) {
        const output = execute(args, { ...given, proof402 } as ToolExecutionOptions);
        if (!isAsyncIterable(output)) return output;
        let last: unknown;
        for await (const part of output) tell((last = part));
        return last;
      },
      outcomeOf: (result) => result,
    };
    return { tool, misfit: () => misfit };
  };
  const run = async (
    input: unknown,
    given: ToolExecutionOptions,
    tell: (output: unknown) => void,
  ): Promise<unknown> => {
    const { tool, misfit } = guarded(await held.judged(), given, tell);
    const outcome = await runGuarded(tool, required, input, given.abortSignal).catch((error: unknown) => {
      throw given.abortSignal?.aborted === true ? error : failureOf(error);
    });
    if ("error" in outcome) throw refusalError(name, outcome, misfit());
    return outcome.result;
  };

  return {
    ...held.kept,
    description: guardedDescription(inner.description ?? "", required),
    inputSchema: held.shown,
    execute: held.streams
      ? (input: unknown, given: ToolExecutionOptions) => queued((tell) => run(input, given, tell))
      : (input: unknown, given: ToolExecutionOptions) => run(input, given, () => undefined),
    ...(inputExamples === undefined
      ? {}
      : { inputExamples: inputExamples.map(({ input }) => ({ input: { ...input, receipt_id: "p402_..." } })) }),
    ...(typeof needsApproval === "function"
      ? {
          needsApproval: async (input: unknown, asked: ToolExecutionOptions) => {
            const read = await readAlone(guarded(await held.judged(), asked, () => undefined).tool, input);
            // What cannot be read is refused when it is to run.
            return read === null || needsApproval(read.value, asked);
          },
        }
      : { needsApproval }),
    ...(toModelOutput === undefined
      ? {}
      : {
          toModelOutput: (made: { toolCallId: string; input: unknown; output: unknown }) =>
            toModelOutput({ ...made, input: withoutReceiptId(made.input) }),
        }),
  } as unknown as Tool<WithReceiptId<Input>, Output>;
}

/** A tool without the types of its input and output: the guard reads both as data. */
type Untyped = {
  execute(input: unknown, options: ToolExecutionOptions): unknown;
  needsApproval?: boolean | ((input: unknown, options: ToolExecutionOptions) => boolean | PromiseLike<boolean>);
  toModelOutput?: (made: { toolCallId: string; input: unknown; output: unknown }) => unknown;
  inputExamples?: { input: object }[];
};

/** Fields of a tool that say something of it, and run nothing. */
const KEPT = ["type", "title", "providerOptions", "metadata", "strict", "outputSchema"] as const;
const HOOKS = ["onInputStart", "onInputDelta", "onInputAvailable"] as const;

function readInner(name: string, inner: Tool) {
  if (typeof name !== "string" || !/^\S.{0,127}$/u.test(name))
    throw unfit("A guarded tool needs a name.", "Give its name first.");
  if (inner.type === "provider" || typeof inner.execute !== "function")
    throw unfit(
      `"${name}" has no function here: its provider or its client runs it, with arguments that nothing judged.`,
      "Guard a tool with an execute function.",
    );
  const hook = HOOKS.find((one) => inner[one] !== undefined);
  if (hook !== undefined)
    throw unfit(
      `"${name}" has ${hook}, and that runs before a receipt is judged.`,
      `Take it off; if it does nothing but show, set it on the guarded tool: { ...guardTool(...), ${hook} }.`,
    );
  const own = asSchema(inner.inputSchema) as Schema;
  const untyped = inner as unknown as Untyped;
  const { needsApproval, inputExamples } = untyped;
  const schema = schemaAtOnce(inner.inputSchema, own);
  if (schema !== null) withReceiptId(name, schema);
  return {
    own,
    execute: untyped.execute.bind(inner),
    streams: isGenerator(inner.execute),
    needsApproval: typeof needsApproval === "function" ? needsApproval.bind(inner) : needsApproval,
    toModelOutput: untyped.toModelOutput?.bind(inner),
    inputExamples,
    kept: Object.fromEntries(
      KEPT.flatMap((field) => (field in inner ? [[field, (inner as Record<string, unknown>)[field]]] : [])),
    ),
    /** The schema by which the arguments are reduced and read. */
    judged: async (): Promise<JsonSchema> => schema ?? ((await own.jsonSchema) as JsonSchema),
    /** The schema that the model sees. It only describes: the guard reads the arguments. */
    shown: jsonSchema(async () => withReceiptId(name, (await own.jsonSchema) as JsonSchema)),
  };
}

/** JSON Schema of what the model writes, or null if it is not known yet. Of zod's schemas it leaves out no open object. */
function schemaAtOnce(inputSchema: unknown, own: Schema): JsonSchema | null {
  if (inputSchema instanceof z.ZodType) return z.toJSONSchema(inputSchema, { io: "input", unrepresentable: "any" });
  const known = own.jsonSchema;
  return "then" in known ? null : (known as JsonSchema);
}

/** As the SDK applies a tool's schema: one without a validator takes anything. */
async function readBy({ validate }: Schema, args: unknown): Promise<{ value: unknown } | { error: unknown }> {
  if (validate === undefined) return { value: args };
  const read = await validate(args);
  return read.success ? { value: read.value } : { error: read.error };
}

const isAsyncIterable = (value: unknown): value is AsyncIterable<unknown> =>
  typeof value === "object" && value !== null && Symbol.asyncIterator in value;

const isGenerator = (execute: object): boolean =>
  Object.prototype.toString.call(execute) === "[object AsyncGeneratorFunction]";

const unfit = (message: string, next: string): Proof402Error => new Proof402Error("guard_tool", message, { next });
