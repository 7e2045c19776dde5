/**
 * proof402/langchain: the tools for LangChain.js agents, and a guard that lets other tools act on verified receipts only.
 *
 * @module
 */
export type { GuardOptions } from "../guard/requirement.ts";
export type { Proof402Metadata } from "./chat/answer.ts";
export { ChatProof402, type ChatProof402Fields } from "./chat/model.ts";
export type { ChatProof402CallOptions } from "./chat/options.ts";
export { guardTool } from "./guard.ts";
export {
  interruptOnSpending,
  proof402Middleware,
  type HarvestedReceipt,
  type Proof402MiddlewareOptions,
} from "./middleware.ts";
export type { ApprovalAnswer } from "./human.ts";
export { createProof402Tools, type Proof402Tools, type Proof402ToolsOptions } from "./tools.ts";
