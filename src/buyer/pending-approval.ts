import { Proof402Error } from "../errors.ts";
import type { ApprovalRequest } from "./types.ts";

/**
 * The question that a call ended with (`approval_pending`), or null for anything else that was thrown.
 *
 * @example
 * ```ts
 * import { openBuyer, pendingApproval } from "proof402";
 *
 * await using buyer = await openBuyer();
 * try {
 *   await buyer.buy("eth-risk", { features: [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8] }, { approve: async () => "ask_later" });
 * } catch (thrown) {
 *   const question = pendingApproval(thrown);
 *   if (question === null) throw thrown;
 *   process.stdout.write(`Pay ${question.amount} to ${question.payTo}?`);
 * }
 * ```
 */
export const pendingApproval = (thrown: unknown): ApprovalRequest | null =>
  Proof402Error.isInstance(thrown) && thrown.code === "approval_pending"
    ? (thrown.details["question"] as ApprovalRequest)
    : null;
