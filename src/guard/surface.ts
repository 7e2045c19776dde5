import { Proof402Error } from "../errors.ts";
import type { Spends } from "../buyer/action-types.ts";
import { fix } from "./arguments.ts";
import { namedOnly } from "./fields.ts";
import type { ActionCall, GuardedTool } from "./guard.ts";
import type { Refusal } from "./judge.ts";
import type { Requirement } from "./requirement.ts";

/** A tool's description with what its guard asks for. */
export const guardedDescription = (description: string, { assurance, spends }: Requirement): string =>
  `${description} Needs receipt_id: a verified proof402 receipt (assurance ${assurance}) whose answer justifies the arguments. ${allows(spends)}`.trimStart();

const allows = (spends: Spends): string =>
  spends === "once"
    ? "Each receipt allows one action."
    : `Each receipt allows ${spends.times} actions of the kind ${spends.kind}.`;

/** A refusal as an error. Its message alone is complete for a model. */
export const refusalError = (
  name: string,
  { text, error, thrown }: Refusal,
  misfit: string | null = null,
): Proof402Error =>
  new Proof402Error(error.code, `${text}${misfit === null ? "" : ` ${misfit}`} ${name} was not run.`, {
    next: error.next,
    money: error.money,
    cause: thrown,
  });

/** What a guarded tool's function threw, in words for a model: a new receipt would let it act again. */
export const failureText = (error: unknown): string =>
  `The tool failed: ${String(error)} Whether it did anything is not known: do not call it again, with this receipt or a new one, before its owner decided what became of it.`;

/** The same as an error; `cause` is what was thrown. */
export const failureOf = (cause: unknown): Error => new Error(failureText(cause), { cause });

/** What of the arguments does not fit, by field and without their values, as a schema's issues say it; null for any other error. */
export function misfitOf(error: unknown): string | null {
  const issues: unknown = typeof error === "object" && error !== null && "issues" in error ? error.issues : undefined;
  if (!Array.isArray(issues)) return null;
  const told = (issues as { path?: unknown; message?: unknown }[]).slice(0, 10).map(({ path, message }) => {
    const at = Array.isArray(path) ? path.map(String).join(".") : "";
    return `${at || "arguments"}: ${typeof message === "string" ? message : "does not fit"}`;
  });
  return told.join("; ");
}

/** Where a tool's function finds its call, in the options that its framework hands it. */
export type WithActionCall = { proof402: ActionCall };

/**
 * The guarded call in the options of a tool's function: hand its idempotency key on. Throws Proof402Error `guard_tool`
 * outside a guarded call.
 *
 * @example
 * ```ts
 * import { tool } from "ai";
 * import { actionCall } from "proof402/ai";
 * import * as z from "zod";
 *
 * const pay = tool({
 *   inputSchema: z.object({ amount: z.string() }),
 *   execute: ({ amount }, options) => `paid ${amount} as ${actionCall(options).idempotencyKey}`,
 * });
 * ```
 */
export function actionCall(options: unknown): ActionCall {
  const call =
    typeof options === "object" && options !== null ? (options as Partial<WithActionCall>).proof402 : undefined;
  if (call !== undefined) return call;
  throw new Proof402Error("guard_tool", "These options are of no guarded call.", {
    next: "Call the tool through its guard.",
  });
}

/** The arguments as a guard reads them, for a question before they are judged; null if they do not fit. The guard reads again. */
export async function readAlone(
  { schema, read }: Pick<GuardedTool, "schema" | "read">,
  input: unknown,
): Promise<{ value: unknown } | null> {
  try {
    const found = await read(structuredClone(namedOnly(fix(withoutReceiptId(input)), schema)));
    return found === null ? null : { value: fix(found.value) };
  } catch {
    return null;
  }
}

/** The arguments of a guarded call without its receipt's id, as a tool's own code beside its function takes them. */
export function withoutReceiptId(input: unknown): unknown {
  if (typeof input !== "object" || input === null || Array.isArray(input)) return input;
  const { receipt_id: _receipt, ...own } = input as Record<string, unknown>;
  return own;
}

/** The receipt that a call names, or an empty text. */
export function receiptIdOf(input: unknown): string {
  const id = typeof input === "object" && input !== null && "receipt_id" in input ? input.receipt_id : undefined;
  return typeof id === "string" ? id : "";
}
