/**
 * proof402: an agent buys an inference over HTTP 402 and gets a proof receipt that anyone can check offline.
 *
 * @module
 */
export { pendingApproval } from "./buyer/pending-approval.ts";
export { openBuyer, type OpenOptions } from "./buyer/open.ts";
export type {
  ApprovalDecision,
  ApprovalRequest,
  Buyer,
  BuyOptions,
  BuyResult,
  ModelView,
  QuorumResult,
  Spending,
  Warning,
} from "./buyer/types.ts";
export type { OwnersWord, Word } from "./buyer/owners-word.ts";
export type { Dissent, QuorumTerms, Tolerance } from "./buyer/quorum/terms.ts";
export type { DecisionInput } from "./buyer/decision-types.ts";
export { loadConfig } from "./config/load.ts";
export { configSchema, type Config, type ConfigInput } from "./config/schema.ts";
export { Proof402Error, type ErrorCode, type MoneyState } from "./errors.ts";
export { createEzklEngine } from "./ezkl/engine.ts";
export { withReceiptId, type JsonSchema } from "./guard/fields.ts";
export { guard, type Action, type Guarded } from "./guard/function.ts";
export type { ActionCall } from "./guard/guard.ts";
export { notDone } from "./guard/not-done.ts";
export type { GuardOptions } from "./guard/requirement.ts";
export { parseGuardConfig, type GuardConfig, type GuardedToolConfig, type NotDoneAnswer } from "./guard/tool-config.ts";
export { bindRulesSchema, parseRules, rulesText, type BindRules } from "./guard/rules.ts";
export type {
  ActionDecision,
  ActionRecord,
  ActionRequest,
  Actions,
  ClaimedAction,
  Spends,
} from "./buyer/action-types.ts";
export { formatUnits } from "./chain/amounts.ts";
export type { ClientBudget, ClientSpending } from "./payment/client-budget.ts";
export type { AssetSpending } from "./payment/types.ts";
export { loadWallet, type WalletFiles } from "./payment/load-wallet.ts";
export type { Account, TypedData, UnsignedTransaction } from "./payment/account.ts";
export { walletFromAccount, walletFromPrivateKey, type Wallet } from "./payment/wallet.ts";
export { serializeReport, type Report } from "./receipts/report-schema.ts";
export type { Decision } from "./receipts/decision-schema.ts";
export { createReceipt, parseReceipt, redactReceipt, serializeReceipt } from "./receipts/receipt.ts";
export {
  receiptSchema,
  type Appraisal,
  type Assurance,
  type Evidence,
  type Layer,
  type LayerResult,
  type Receipt,
  type Status,
  type Verdict,
} from "./receipts/schema.ts";
export { tools } from "./tools/index.ts";
export type { ToolContext, ToolDefinition, ToolError, ToolOutcome } from "./tools/definition.ts";
export { VERSION } from "./version.ts";
