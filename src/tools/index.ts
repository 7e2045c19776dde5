/**
 * proof402/tools: the tools an agent sees, and what a surface needs to offer them. `proof402/mcp` is made from this entry.
 * It loads no database, no wallet and no network client: the buyer is opened by the caller, at the first call.
 *
 * @module
 */
import { buyInference } from "./buy-inference.ts";
import type { ToolDefinition } from "./definition.ts";
import { getReceipt } from "./get-receipt.ts";
import { listModels } from "./list-models.ts";
import { spending } from "./spending.ts";
import { verifyReceipt } from "./verify-receipt.ts";

/** Every tool an agent sees, in the order surfaces show them. */
export const tools = [
  listModels,
  buyInference,
  getReceipt,
  verifyReceipt,
  spending,
] satisfies readonly ToolDefinition[];

export { buyInference, listModels, spending, verifyReceipt };
export { pendingApproval } from "../buyer/pending-approval.ts";
export { Proof402Error } from "../errors.ts";
export { exactArgumentsText } from "../evidence/exact-json.ts";
export { VERSION } from "../version.ts";
export { callDigest, invalidInput, readArguments } from "./call.ts";
export {
  toolErrorSchema,
  type ToolContext,
  type ToolDefinition,
  type ToolError,
  type ToolOutcome,
} from "./definition.ts";
export { inputSchema } from "./input-schema.ts";
export { outcomeOf } from "./outcome.ts";
