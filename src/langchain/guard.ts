import { tool, type StructuredToolInterface } from "@langchain/core/tools";
import { z } from "zod";
import type { Buyer } from "../buyer/types.ts";
import { Proof402Error } from "../errors.ts";
import type { Appraisal, Assurance, Receipt } from "../receipts/schema.ts";
import { errorMessage, toolCallIdOf, type CallRuntime } from "./runtime.ts";

export type GuardOptions = {
  buyer: Buyer;
  /** Least assurance the receipt must have reached. */
  assurance: Exclude<Assurance, "none">;
  /** Oldest receipt accepted, seconds since the answer was received. */
  maxAge: number;
  /**
   * Whether the bought answer justifies these arguments (without `receipt_id`). True allows; false or a reason refuses.
   * It is the only link between answer and action, so it should compare every argument that matters.
   */
  bind: (call: { args: Record<string, unknown>; answer: Record<string, unknown>; receipt: Receipt }) => boolean | string;
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
 * durably and across processes it allows one action. The check sits around the tool itself, so no agent, subagent or
 * parallel call gets past it. Refusals are returned as error messages and the tool does not run.
 *
 * Throws Proof402Error `guard_schema` for a tool whose schema is not a zod object or that has a `receipt_id` already.
 */
export function guardTool(inner: StructuredToolInterface, options: GuardOptions): StructuredToolInterface {
  const schema = extendedSchema(inner);
  return tool(
    async (input: Record<string, unknown>, runtime: CallRuntime) => {
      const { receipt_id: id, ...args } = input;
      const refusal = await refuse(options, typeof id === "string" ? id : "", args);
      if (refusal !== null) return errorMessage(runtime, inner.name, `${refusal.text} ${inner.name} was not run.`, { status: "error", error: refusal.error });
      const callId = toolCallIdOf(runtime);
      const { config } = runtime;
      if (callId === null) return (await inner.invoke(args, config)) as unknown;
      return (await inner.invoke({ type: "tool_call", id: callId, name: inner.name, args }, config)) as unknown;
    },
    {
      name: inner.name,
      description: `${inner.description} Needs receipt_id: a verified proof402 receipt (assurance ${options.assurance}) whose answer justifies the arguments. Each receipt allows one action.`,
      schema,
      tags: ["proof402", "guarded"],
    },
  ) as unknown as StructuredToolInterface;
}

function extendedSchema(inner: StructuredToolInterface): z.ZodObject {
  const { schema } = inner;
  if (!(schema instanceof z.ZodObject) || "receipt_id" in schema.shape) {
    throw new Proof402Error("guard_schema", `The schema of "${inner.name}" must be a zod object without a field receipt_id.`, { next: "Define the tool's schema with zod." });
  }
  return schema.extend({ receipt_id: z.string().min(1).max(64).describe("Id of the verified receipt that justifies this") });
}

type Refusal = { text: string; error: { code: string; message: string; money: "not-moved"; next: string } };

const refusal = (code: string, message: string, next: string): Refusal => ({
  text: `Refused (${code}): ${message} ${next}`,
  error: { code, message, money: "not-moved", next },
});

async function refuse(options: GuardOptions, id: string, args: Record<string, unknown>): Promise<Refusal | null> {
  const buyAgain = `Buy again with buy_inference and assurance "${options.assurance}", wait until it is verified, then use the new receipt.`;
  try {
    const receipt = await options.buyer.getReceipt(id);
    const appraisal = await options.buyer.verify(receipt, { assurance: options.assurance });
    const unfit = judge(options, receipt, appraisal, buyAgain);
    if (unfit !== null) return unfit;
    const bound = options.bind({ args, answer: options.buyer.answerOf(receipt), receipt });
    if (bound !== true) {
      return refusal("receipt_not_bound", `The receipt does not justify these arguments${typeof bound === "string" ? `: ${bound}` : ""}.`, "Use arguments that follow from the bought answer.");
    }
    // Last, so that a refusal for another reason does not use the receipt up.
    if (await options.buyer.claimReceipt(id, PURPOSE)) return null;
    return refusal("receipt_consumed", "The receipt has justified an action already.", buyAgain);
  } catch (error) {
    if (Proof402Error.isInstance(error)) return refusal(error.code, error.message, error.next);
    // A bind function that throws has not said yes.
    return refusal("guard_error", "The receipt could not be checked.", buyAgain);
  }
}

function judge(options: GuardOptions, receipt: Receipt, appraisal: Appraisal, buyAgain: string): Refusal | null {
  if (appraisal.verdict === "pending") {
    return refusal("receipt_pending", "The receipt is not verified yet.", `Call get_receipt with id ${receipt.id} and wait_seconds 30, then try again.`);
  }
  if (appraisal.verdict !== "verified") return refusal("receipt_not_verified", `The receipt's verdict is ${appraisal.verdict}.`, buyAgain);
  if (appraisal.simulated && options.allowSimulated !== true) {
    return refusal("receipt_simulated", "The receipt's hardware is simulated.", "Use a seller on real hardware.");
  }
  const age = ((options.clock?.() ?? new Date()).getTime() - Date.parse(receipt.core.response.receivedAt)) / 1000;
  if (age > options.maxAge || age < -60) return refusal("receipt_too_old", `The receipt is ${Math.round(age)} s old; at most ${options.maxAge} s are accepted.`, buyAgain);
  return null;
}
