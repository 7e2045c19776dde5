import { Proof402Error } from "../errors.ts";
import { judgeBound } from "./bound.ts";
import { judge, refusal, type Refusal } from "./judge.ts";
import type { GuardedTool } from "./guard.ts";
import type { Requirement } from "./requirement.ts";
import { readAlone, receiptIdOf } from "./surface.ts";

/**
 * Judges a call as its guard would, and claims nothing: null if nothing speaks against it now. The guard itself judges again,
 * and the purchase can be used up by then.
 */
export async function lookAt(
  tool: Pick<GuardedTool, "schema" | "read">,
  required: Requirement,
  input: unknown,
): Promise<Refusal | null> {
  const { buyer, assurance } = required;
  try {
    const read = await readAlone(tool, input);
    if (read === null)
      return refusal("invalid_input", "The arguments do not fit the tool's schema.", "Correct them and call again.");
    const receipt = await buyer.getReceipt(receiptIdOf(input));
    const appraisal = await buyer.verify(receipt, { assurance });
    return judge(required, receipt, appraisal) ?? judgeBound(required, receipt, read.value);
  } catch (error) {
    if (Proof402Error.isInstance(error)) return refusal(error.code, error.message, error.next);
    return refusal("guard_error", "The receipt could not be checked.", "Call again.");
  }
}
