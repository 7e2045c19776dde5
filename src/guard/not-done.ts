import { Proof402Error } from "../errors.ts";

/** Errors that one guard has heeded. Passed on through an outer action, they say nothing of the outer one. */
const heeded = new WeakSet<Proof402Error>();

/**
 * An action's own word that it surely did not happen and never will: throw it from the action's function. The claim is
 * `failed` then, and the same receipt justifies the same action again. Anything else thrown leaves the claim `undecided`.
 *
 * @example
 * ```ts
 * import { notDone } from "proof402";
 *
 * const submit = async (order: string): Promise<string> => {
 *   if (order === "") throw notDone("The order is empty, so nothing was sent.");
 *   return `sent ${order}`;
 * };
 * ```
 */
export const notDone = (message: string, options: { cause?: unknown } = {}): Proof402Error =>
  new Proof402Error("action_not_done", message, {
    next: "The receipt justifies the same action again: same tool, same arguments.",
    ...options,
  });

/** Whether an error is the action's own word, once. */
export function isNotDone(error: unknown): error is Proof402Error {
  if (!Proof402Error.isInstance(error) || error.code !== "action_not_done" || heeded.has(error)) return false;
  heeded.add(error);
  return true;
}
