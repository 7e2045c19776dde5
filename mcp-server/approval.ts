import { randomBytes } from "node:crypto";
import {
  createRequestStateCodec,
  inputRequired,
  inputResponse,
  type InputRequiredResult,
  type McpServer,
  type RequestStateCodec,
  type ServerContext,
} from "@modelcontextprotocol/server";
import * as z from "zod";
import type { ApprovalDecision, ApprovalRequest } from "proof402";
import { Proof402Error } from "proof402/tools";

/**
 * The sealed content of a question, carried through the client: the call it belongs to, its key, and the exact terms
 * asked about.
 */
type Asked = { call: string; asked: string; idempotencyKey: string };

const KEY = "approval";
const answerSchema = z.object({ approve: z.boolean() });
const LIFETIME_SECONDS = 600;

/**
 * Reads the person's answer to the present question. Throws Proof402Error `approval_failed` where it cannot be read.
 */
export type Decide = (request: ApprovalRequest) => ApprovalDecision;

/**
 * Asks for approvals over MCP in both eras: `input_required` results, or elicitation pushed to clients of 2025. A
 * failing question ends the call like every other failure: with its money and its key.
 */
export type Approvals = {
  codec: RequestStateCodec<Asked>;
  /** The answer this round of the call came with, if it is one to a question about the same tool and arguments. */
  answered(context: ServerContext, call: string): { idempotencyKey: string; decide: Decide } | null;
  ask(request: ApprovalRequest, call: string): Promise<InputRequiredResult>;
  /** Asks a client of 2025 while the call waits. Throws Proof402Error `approval_failed`. */
  push(server: McpServer, context: ServerContext, request: ApprovalRequest): Promise<ApprovalDecision>;
};

const questionOf = ({ message }: ApprovalRequest) => inputRequired.elicit({ message, requestedSchema: answerSchema });

/** Reads a client's answer. A closed question decides nothing: the person may be asked again. */
function decisionIn(answers: unknown, request: ApprovalRequest): ApprovalDecision {
  const answer = inputResponse(answers as Parameters<typeof inputResponse>[0], KEY);
  if (answer.kind === "elicit" && answer.action === "cancel") return "cancelled";
  if (answer.kind === "elicit" && answer.action !== "accept") return "declined";
  const content = answerSchema.safeParse(answer.kind === "elicit" ? answer.content : undefined);
  if (!content.success) throw failed(request, "The client's answer to the question about this payment cannot be read.");
  return content.data.approve ? "approved" : "declined";
}

const failed = ({ idempotencyKey }: ApprovalRequest, message: string, cause?: unknown): Proof402Error =>
  new Proof402Error("approval_failed", message, {
    idempotencyKey,
    next: "Nothing was approved. Call again with this idempotency_key where a person can be asked.",
    cause,
  });

/** State is sealed under a key of this process: what comes back changed, or from another process, is refused by the SDK. */
export function createApprovals(): Approvals {
  const codec = createRequestStateCodec<Asked>({ key: randomBytes(32), ttlSeconds: LIFETIME_SECONDS });
  return {
    codec,
    answered({ mcpReq }, call) {
      const state = mcpReq.requestState<Asked>();
      // An answer to a question about other arguments is none: the call starts over.
      if (state?.call !== call) return null;
      return {
        idempotencyKey: state.idempotencyKey,
        // An answer to another offer than the present one is no answer: the person is asked again.
        decide: (request) =>
          request.digest === state.asked ? decisionIn(mcpReq.inputResponses, request) : "ask_later",
      };
    },
    async ask(request, call) {
      const { idempotencyKey } = request;
      return inputRequired({
        inputRequests: { [KEY]: questionOf(request) },
        requestState: await codec.mint({ call, asked: request.digest, idempotencyKey }),
      });
    },
    async push({ server }, { mcpReq }, request) {
      const options = { relatedRequestId: mcpReq.id, signal: mcpReq.signal, timeout: LIFETIME_SECONDS * 1000 };
      const { method, params } = questionOf(request);
      const answer = await server
        .request({ method, params: { ...params, mode: "form" } }, options)
        .catch((error: unknown) => {
          throw failed(request, "The client could not ask a person about this payment.", error);
        });
      return decisionIn({ [KEY]: answer }, request);
    },
  };
}
