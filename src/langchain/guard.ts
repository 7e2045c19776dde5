import { tool, type StructuredToolInterface } from "@langchain/core/tools";
import { toJsonSchema, type JSONSchema } from "@langchain/core/utils/json_schema";
import { interopSafeParseAsync, isInteropZodSchema } from "@langchain/core/utils/types";
import { z } from "zod";
import type { Buyer } from "../buyer/types.ts";
import { Proof402Error } from "../errors.ts";
import { ASSURANCES, type Appraisal, type Assurance, type Receipt } from "../receipts/schema.ts";
import { errorMessage, toolCallIdOf, type CallRuntime } from "./runtime.ts";

/** What a guard demands of a receipt before it lets a tool run. */
export type GuardOptions = {
  buyer: Buyer;
  /** Least assurance the receipt must have reached. */
  assurance: Exclude<Assurance, "none">;
  /** Oldest receipt accepted, seconds since the answer was received. */
  maxAge: number;
  /**
   * Whether the bought answer justifies these arguments: what the tool's own schema makes of them, without `receipt_id`.
   * True allows; false or a reason refuses. It is the only link between answer and action, so it should compare every
   * argument that matters, and the receipt's model and request where the question matters too.
   */
  bind: (call: {
    args: Record<string, unknown>;
    /** What was asked. Compare it with what is known of the world: an agent could buy the answer it wants with invented inputs. */
    input: Record<string, unknown>;
    answer: Record<string, unknown>;
    receipt: Receipt;
  }) => boolean | string;
  /** Accept receipts whose hardware is simulated. Only for development. */
  allowSimulated?: boolean;
  /** For tests. */
  clock?: () => Date;
};

/** Every guard claims under one purpose, so that a receipt justifies one action in all, whatever tool takes it. */
const PURPOSE = "guard";

/**
 * Wraps a tool so that it only runs with a verified receipt that justifies its arguments. The wrapped tool takes one more
 * argument, `receipt_id`. The receipt is appraised anew, must be recent and bound to the arguments, and is consumed:
 * durably and across processes it allows one action, also where the tool then fails. The check sits around the tool
 * itself, so no agent, subagent or parallel call gets past it. Refusals are returned as error messages and the tool does
 * not run.
 *
 * Throws Proof402Error `guard_schema` for a tool whose schema is not an object or has a `receipt_id` already, and
 * `guard_options` for options that would not guard.
 */
export function guardTool(inner: StructuredToolInterface, options: GuardOptions): StructuredToolInterface {
  checkOptions(options);
  return tool(
    async (input: Record<string, unknown>, runtime: CallRuntime) => {
      const { receipt_id: id, ...args } = input;
      const refusal = await refuse(inner, options, {
        id: typeof id === "string" ? id : "",
        args,
        signal: runtime.signal,
      });
      if (refusal !== null)
        return errorMessage(runtime, inner.name, `${refusal.text} ${inner.name} was not run.`, {
          status: "error",
          error: refusal.error,
        });
      // Arguments as they came: the tool's schema is applied once, by the tool. The runtime brings state, store and writer.
      const callId = toolCallIdOf(runtime);
      if (callId === null) return (await inner.invoke(args, runtime)) as unknown;
      return (await inner.invoke({ type: "tool_call", id: callId, name: inner.name, args }, runtime)) as unknown;
    },
    {
      name: inner.name,
      description: `${inner.description} Needs receipt_id: a verified proof402 receipt (assurance ${options.assurance}) whose answer justifies the arguments. Each receipt allows one action.`,
      schema: guardedSchema(inner),
      returnDirect: inner.returnDirect,
      // Says which argument is wrong, so that the model can correct it.
      verboseParsingErrors: true,
      tags: ["proof402", "guarded"],
    },
  ) as unknown as StructuredToolInterface;
}

/** A misspelt option must not turn into a guard that lets everything pass: callers are not always type-checked. */
function checkOptions({ assurance, maxAge, bind }: GuardOptions): void {
  const wrong = (field: string, what: string): Proof402Error =>
    new Proof402Error("guard_options", `${field} of a guard must be ${what}.`, { next: "Correct the option." });
  if (!ASSURANCES.includes(assurance) || (assurance as Assurance) === "none")
    throw wrong("assurance", "signed, attested or proven");
  if (!(Number.isFinite(maxAge) && maxAge > 0)) throw wrong("maxAge", "a positive number of seconds");
  if (typeof bind !== "function") throw wrong("bind", "a function");
}

type ObjectSchema = { type?: unknown; properties?: Record<string, unknown>; required?: string[] };

/**
 * The tool's schema as JSON Schema, with `receipt_id`. JSON Schema only checks, so that transforms and defaults of a zod
 * schema are applied once.
 */
function guardedSchema({ name, schema }: StructuredToolInterface): JSONSchema {
  const own = (
    schema instanceof z.ZodType ? z.toJSONSchema(schema, { io: "input", unrepresentable: "any" }) : toJsonSchema(schema)
  ) as ObjectSchema;
  const { type, properties = {}, required = [] } = own;
  if (type !== "object" || "receipt_id" in properties) {
    throw new Proof402Error(
      "guard_schema",
      `The schema of "${name}" must be of an object without a field receipt_id.`,
      { next: "Define the tool's schema as an object." },
    );
  }
  const receiptId = {
    type: "string",
    minLength: 1,
    maxLength: 64,
    description: "Id of the verified receipt that justifies this",
  };
  return {
    ...own,
    properties: { ...properties, receipt_id: receiptId },
    required: [...required, "receipt_id"],
  } as JSONSchema;
}

type Refusal = { text: string; error: { code: string; message: string; money: "not-moved"; next: string } };

const refusal = (code: string, message: string, next: string): Refusal => ({
  text: `Refused (${code}): ${message} ${next}`,
  error: { code, message, money: "not-moved", next },
});

async function refuse(
  inner: StructuredToolInterface,
  options: GuardOptions,
  { id, args, signal }: { id: string; args: Record<string, unknown>; signal: AbortSignal | undefined },
): Promise<Refusal | null> {
  const buyAgain = `Buy again with buy_inference and assurance "${options.assurance}", wait until it is verified, then use the new receipt.`;
  try {
    const read = await readAsTool(inner, args);
    if (read === null)
      return refusal("invalid_input", "The arguments do not fit the tool's schema.", "Correct them and call again.");
    const receipt = await options.buyer.getReceipt(id);
    const appraisal = await options.buyer.verify(receipt, { assurance: options.assurance });
    const unfit = judge(options, receipt, appraisal, buyAgain);
    if (unfit !== null) return unfit;
    const bound = options.bind({
      args: read,
      input: options.buyer.inputOf(receipt),
      answer: options.buyer.answerOf(receipt),
      receipt,
    });
    if (bound !== true) {
      return refusal(
        "receipt_not_bound",
        `The receipt does not justify these arguments${typeof bound === "string" ? `: ${bound}` : ""}.`,
        "Use arguments that follow from the bought answer.",
      );
    }
    // A call that nobody waits for any more must not act.
    signal?.throwIfAborted();
    // Last, so that a refusal for another reason does not use the receipt up.
    if (await options.buyer.claimReceipt(id, PURPOSE)) return null;
    return refusal("receipt_consumed", "The receipt has justified an action already.", buyAgain);
  } catch (error) {
    if (Proof402Error.isInstance(error)) return refusal(error.code, error.message, error.next);
    // A bind function that throws has not said yes.
    return refusal("guard_error", "The receipt could not be checked.", buyAgain);
  }
}

/** The arguments as the tool will see them, or null where its schema refuses them. */
async function readAsTool(
  { schema }: StructuredToolInterface,
  args: Record<string, unknown>,
): Promise<Record<string, unknown> | null> {
  if (!isInteropZodSchema(schema)) return args;
  const parsed = await interopSafeParseAsync<Record<string, unknown>>(schema as never, args);
  return parsed.success ? parsed.data : null;
}

function judge(options: GuardOptions, receipt: Receipt, appraisal: Appraisal, buyAgain: string): Refusal | null {
  if (appraisal.verdict === "pending") {
    return refusal(
      "receipt_pending",
      "The receipt is not verified yet.",
      `Call get_receipt with id ${receipt.id} and wait_seconds 30, then try again.`,
    );
  }
  const reached = ASSURANCES.indexOf(appraisal.assurance) >= ASSURANCES.indexOf(options.assurance);
  if (appraisal.verdict !== "verified" || !reached)
    return refusal(
      "receipt_not_verified",
      `The receipt's verdict is ${appraisal.verdict} with assurance ${appraisal.assurance}.`,
      buyAgain,
    );
  if (appraisal.simulated && options.allowSimulated !== true) {
    return refusal("receipt_simulated", "The receipt's hardware is simulated.", "Use a seller on real hardware.");
  }
  const age = ((options.clock?.() ?? new Date()).getTime() - Date.parse(receipt.core.response.receivedAt)) / 1000;
  if (age > options.maxAge || age < -60)
    return refusal(
      "receipt_too_old",
      `The receipt is ${Math.round(age)} s old; at most ${options.maxAge} s are accepted.`,
      buyAgain,
    );
  return null;
}
