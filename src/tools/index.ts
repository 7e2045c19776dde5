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
