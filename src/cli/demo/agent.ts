import { tool, type ClientTool } from "@langchain/core/tools";
import { createAgent, ToolMessage } from "langchain";
import * as z from "zod";
import { readArguments } from "../../buyer/request.ts";
import type { Buyer, BuyArguments } from "../../buyer/types.ts";
import { newestAppraisal } from "../../receipts/newest.ts";
import { createProof402Tools, guardTool } from "../../langchain/index.ts";
import { formatUnits } from "../../chain/amounts.ts";
import type { Receipt, Verdict } from "../../receipts/schema.ts";
import { ACTION_OF_CLASS, DEMO_FEATURES } from "./case.ts";
import { demoModel } from "./model.ts";
import type { DemoReport } from "./report.ts";

export type DemoOutcome = {
  receipt: Receipt;
  verdict: Verdict;
  cheatCaught: boolean;
  cheatBlocked: boolean;
  traded: boolean;
  answerMs: number;
  checkedMs: number;
  settledMs: number;
};

/** Runs the agent and reports what it did. Throws when it ends without a receipt. */
export async function runDemoAgent(buyer: Buyer, report: DemoReport): Promise<DemoOutcome> {
  const seen = observe(buyer, report);
  let traded = false;
  const trade = tool(
    ({ action }: { action: string }) => {
      traded = true;
      report.line(`execute_trade(${action}) done: the guard found a verified receipt that justifies it`);
      return `Trade executed: ${action} ETH.`;
    },
    {
      name: "execute_trade",
      description: "Trade ETH on a risk class bought before.",
      schema: z.strictObject({ action: z.enum(ACTION_OF_CLASS) }),
    },
  );
  const guarded = guardTool(trade, {
    buyer: seen.buyer,
    assurance: "attested",
    maxAge: 300,
    // The market on this machine has no hardware; a real policy leaves this out.
    allowSimulated: true,
    bind: ({ args, input, answer, receipt }) =>
      receipt.core.request.model === "eth-risk" &&
      JSON.stringify(input["features"]) === JSON.stringify(DEMO_FEATURES) &&
      ACTION_OF_CLASS[classOf(answer)] === args["action"]
        ? true
        : "the bought risk class does not justify this action",
  });
  const { model, name } = await demoModel();
  report.heading(`The agent (LangChain createAgent, model: ${name})`);
  const tools: ClientTool[] = [...createProof402Tools({ buyer: seen.buyer }), guarded];
  const agent = createAgent({
    model,
    tools,
    systemPrompt:
      "You manage an ETH position. Buy one eth-risk inference for the given features, then call execute_trade with the receipt: class 0 increase, 1 hold, 2 reduce. Act only on a verified receipt. If a receipt fails, say so and buy again from another seller.",
  });
  const result = await agent.invoke(
    {
      messages: [
        {
          role: "user",
          content: `Judge ETH risk for features ${JSON.stringify(DEMO_FEATURES)} and trade accordingly.`,
        },
      ],
    },
    {
      configurable: { thread_id: "demo" },
      recursionLimit: 40,
      callbacks: [{ handleToolEnd: (output: unknown) => reportRefusal(output, report) }],
    },
  );
  report.line(`agent says: ${result.messages.at(-1)?.text ?? ""}`);
  const bought = seen.purchases.findLast((p) => p.verdict === "verified") ?? seen.purchases.at(-1);
  if (bought === undefined) throw new Error("the agent bought nothing");
  await buyer.getReceipt(bought.receiptId, { waitSeconds: 20 });
  const receipt = await untilIncluded(buyer, bought.receiptId);
  const appraisal = newestAppraisal(receipt);
  report.heading(`Receipt ${receipt.id}`);
  report.layers(appraisal);
  report.line(
    `answer after ${ms(bought.answerMs)}, checked after ${ms(bought.checkedMs)}, settled after ${ms(bought.settledMs)}, included after ${includedAfter(receipt)} s`,
  );
  return {
    receipt,
    verdict: appraisal.verdict,
    cheatCaught: seen.purchases.some((p) => p.verdict === "failed"),
    cheatBlocked: result.messages.some(
      (m) => ToolMessage.isInstance(m) && m.name === "execute_trade" && m.status === "error",
    ),
    traded,
    answerMs: bought.answerMs,
    checkedMs: bought.checkedMs,
    settledMs: bought.settledMs,
  };
}

/** How long the demo waits for the answer's batch to be anchored, ms. */
const INCLUSION_MS = 5000;

/** The receipt once its answer stands under a root on chain, or as it is after a while. */
function untilIncluded(buyer: Buyer, id: string): Promise<Receipt> {
  return new Promise((resolve, reject) => {
    const give = (receipt: Receipt): void => {
      clearTimeout(timer);
      unsubscribe();
      resolve(receipt);
    };
    const look = (receipt: Receipt): void => {
      if (receipt.id === id && newestAppraisal(receipt).layers.inclusion.status !== "pending") give(receipt);
    };
    const unsubscribe = buyer.onReceipt(look);
    const timer = setTimeout(() => void buyer.getReceipt(id).then(give, reject), INCLUSION_MS);
    buyer.getReceipt(id).then(look, reject);
  });
}

/** Seconds from the answer to the evidence of its inclusion. */
function includedAfter(receipt: Receipt): string {
  const landed = receipt.later.find(({ evidence }) => evidence.kind === "inclusion.merkle");
  if (landed === undefined) return "(not seen)";
  return ((Date.parse(landed.at) - Date.parse(receipt.core.response.receivedAt)) / 1000).toFixed(1);
}

/** Shows what a tool refused, in the first sentence of its own words. */
function reportRefusal(output: unknown, report: DemoReport): void {
  if (!ToolMessage.isInstance(output) || output.status !== "error") return;
  report.line(`${output.name ?? "a tool"} refused: ${output.text.split(/(?<=\.) /)[0] ?? ""}`);
}

/** The predicted class in an eth-risk answer. */
function classOf(answer: Record<string, unknown>): number {
  const value = answer["class"];
  const first: unknown = Array.isArray(value) ? value[0] : value;
  return typeof first === "number" ? first : -1;
}

const ms = (value: number): string => (Number.isNaN(value) ? "(not seen)" : `${Math.round(value)} ms`);

type SeenPurchase = { receiptId: string; verdict: Verdict; answerMs: number; checkedMs: number; settledMs: number };

/** The same buyer, with each step told to the report and timed. */
function observe(buyer: Buyer, report: DemoReport): { buyer: Buyer; purchases: SeenPurchase[] } {
  const purchases: SeenPurchase[] = [];
  return {
    purchases,
    buyer: {
      ...buyer,
      buy: (async (...given: BuyArguments) => {
        const { request, options } = readArguments(given);
        const { model } = request;
        const began = performance.now();
        const steps = new Map<string, number>();
        report.line(`buy_inference(${model}, assurance ${request.assurance ?? "default"})`);
        const landed = new Map<string, { ms: number; verdict: Verdict }>();
        const unsubscribe = buyer.onReceipt((receipt) => {
          const appraisal = newestAppraisal(receipt);
          if (appraisal.layers.settlement.status !== "pass") return;
          landed.set(receipt.id, { ms: performance.now() - began, verdict: appraisal.verdict });
        });
        try {
          const result = await buyer.buy(request, {
            ...options,
            onProgress(step) {
              steps.set(step.step, step.ms);
              report.line(`  ${step.ms.toFixed(0).padStart(5)} ms  ${step.step}: ${step.message}`);
              options.onProgress?.(step);
            },
          });
          await buyer.getReceipt(result.receipt.id, { waitSeconds: 10 });
          const late = landed.get(result.receipt.id);
          const verdict = late?.verdict ?? result.appraisal.verdict;
          if (late !== undefined)
            report.line(`  ${late.ms.toFixed(0).padStart(5)} ms  settled: seen on chain, verdict ${verdict}`);
          const { core } = result.receipt;
          report.line(
            `  paid $${formatUnits(core.payment.amount, core.offer.decimals)} to ${core.seller.id}: ${verdict.toUpperCase()}`,
          );
          purchases.push({
            receiptId: result.receipt.id,
            verdict,
            answerMs: steps.get("answered") ?? Number.NaN,
            checkedMs: steps.get("checked") ?? Number.NaN,
            settledMs: late?.ms ?? Number.NaN,
          });
          return result;
        } finally {
          unsubscribe();
        }
      }) as Buyer["buy"],
    },
  };
}
