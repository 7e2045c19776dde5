/**
 * proof402/openai-agents: the tools for the OpenAI Agents SDK, and a guard that lets other tools act on verified receipts only.
 *
 * @module
 */
export type { GuardOptions } from "../guard/requirement.ts";
export { actionCall } from "../guard/surface.ts";
export { GUARDED_TOOLS } from "../tools/steering.ts";
export { guardTool, receiptGuardrail, type Definition } from "./guard.ts";
export { proof402Tools } from "./tools.ts";
export type { Proof402ToolsOptions } from "../tools/tool-set.ts";
