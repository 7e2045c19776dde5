import type {
  CallToolResult,
  InputRequiredResult,
  McpRequestContext,
  McpServer,
  RequestId,
  ServerContext,
} from "@modelcontextprotocol/server";
import type { ApprovalRequest, Buyer, ClientBudget } from "proof402";
import {
  callDigest,
  invalidInput,
  outcomeOf,
  pendingApproval,
  readArguments,
  type ToolContext,
  type ToolDefinition,
  type ToolOutcome,
} from "proof402/tools";
import type { ApprovalPage, Approvals } from "./approval.ts";
import { askingOf } from "./asking.ts";
import type { Log } from "./logging.ts";

/** What an MCP server of proof402 is made from. */
export type Proof402ServerOptions = {
  /** Opens the buyer at the first call in need of it: a client waits for nothing while it lists tools. */
  buyer: () => Promise<Buyer>;
  /** The client of this connection with its own budget. Absent: the payment policy alone bounds it. */
  client?: ClientBudget | undefined;
  /**
   * Opens the owner's page of one payment: gives its address by the id it waits under, or null. The holder of the address answers for
   * the owner: only for a client on the owner's own machine. Absent: persons are asked in the client's own forms.
   */
  approvalPage?: ApprovalPage | undefined;
  /** Aborted once the server ends: calls then say what became of their money, and stop. */
  closing?: AbortSignal | undefined;
};

/** Answers one `tools/call`, in one round or more. */
export type Caller = (
  definition: ToolDefinition,
  args: unknown,
  context: ServerContext,
) => Promise<CallToolResult | InputRequiredResult>;

/** Everything here belongs to one connection. */
export function createCaller(
  options: Proof402ServerOptions & { approvals: Approvals; server: McpServer; era: McpRequestContext["era"]; log: Log },
): Caller {
  const { client, closing } = options;
  // JSON-RPC ids are unique within a connection, so this names one request of one connection.
  const connection = crypto.randomUUID();
  /** How far each request has got: it is run again after a question, and progress may only grow. */
  const reached = new Map<RequestId, number>();

  return async (definition, given, context) => {
    const keyed = withKey(definition, given, context);
    if ("failure" in keyed) return resultOf(keyed.failure);
    const read = readArguments(definition, keyed.given);
    if (!read.ok) return resultOf(read.failure);
    const { args } = read;
    // Of what is run: what a host adds to the arguments names no other call.
    const digest = digestOf(definition.name, args, client?.name);
    if (digest === null) return resultOf(invalidInput(definition, [{ path: [], message: "must be plain JSON data" }]));
    const { id } = context.mcpReq;
    const progress = progressOf(context, reached);
    const asking = askingOf(options, { context, call: digest, waiting: progress?.waiting });
    const outcome = await outcomeOf(async () =>
      definition.run(
        {
          buyer: await options.buyer(),
          signal: whileThere(context, closing),
          client,
          callKey: `mcp-${callDigest([connection, id, digest])}`,
          idempotencyKey: asking.idempotencyKey,
          approve: asking.approve,
          progress: progress?.report,
        },
        args,
      ),
    ).catch(questionIn);
    await progress?.sent();
    if (!("status" in outcome)) return asking.end(outcome);
    reached.delete(id);
    await options.log(context, definition.name, outcome);
    return resultOf(outcome);
  };
}

/** A call's idempotency key beside its arguments, for hosts that keep it from the model. */
const KEY = "proof402/idempotency-key";

/** The arguments with the key in `_meta`. One that differs from the argument's is refused: a call has one key. */
function withKey(
  definition: ToolDefinition,
  given: unknown,
  { mcpReq }: ServerContext,
): { given: unknown } | { failure: ToolOutcome<unknown> } {
  const key: unknown = mcpReq._meta?.[KEY];
  if (key === undefined || !("idempotency_key" in definition.input.shape)) return { given };
  const refused = (message: string) => ({
    failure: invalidInput(definition, [{ path: [`_meta["${KEY}"]`], message }]),
  });
  // Any other text would read as no key at all, and each repeat would be paid.
  if (typeof key !== "string" || !/^[\x21-\x7e]{8,128}$/.test(key))
    return refused("must be 8 to 128 printable ASCII characters without spaces");
  const args: Readonly<Record<string, unknown>> = typeof given === "object" && given !== null ? { ...given } : {};
  const { idempotency_key: own } = args;
  if (own !== undefined && own !== null && own !== "" && own !== key) return refused("differs from idempotency_key");
  return { given: { ...args, idempotency_key: key } };
}

function questionIn(error: unknown): ApprovalRequest {
  const question = pendingApproval(error);
  if (question === null) throw error;
  return question;
}

/**
 * Ends with the request, and with the client's connection: an answer that no client reads is not told, so an equal call takes it
 * up. Before the payment is sent the call stops.
 */
function whileThere({ mcpReq, http }: ServerContext, closing: AbortSignal | undefined): AbortSignal {
  const others = [http?.req?.signal, closing].filter((signal) => signal !== undefined);
  return others.length === 0 ? mcpReq.signal : AbortSignal.any([mcpReq.signal, ...others]);
}

/**
 * sha256(JCS) of tool, arguments and client, hex: what an answer to a question is bound to. Null for text that is no Unicode.
 */
function digestOf(tool: string, args: unknown, client: string | undefined): string | null {
  try {
    return callDigest(client === undefined ? [tool, args] : [tool, args, client]);
  } catch {
    return null;
  }
}

function resultOf(outcome: ToolOutcome<unknown>): CallToolResult {
  const content: CallToolResult["content"] = [{ type: "text", text: outcome.text }];
  if (outcome.status === "error") return { isError: true, content, structuredContent: { error: outcome.error } };
  return { content, structuredContent: outcome.data };
}

/** Progress for a client that asked for it: always growing, and on the wire before the result is. */
function progressOf(
  { mcpReq }: ServerContext,
  reached: Map<RequestId, number>,
): { report: NonNullable<ToolContext["progress"]>; waiting: () => void; sent: () => Promise<unknown> } | null {
  const progressToken = mcpReq._meta?.progressToken;
  if (progressToken === undefined) return null;
  const sending: Promise<void>[] = [];
  const report: NonNullable<ToolContext["progress"]> = ({ message, done, total }) => {
    if (done <= (reached.get(mcpReq.id) ?? 0)) return;
    reached.set(mcpReq.id, done);
    const params = { progressToken, progress: done, message, ...(total === undefined ? {} : { total }) };
    // A client that has gone away must not stop a purchase that is under way.
    sending.push(mcpReq.notify({ method: "notifications/progress", params }).catch(() => undefined));
  };
  let waited = 0;
  return {
    report,
    // Ever nearer to the next step, and never there.
    waiting() {
      waited += 1;
      const done = Math.floor(reached.get(mcpReq.id) ?? 0) + waited / (waited + 1);
      report({ message: "Waits for the owner's answer on its page.", done });
    },
    sent: () => Promise.all(sending),
  };
}
