import {
  CLIENT_CAPABILITIES_META_KEY,
  type InputRequiredResult,
  type McpRequestContext,
  type McpServer,
  type ServerContext,
} from "@modelcontextprotocol/server";
import type { ApprovalDecision, ApprovalRequest, OwnersWord } from "proof402";
import type { ToolContext } from "proof402/tools";
import type { Answer, ApprovalPage, Approvals, Question } from "./approval.ts";

/** How often a client hears that its call still waits for the page's answer, ms. */
const TELL_MS = 10_000;

/** How one round of a call has a person asked. */
export type Asking = {
  /** Absent if the client can ask no person. */
  approve: ToolContext["approve"];
  /** The key of the call that the person's answer is for. */
  idempotencyKey: string | undefined;
  /** The result that ends this round with a question, for clients of 2026. */
  end(request: ApprovalRequest): Promise<InputRequiredResult>;
};

/** What a connection asks with. */
type Means = {
  approvals: Approvals;
  server: McpServer;
  era: McpRequestContext["era"];
  approvalPage?: ApprovalPage | undefined;
};

/**
 * Asks by the owner's page if the client opens addresses and the owner lets it: the person reads there what is bought, and no client
 * answers for them. Other clients show their own form.
 */
export function askingOf(
  { approvals, server, era, approvalPage }: Means,
  { context, call, waiting }: { context: ServerContext; call: string; waiting: (() => void) | undefined },
): Asking {
  const answered = approvals.answered(context, call);
  const modes = modesOf(server, context);
  const openPage = modes.url ? approvalPage : undefined;
  let page: Question["page"] = null;

  const wait = async (owner: OwnersWord, id: string): Promise<ApprovalDecision> => {
    const timer = setInterval(() => waiting?.(), TELL_MS);
    try {
      return await owner.wait(id);
    } finally {
      clearInterval(timer);
    }
  };
  /** Ends the question on a page if the client's answer is any but to open it: no yes given there outlives the answer. */
  const ending = async (owner: OwnersWord, id: string | null, read: () => Promise<Answer>): Promise<Answer> => {
    const end = async (how: Parameters<OwnersWord["end"]>[1]): ReturnType<OwnersWord["end"]> => {
      if (id === null) return how === "declined" ? how : "cancelled";
      (await approvalPage?.())?.end(id);
      return owner.end(id, how);
    };
    const answer = await read().catch(async (error: unknown): Promise<Answer> => {
      if ((await end("withdrawn")) === "declined") return { decision: "declined" };
      throw error;
    });
    if ("opened" in answer || answer.decision === "approved") return answer;
    return { decision: await end(answer.decision === "declined" ? "declined" : "withdrawn") };
  };
  const approve: ToolContext["approve"] = async (request, owner) => {
    const given = answered?.to(request);
    if (given !== undefined) {
      const answer = await ending(owner, given.page, () => Promise.resolve(given.read()));
      // An answer to another offer than the present one is no answer: the person is asked again.
      if (given.isPresent) return "opened" in answer ? wait(owner, answer.opened) : answer.decision;
    }
    const pages = (await openPage?.()) ?? null;
    if (pages !== null) {
      const word = await owner.ask();
      if (word.kind !== "waits") return word.kind;
      page = { id: word.id, url: pages.address(word.id, word.endsAt) };
    } else if (!modes.form) return "leave";
    if (era === "modern") return "ask_later";
    let done = (): Promise<void> => Promise.resolve();
    const answer = await ending(owner, page?.id ?? null, async () => {
      const pushed = await approvals.push(server, context, { request, page });
      ({ done } = pushed);
      return pushed.answer;
    });
    if ("decision" in answer) return answer.decision;
    return wait(owner, answer.opened).finally(() => void done());
  };
  return {
    approve: modes.form || openPage !== undefined ? approve : undefined,
    idempotencyKey: answered?.idempotencyKey,
    end: (request) => approvals.ask({ request, page }, call),
  };
}

/** The ways a client can ask a person: declared per request since 2026-07-28, at initialisation before. */
function modesOf(server: McpServer, context: ServerContext): { form: boolean; url: boolean } {
  const envelope: Readonly<Record<string, unknown>> | undefined = context.mcpReq.envelope;
  // oxlint-disable-next-line typescript/no-deprecated -- clients of 2025 declare capabilities nowhere else
  const capabilities = envelope?.[CLIENT_CAPABILITIES_META_KEY] ?? server.server.getClientCapabilities();
  const elicitation =
    typeof capabilities === "object" && capabilities !== null && "elicitation" in capabilities
      ? capabilities.elicitation
      : null;
  if (typeof elicitation !== "object" || elicitation === null) return { form: false, url: false };
  const url = "url" in elicitation;
  // Before modes were named, an empty declaration meant forms.
  return { form: "form" in elicitation || !url, url };
}
