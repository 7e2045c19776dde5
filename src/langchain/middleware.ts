import { ToolMessage, type SystemMessage } from "@langchain/core/messages";
import type { AgentMiddleware, InterruptOnConfig } from "langchain";
import * as z from "zod";
import type { Buyer } from "../buyer/types.ts";
import { ASSURANCES, VERDICTS } from "../receipts/schema.ts";
import { createBudget, type Budget } from "../tools/budget.ts";
import { buyInference } from "../tools/buy-inference.ts";
import { readArguments } from "../tools/call.ts";
import { GUARDED_TOOLS } from "../tools/steering.ts";
import { goesOn } from "./runtime.ts";
import { openThread, openThreads, UNBOUND, type Thread } from "./threads.ts";
import { watched, type Watch } from "./watch.ts";

/** What the middleware watches over. */
export type Proof402MiddlewareOptions = {
  buyer: Buyer;
  /** The most that one run may spend, in US dollars, its nested agents included. A run goes from a message to its answer. */
  maxUsdPerRun?: number | undefined;
  /** The most that all runs of a thread may spend, in US dollars. Without a `thread_id` each run is a thread. */
  maxUsdPerThread?: number | undefined;
};

const harvested = z.object({
  id: z.string(),
  model: z.string(),
  seller: z.string(),
  verdict: z.enum(VERDICTS),
  assurance: z.enum(ASSURANCES),
  at: z.string(),
});
/** A receipt in an agent's state. */
export type HarvestedReceipt = z.infer<typeof harvested>;

/** Private: LangChain takes no key with `_` from a caller and gives none back. Without defaults, which would empty a thread's. */
const stateSchema = z.object({
  _receipts: z.record(z.string(), harvested).optional(),
  _spent: z.record(z.string(), z.object({ usd: z.string(), run: z.string() })).optional(),
  _run: z.string().optional(),
});
type State = z.infer<typeof stateSchema>;

/** Most receipts that a model is told of: the newest. */
const SHOWN = 8;
/** Most receipts that a state keeps: the newest. The buyer's database has them all. */
const MAX_RECEIPTS = 256;
/** Most runs that are held in memory. One that was dropped is read from its state again. */
const MAX_RUNS = 1000;

/**
 * A middleware for LangChain's agents and deep agents. It tells the model how guarded tools are called and which receipts
 * the thread has, keeps those receipts in private state (`_receipts`: each judged again by the buyer, and none believed
 * from a message or from a caller), and holds purchases by `createProof402Tools` to a budget for each run and thread.
 * A purchase counts before it is signed; nested agents count to the run that called them, with or without a middleware of
 * their own. What a tool throws becomes an error message, as without any middleware.
 *
 * It is no guard: `guardTool` is, around the tool itself.
 *
 * Throws Proof402Error `invalid_max_usd` for a budget that is no amount of dollars.
 *
 * @example
 * ```ts
 * import { openBuyer } from "proof402";
 * import { createProof402Tools, proof402Middleware } from "proof402/langchain";
 *
 * await using buyer = await openBuyer();
 * const tools = createProof402Tools({ buyer });
 * const middleware = [proof402Middleware({ buyer, maxUsdPerRun: 0.05, maxUsdPerThread: 0.5 })];
 * ```
 */
export function proof402Middleware(options: Proof402MiddlewareOptions): AgentMiddleware {
  const { buyer } = options;
  openRun(options, "", openThread(options.maxUsdPerThread));
  const runs = new Map<string, Run>();
  const runOf = (state: State, runtime: Runtime): Run => {
    const id = state._run ?? "";
    const known = runs.get(id) ?? openRun(options, id, openThreads(buyer, options.maxUsdPerThread, threadIn(runtime)));
    known.thread.merge(state._spent ?? {});
    known.ofRun.take(known.thread.countedBy(id));
    runs.set(id, known);
    const [oldest] = runs.keys();
    if (runs.size > MAX_RUNS && oldest !== undefined) runs.delete(oldest);
    return known;
  };
  const made = {
    [Symbol.for("AgentMiddleware")]: true,
    name: "proof402",
    stateSchema,
    beforeAgent: () => ({ _run: crypto.randomUUID() }),
    beforeModel: (state: State, runtime: Runtime) => writtenDown(runOf(state, runtime), state),
    afterAgent(state: State, runtime: Runtime) {
      const run = runOf(state, runtime);
      runs.delete(run.id);
      return writtenDown(run, state);
    },
    async wrapModelCall(request: Request, handler: (request: Request) => unknown) {
      if (!request.tools.some(({ name }) => name === "buy_inference")) return handler(request);
      const told = await toldOf(buyer, runOf(request.state, request.runtime), request.state);
      const text = ["", GUARDED_TOOLS, ...told].join("\n\n");
      return handler({ ...request, systemMessage: request.systemMessage.concat(text) });
    },
    async wrapToolCall(request: Called, handler: (request: Called) => Promise<unknown>) {
      const { budgets, receipts } = runOf(request.state, request.runtime);
      const watch: Watch = {
        budgets,
        async seen(id) {
          const found = await readAgain(buyer, id);
          if (found !== null) receipts.set(id, found);
        },
      };
      try {
        return await watched(watch, () => handler(request));
      } catch (error) {
        return failed(request, error);
      }
    },
  };
  return made as unknown as AgentMiddleware;
}

type Runtime = { configurable?: Record<string, unknown>; config?: { configurable?: Record<string, unknown> } };
type Request = { state: State; runtime: Runtime; tools: { name?: unknown }[]; systemMessage: SystemMessage };
type Called = {
  state: State;
  toolCall: { id?: string; name: string };
  runtime: Runtime & { signal?: AbortSignal };
};

const threadIn = ({ configurable, config }: Runtime): unknown =>
  configurable?.["thread_id"] ?? config?.configurable?.["thread_id"];

/** A run in memory: its budgets, and the receipts that its state does not have yet. */
type Run = {
  id: string;
  budgets: Budget[];
  ofRun: Budget;
  thread: Thread;
  receipts: Map<string, HarvestedReceipt>;
};

function openRun(
  { maxUsdPerRun, maxUsdPerThread }: Omit<Proof402MiddlewareOptions, "buyer">,
  id: string,
  thread: Thread,
): Run {
  const ofRun = createBudget(maxUsdPerRun ?? UNBOUND, "this run's budget");
  const counts = maxUsdPerRun !== undefined || maxUsdPerThread !== undefined;
  return { id, budgets: counts ? [ofRun, thread.budgetFor(id)] : [], ofRun, thread, receipts: new Map() };
}

/** What a run has to add to its state, or nothing: its receipts, and all purchases of its thread. */
function writtenDown({ id, ofRun, thread, receipts }: Run, state: State): Partial<State> | undefined {
  const { _receipts = {}, _spent = {} } = state;
  const mine = ofRun.counted();
  const all = Object.fromEntries(
    [...thread.counted()].map(([key, one]) => [key, mine.has(key) ? { ...one, run: id } : one]),
  );
  const differs = [...Object.keys(all), ...Object.keys(_spent)].some(
    (key) => all[key]?.usd !== _spent[key]?.usd || all[key]?.run !== _spent[key]?.run,
  );
  if (receipts.size === 0 && !differs) return undefined;
  return {
    _receipts: Object.fromEntries(
      Object.entries({ ..._receipts, ...Object.fromEntries(receipts) }).slice(-MAX_RECEIPTS),
    ),
    ...(differs ? { _spent: all } : {}),
  };
}

/** What a model is told of: the newest receipts as the buyer judges them now, without those it lacks, and its budgets. */
async function toldOf(buyer: Buyer, { budgets, receipts }: Run, { _receipts = {} }: State): Promise<string[]> {
  const all = Object.values({ ..._receipts, ...Object.fromEntries(receipts) });
  const newest = all.toSorted((a, b) => (a.at < b.at ? -1 : 1)).slice(-SHOWN);
  const judged = await Promise.all(newest.map(({ id }) => readAgain(buyer, id)));
  const lines = judged
    .filter((one) => one !== null)
    .map(({ id, model, verdict, assurance, at }) => `${id}: ${model}, ${verdict} (${assurance}), answered ${at}`);
  const left = budgets.flatMap((one, at) =>
    Number(one.maxUsd) < UNBOUND
      ? [`Budget of this ${at === 0 ? "run" : "thread"}: $${one.spentUsd()} of $${one.maxUsd} used.`]
      : [],
  );
  return [...(lines.length === 0 ? [] : [`Receipts of this thread:\n${lines.join("\n")}`]), ...left];
}

/** A receipt as the buyer's own database has it and its verifier judges it now. */
async function readAgain(buyer: Buyer, id: string): Promise<HarvestedReceipt | null> {
  try {
    const receipt = await buyer.getReceipt(id);
    const { verdict, assurance } = await buyer.verify(receipt);
    const { request, seller, response } = receipt.core;
    return { id, model: request.model, seller: seller.id, verdict, assurance, at: response.receivedAt };
  } catch {
    // Not stored, as the tool's own result says.
    return null;
  }
}

/** A tool's error as LangChain writes it for a model. Interrupts and the end of the run go on. */
function failed({ toolCall, runtime }: Called, error: unknown): ToolMessage {
  if (goesOn(error, runtime.signal)) throw error;
  const { id: tool_call_id = "", name } = toolCall;
  return new ToolMessage({
    status: "error",
    content: `${String(error)}\n Please fix your mistakes.`,
    name,
    tool_call_id,
  });
}

/**
 * For `interruptOn` of LangChain's `humanInTheLoopMiddleware`: asks a person before `buy_inference` unless the model bounded
 * the call by `max_usd` at this amount or less. The policy's own `approveAbove` goes by the price and asks besides.
 *
 * @example
 * ```ts
 * import { interruptOnSpending } from "proof402/langchain";
 *
 * const interruptOn = { ...interruptOnSpending({ aboveUsd: 0.05 }) };
 * // humanInTheLoopMiddleware({ interruptOn })
 * ```
 */
export const interruptOnSpending = ({ aboveUsd }: { aboveUsd: number }): { buy_inference: InterruptOnConfig } => ({
  buy_inference: {
    allowedDecisions: ["approve", "reject"],
    // Read as the tool itself reads them. What it refuses needs no answer.
    when: ({ toolCall }) => {
      const read = readArguments(buyInference, toolCall.args);
      return read.ok && !(Number(read.args["max_usd"] ?? Infinity) <= aboveUsd);
    },
    description: ({ args: given }) => {
      const read = readArguments(buyInference, given);
      const { model, seller, max_usd: most } = read.ok ? read.args : given;
      const from = seller === undefined ? "" : ` from ${String(seller)}`;
      const price = most === undefined ? "for any price that the policy allows" : `for at most $${String(most)}`;
      return `Buy one inference of ${String(model)}${from}, ${price}?`;
    },
  },
});
