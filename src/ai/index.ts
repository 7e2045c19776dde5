/**
 * proof402/ai: the tools for Vercel's AI SDK, and a guard that lets other tools act on verified receipts only.
 *
 * @module
 */
export type { GuardOptions } from "../guard/requirement.ts";
export { actionCall } from "../guard/surface.ts";
export { GUARDED_TOOLS } from "../tools/steering.ts";
export { guardTool, type WithReceiptId } from "./guard.ts";
export { proof402Middleware } from "./middleware.ts";
export { proof402Tools, type Proof402Output } from "./tools.ts";
export type { Proof402ToolsOptions } from "../tools/tool-set.ts";
