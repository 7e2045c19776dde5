import { randomBytes } from "node:crypto";
import {
  acceptedContent,
  createRequestStateCodec,
  inputRequired,
  type InputRequiredResult,
  type RequestStateCodec,
  type ServerContext,
} from "@modelcontextprotocol/server";
import { z } from "zod";
import type { ApprovalDecision, ApprovalRequest } from "../src/buyer/types.ts";

/** What a question carries through the client, sealed: the call it belongs to, its key, and what exactly was asked. */
type Asked = { call: string; asked: string; idempotencyKey: string };

const KEY = "approval";
const answerSchema = z.object({ approve: z.boolean() });
const LIFETIME_SECONDS = 600;

/** What the person's answer means for what is asked now. */
export type Decide = (request: ApprovalRequest) => ApprovalDecision;

/** Asks for approvals over MCP in both eras: `input_required` results, or elicitation pushed to clients of 2025. */
export type Approvals = {
  codec: RequestStateCodec<Asked>;
  /** The answer this round of the call came with, if it is one to a question about the same tool and arguments. */
  answered(context: ServerContext, call: string): { idempotencyKey: string; decide: Decide } | null;
  ask(request: ApprovalRequest, call: string): Promise<InputRequiredResult>;
};

/** State is sealed under a key of this process: what comes back changed, or from another process, is refused by the SDK. */
export function createApprovals(): Approvals {
  const codec = createRequestStateCodec<Asked>({ key: randomBytes(32), ttlSeconds: LIFETIME_SECONDS });
  return {
    codec,
    answered({ mcpReq }, call) {
      const state = mcpReq.requestState<Asked>();
      // An answer to a question about other arguments is none: the call starts over.
      if (state?.call !== call) return null;
      const answer = acceptedContent(mcpReq.inputResponses, KEY, answerSchema);
      return {
        idempotencyKey: state.idempotencyKey,
        // An answer to another offer than the present one is no answer: the person is asked again.
        decide: (request) =>
          request.digest !== state.asked ? "ask_later" : answer?.approve === true ? "approved" : "declined",
      };
    },
    async ask(request, call) {
      const { idempotencyKey } = request;
      return inputRequired({
        inputRequests: { [KEY]: inputRequired.elicit({ message: request.message, requestedSchema: answerSchema }) },
        requestState: await codec.mint({ call, asked: request.digest, idempotencyKey }),
      });
    },
  };
}
