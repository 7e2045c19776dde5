import { isDeepStrictEqual } from "node:util";
import * as z from "zod";
import type { ApprovalDecision, ApprovalRequest } from "../buyer/types.ts";
import { Proof402Error } from "../errors.ts";

/** The tool call that a question is about. */
export type AskedCall = { name: string; args: Record<string, unknown> };

/** An answer, and whether the person saw this very question when they gave it. */
export type Answered = { answer: unknown; toThis: boolean };

/**
 * An answer that names its question by `digest`, as the interrupt's value holds it. Of another question it counts as
 * missing. The other form is LangChain's own, `{ decisions: [{ type: "approve" }] }`.
 */
export type ApprovalAnswer = { decision: "approve" | "decline"; digest: string };

/**
 * The interrupt's value: LangChain's `HITLRequest` about the tool call, beside what the payment is. The type is written out,
 * because the package `langchain` need not be installed.
 */
type Question = ApprovalRequest & {
  type: "proof402/approval";
  actionRequests: { name: string; args: Record<string, unknown>; description: string }[];
  reviewConfigs: { actionName: string; allowedDecisions: ("approve" | "reject")[] }[];
};
export const questionOf = (request: ApprovalRequest, { name, args }: AskedCall): Question => ({
  type: "proof402/approval",
  ...request,
  actionRequests: [{ name, args, description: request.message }],
  reviewConfigs: [{ actionName: name, allowedDecisions: ["approve", "reject"] }],
});

const named = z.object({ decision: z.enum(["approve", "decline"]), digest: z.string() });
const decision = z.discriminatedUnion("type", [
  z.object({ type: z.literal("approve") }),
  z.object({ type: z.literal("reject"), message: z.string().nullish() }),
  z.object({
    type: z.literal("edit"),
    editedAction: z.object({ name: z.string(), args: z.record(z.string(), z.unknown()) }),
  }),
]);
/** LangChain's `HITLResponse`, of the one action that was asked about. */
const decided = z.object({ decisions: z.tuple([decision]) });

/**
 * What the person decided. `ask_later` where they answered another question: the offer has changed since. Throws
 * Proof402Error `approval_unreadable`.
 */
export function decisionOf(
  { answer, toThis }: Answered,
  request: ApprovalRequest,
  { name, args }: AskedCall,
): ApprovalDecision {
  const byName = named.safeParse(answer);
  if (byName.success) {
    if (byName.data.digest !== request.digest) return "ask_later";
    return byName.data.decision === "approve" ? "approved" : "declined";
  }
  const read = decided.safeParse(answer);
  if (!read.success)
    throw unreadable(
      request,
      'It is none of { decisions: [{ type: "approve" }] } and { decisions: [{ type: "reject" }] }.',
    );
  if (!toThis) return "ask_later";
  const [one] = read.data.decisions;
  if (one.type === "reject") return "declined";
  // The payment was asked about as it stands: arguments edited after that would be another purchase.
  if (one.type === "edit" && !isDeepStrictEqual(one.editedAction, { name, args }))
    throw unreadable(request, "It changes the arguments, and a payment is approved or rejected as it was asked about.");
  return "approved";
}

/** What the person wrote beside a refusal, or null. */
export function remarkIn(answer: unknown): string | null {
  const read = decided.safeParse(answer);
  const [one] = read.success ? read.data.decisions : [];
  return one?.type === "reject" && one.message ? one.message : null;
}

const unreadable = ({ idempotencyKey }: ApprovalRequest, why: string): Proof402Error =>
  new Proof402Error("approval_unreadable", `The answer about this payment cannot be used. ${why}`, {
    idempotencyKey,
    next: "Nothing was decided. Call again with the same idempotency key: the question is asked again.",
  });
