import { createHash, randomBytes } from "node:crypto";
import { acceptedContent, createRequestStateCodec, inputRequired, type InputRequiredResult, type RequestStateCodec, type ServerContext } from "@modelcontextprotocol/server";
import { z } from "zod";
import { canonicalJson } from "../src/evidence/canonical.ts";
import type { ApprovalDecision, ApprovalRequest } from "../src/buyer/types.ts";

/** What a question carries through the client, sealed: which call it belongs to and what exactly was asked. */
type Asked = { tool: string; args: string; digest: string; idempotencyKey: string };

const KEY = "approval";
const answerSchema = z.object({ approve: z.boolean() });
const LIFETIME_SECONDS = 600;

/** Asks for approvals over MCP in both eras: `input_required` results, or elicitation pushed to clients of 2025. */
export type Approvals = {
  codec: RequestStateCodec<Asked>;
  /** The answer this round of the call came with, if it is one to a question about the same tool and arguments. */
  answered(context: ServerContext, tool: string, args: unknown): { idempotencyKey: string; decide: (request: ApprovalRequest) => ApprovalDecision } | null;
  ask(request: ApprovalRequest, call: { tool: string; args: unknown; idempotencyKey: string }): Promise<InputRequiredResult>;
};

/** State is sealed under a key of this process: what comes back changed, or from another process, is refused by the SDK. */
export function createApprovals(): Approvals {
  const codec = createRequestStateCodec<Asked>({ key: randomBytes(32), ttlSeconds: LIFETIME_SECONDS });
  return {
    codec,
    answered(context, tool, args) {
      const asked = context.mcpReq.requestState<Asked>();
      if (asked === undefined || asked.tool !== tool || asked.args !== digestOf(args)) return null;
      const answer = acceptedContent(context.mcpReq.inputResponses, KEY, answerSchema);
      return {
        idempotencyKey: asked.idempotencyKey,
        // An answer to another offer than the present one is no answer: the person is asked again.
        decide: (request) => (request.digest !== asked.digest ? "ask_later" : answer?.approve === true ? "approved" : "declined"),
      };
    },
    async ask(request, { tool, args, idempotencyKey }) {
      return inputRequired({
        inputRequests: { [KEY]: inputRequired.elicit({ message: request.message, requestedSchema: answerSchema }) },
        requestState: await codec.mint({ tool, args: digestOf(args), digest: request.digest, idempotencyKey }),
      });
    },
  };
}

const digestOf = (args: unknown): string => createHash("sha256").update(canonicalJson(args)).digest("hex");
