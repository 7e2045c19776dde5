import {
  isInputRequiredResult,
  type JSONRPCRequest,
  type JSONRPCResponse,
  type JSONRPCResultResponse,
} from "@modelcontextprotocol/server";
import type { ActionCall, Buyer, GuardConfig, GuardedToolConfig } from "proof402";
import { Proof402Error } from "proof402/tools";
import type { ListedTool } from "./catalog.ts";
import { GUARD_META, metaOf, NOT_DONE_META, protocolMeta, resultOf, withoutGuardKeys } from "./messages.ts";

/** One call of a guarded tool, and the two ways in which it can be given up. */
export type GuardedCall = {
  request: JSONRPCRequest;
  tool: ListedTool;
  rule: GuardedToolConfig;
  config: Pick<GuardConfig, "server" | "questions">;
  buyer: Buyer;
  /** Aborted while the receipt is judged: the action does not begin. */
  judging: AbortSignal;
  /** Aborted by the client: the server is told, and what the action came to is not known. */
  cancelled: AbortSignal;
  forward(request: JSONRPCRequest, signal: AbortSignal): Promise<JSONRPCResponse>;
};

type End = { state: "done" | "failed" | "undecided"; call: ActionCall; answer: JSONRPCResponse | null; words: string };

/**
 * Answers a call: judges it, forwards exactly the judged arguments, and writes down what its answer says of the action.
 * Never rejects.
 */
export async function answerGuarded(given: GuardedCall): Promise<JSONRPCResultResponse> {
  const { request, tool, rule, config, buyer } = given;
  const params: Record<string, unknown> = { ...request.params };
  const unjudged = Object.keys(params).find((key) => !partsOf(config).includes(key));
  if (unjudged !== undefined) return refused(request, notJudged(unjudged));
  const read = argumentsIn(params["arguments"]);
  if (read === null) return refused(request, misfit("arguments must be an object"));
  const { receiptId, args } = read;
  const problem = await problemWith(args, tool);
  if (problem !== null) return refused(request, misfit(problem));

  // The store and the verifier come with it.
  const { guard, notDone } = await import("proof402");
  let end: End | null = null;
  const { notDone: proving, schema: _pin, ...required } = rule;
  try {
    const act = guard(
      {
        name: `${config.server}/${tool.name}`,
        async run(judged: Record<string, unknown>, call): Promise<unknown> {
          const forwarded = forwardedRequest(given, judged, call);
          if (given.cancelled.aborted) throw notDone("The call was cancelled before it was forwarded.");
          let answer: JSONRPCResponse;
          try {
            answer = await given.forward(forwarded, given.cancelled);
          } catch (error) {
            const words = error instanceof Error ? error.message : "The server did not answer.";
            end = { state: "undecided", call, answer: null, words };
            throw error;
          }
          end = endOf(answer, call, proving);
          if (end.state === "failed") throw notDone(end.words);
          if (end.state === "undecided") throw new Error(end.words);
          return "result" in answer ? answer.result : undefined;
        },
      },
      { ...required, buyer },
    );
    await act(args, { receiptId, signal: given.judging });
  } catch (error) {
    // What the action itself came to is told with the server's answer.
    if (end === null) return refused(request, error);
  }
  // oxlint-disable-next-line typescript/no-unnecessary-condition -- the closure above writes it
  return end === null ? refused(request, null) : ended(request, end, config);
}

/** The parts of a call that are heeded. A server's questions bring their answers with the next round of the call. */
const partsOf = ({ questions }: Pick<GuardConfig, "questions">): readonly string[] => [
  "name",
  "arguments",
  "_meta",
  ...(questions === "pass" ? ["inputResponses", "requestState"] : []),
];

function argumentsIn(value: unknown): { receiptId: string; args: Record<string, unknown> } | null {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    return value === undefined ? argumentsIn({}) : null;
  const { receipt_id: id, ...args } = value as Record<string, unknown>;
  return { receiptId: typeof id === "string" ? id : "", args };
}

/** What of the arguments the tool's own schema refuses. The server would refuse it too, after the receipt was used. */
async function problemWith(args: Record<string, unknown>, { inputSchema }: ListedTool): Promise<string | null> {
  try {
    const { CfWorkerJsonSchemaValidator } = await import("@modelcontextprotocol/server/validators/cf-worker");
    const { valid, errorMessage } = new CfWorkerJsonSchemaValidator().getValidator(inputSchema)(args);
    return valid ? null : errorMessage;
  } catch {
    return "the tool's schema cannot be applied";
  }
}

/** Exactly the judged arguments, and the keys of the claim. */
function forwardedRequest(
  { request, tool }: GuardedCall,
  args: Record<string, unknown>,
  { idempotencyKey, claimId, receiptId }: ActionCall,
): JSONRPCRequest {
  const { inputResponses, requestState, _meta: meta } = { ...request.params } as Record<string, unknown>;
  return {
    jsonrpc: "2.0",
    id: request.id,
    method: "tools/call",
    params: {
      name: tool.name,
      arguments: args,
      ...(inputResponses === undefined ? {} : { inputResponses }),
      ...(requestState === undefined ? {} : { requestState }),
      _meta: {
        ...protocolMeta(metaOf({ _meta: meta })),
        [GUARD_META.idempotencyKey]: idempotencyKey,
        [GUARD_META.claim]: claimId,
        [GUARD_META.receipt]: receiptId,
      },
    },
  };
}

/** Reads the end of an action off an answer. A plain result is done. Only the answers in `proving` are failures. */
function endOf(answer: JSONRPCResponse, call: ActionCall, proving: GuardedToolConfig["notDone"]): End {
  const bad = (kind: (typeof proving)[number], words: string): End => {
    const isMarked = "result" in answer && metaOf(answer.result)[NOT_DONE_META] === true;
    const proven = proving.includes(kind) || (isMarked && proving.includes("marked"));
    return { state: proven ? "failed" : "undecided", call, answer, words };
  };
  if ("error" in answer) return bad("protocol", `The server answered with an error: ${answer.error.message}`);
  const { result } = answer;
  if (isInputRequiredResult(result)) return bad("question", "The server asked a question in place of a result.");
  if (result["isError"] === true) return bad("error", `The server's result is an error: ${textOf(result["content"])}`);
  // A task, or a kind of result that this version does not know: its end is not seen.
  const type = result["resultType"];
  if ("task" in result || (type !== undefined && type !== "complete"))
    return { state: "undecided", call, answer, words: "The server's answer is no final result." };
  if (metaOf(result)[NOT_DONE_META] === true) return bad("marked", "The server says that it did nothing.");
  return { state: "done", call, answer, words: "" };
}

const textOf = (content: unknown): string =>
  Array.isArray(content)
    ? content.flatMap((one: { text?: unknown }) => (typeof one.text === "string" ? [one.text] : [])).join(" ")
    : "";

/** The server's result, with the guard's own word on it. */
function ended(
  request: JSONRPCRequest,
  end: End,
  { questions }: Pick<GuardConfig, "questions">,
): JSONRPCResultResponse {
  const { state, call, answer, words } = end;
  const outcome = {
    state,
    claim: call.claimId,
    receipt: call.receiptId,
    idempotency_key: call.idempotencyKey,
    ...(state === "done" ? {} : { next: NEXT[state](call) }),
  };
  const told = (result: Record<string, unknown>): JSONRPCResultResponse =>
    resultOf(request, { ...result, _meta: { ...metaOf(result), [GUARD_META.outcome]: outcome } });
  const result =
    answer !== null && "result" in answer ? withoutGuardKeys(answer.result as Record<string, unknown>) : null;
  if (result !== null && state === "done") return told(result);
  // The question itself is what the client needs.
  if (result !== null && isInputRequiredResult(result) && questions === "pass") return told(result);
  const said = Array.isArray(result?.["content"]) ? (result["content"] as unknown[]) : [];
  const first = { type: "text", text: `Guard (${state}): ${words.slice(0, 500)} ${NEXT[state](call)}` };
  return told({ content: [first, ...said], isError: true });
}

const NEXT = {
  done: () => "",
  failed: () => "The action did not happen: the same receipt justifies the same call again.",
  undecided: ({ claimId }: ActionCall) =>
    `Whether the action happened is not known (${claimId}). Do not call again and do not buy again for it before its owner decided: proof402 guard settle ${claimId} done|failed.`,
} as const;

const notJudged = (key: string): Proof402Error =>
  new Proof402Error("guard_call", `The call holds ${JSON.stringify(key.slice(0, 64))}, and no rule judges that.`, {
    next: "Call the tool with its name and arguments alone.",
  });

const misfit = (why: string): Proof402Error =>
  new Proof402Error("invalid_input", `The arguments do not fit the tool's schema: ${why.slice(0, 500)}.`, {
    next: "Correct them and call again.",
  });

/** A refusal as a result. It holds no structured content: a client would hold that to the tool's output schema. */
export function refused(request: JSONRPCRequest, error: unknown): JSONRPCResultResponse {
  const { code, message, next } = Proof402Error.isInstance(error)
    ? error
    : new Proof402Error("guard_error", "The call could not be judged.", { next: "Call again." });
  const told = { state: "refused", error: { code, message, money: "not-moved", next } };
  const text = `Refused (${code}): ${message} ${next} The tool was not run.`;
  return resultOf(request, { content: [{ type: "text", text }], isError: true, _meta: { [GUARD_META.outcome]: told } });
}
