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

/** The owner's pages of payments that wait, each by the id it waits under. */
export type PaymentPages = {
  /** The address of a payment's page, until unix ms. Its holder answers for the owner. An earlier address of the payment ends. */
  address(id: string, endsAt: number): string;
  /** Ends a payment's address, and the sessions begun by it. */
  end(id: string): void;
};

/** Opens the owner's pages of payments. Null if there are none to open. */
export type ApprovalPage = () => Promise<PaymentPages | null>;

/** A question to a person: in the client's own form, or on the page of the payment that waits under `id`. */
export type Question = { request: ApprovalRequest; page: { id: string; url: string } | null };

/** A person's answer. `opened` if they went to the page of the payment under `id`, and answer there. */
export type Answer = { decision: ApprovalDecision } | { opened: string };

/**
 * The sealed content of a question, carried through the client: the call it belongs to, its key, the exact terms asked about, and the
 * id of the payment with a page.
 */
type Asked = { call: string; asked: string; idempotencyKey: string; page: string | null };

const KEY = "approval";
const answerSchema = z.object({ approve: z.boolean() });
const LIFETIME_SECONDS = 600;

/**
 * The person's answer to a question, and whether that was the present one. `read` throws Proof402Error `approval_failed` for an
 * answer that cannot be read.
 */
export type Answered = { isPresent: boolean; page: string | null; read: () => Answer };

/**
 * Asks for approvals over MCP in both eras: `input_required` results, or elicitation pushed to clients of 2025. A
 * failing question ends the call like every other failure: with its money and its key.
 */
export type Approvals = {
  codec: RequestStateCodec<Asked>;
  /** The answer this round of the call came with, if it is one to a question about the same tool and arguments. */
  answered(
    context: ServerContext,
    call: string,
  ): { idempotencyKey: string; to(request: ApprovalRequest): Answered } | null;
  ask(question: Question, call: string): Promise<InputRequiredResult>;
  /**
   * Asks a client of 2025 while the call waits. `done` tells it that the page was answered. Throws Proof402Error
   * `approval_failed`.
   */
  push(
    server: McpServer,
    context: ServerContext,
    question: Question,
  ): Promise<{ answer: Answer; done: () => Promise<void> }>;
};

const questionOf = ({ request, page }: Question) =>
  page === null
    ? inputRequired.elicit({ message: request.message, requestedSchema: answerSchema })
    : inputRequired.elicitUrl({ message: `${request.message} ${ON_PAGE}`, url: page.url });

const ON_PAGE =
  "The page shows what is bought, and takes the answer. Its address is good once, for this payment alone.";

/** Reads a client's answer. A closed question decides nothing: the person may be asked again. */
function answerIn(answers: unknown, request: ApprovalRequest, page: string | null): Answer {
  const answer = inputResponse(answers as Parameters<typeof inputResponse>[0], KEY);
  if (answer.kind === "elicit" && answer.action === "cancel") return { decision: "cancelled" };
  if (answer.kind === "elicit" && answer.action !== "accept") return { decision: "declined" };
  // Consent to open the page approves nothing: the page does.
  if (answer.kind === "elicit" && page !== null) return { opened: page };
  const content = answerSchema.safeParse(answer.kind === "elicit" ? answer.content : undefined);
  if (!content.success) throw failed(request, "The client's answer to the question about this payment cannot be read.");
  return { decision: content.data.approve ? "approved" : "declined" };
}

const failed = ({ idempotencyKey }: ApprovalRequest, message: string, cause?: unknown): Proof402Error =>
  new Proof402Error("approval_failed", message, {
    idempotencyKey,
    next: "No approval of it stands. Call again with this idempotency_key where a person can be asked.",
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
        to: (request) => ({
          isPresent: request.digest === state.asked,
          page: state.page,
          read: () => answerIn(mcpReq.inputResponses, request, state.page),
        }),
      };
    },
    async ask(question, call) {
      const { idempotencyKey, digest } = question.request;
      const page = question.page?.id ?? null;
      return inputRequired({
        inputRequests: { [KEY]: questionOf(question) },
        requestState: await codec.mint({ call, asked: digest, idempotencyKey, page }),
      });
    },
    async push({ server }, { mcpReq }, question) {
      const { request, page } = question;
      const options = { relatedRequestId: mcpReq.id, signal: mcpReq.signal, timeout: LIFETIME_SECONDS * 1000 };
      const elicitationId = crypto.randomUUID();
      const { method, params } = questionOf(question);
      const mode = page === null ? { mode: "form" as const } : { mode: "url" as const, elicitationId };
      const answers = await server
        .request({ method, params: { ...params, ...mode } }, options)
        .catch((error: unknown) => {
          throw failed(request, "The client could not ask a person about this payment.", error);
        });
      return {
        answer: answerIn({ [KEY]: answers }, request, page?.id ?? null),
        done: async () => {
          if (page === null) return;
          const complete = { method: "notifications/elicitation/complete", params: { elicitationId } } as const;
          // A client that has gone away needs no word of it.
          await mcpReq.notify(complete).catch(() => undefined);
        },
      };
    },
  };
}
