import type { Buyer } from "../../buyer/types.ts";
import { newestAppraisal } from "../../receipts/newest.ts";
import type { Receipt } from "../../receipts/schema.ts";
import { DEMO_FEATURES } from "./case.ts";
import type { DemoReport } from "./report.ts";

/** How long the demo waits for everything that comes after an answer, ms. */
const LATER_MS = 15_000;
/** The cheapest seller that claims to prove lies; the one left after it is honest. */
const ATTEMPTS = 3;

/** The evidence that comes after an answer, its layer, and the demo's word for it where it passes. */
const LATER = [
  { kind: "settlement.x402", layer: "settlement", passed: "settled" },
  { kind: "inclusion.merkle", layer: "inclusion", passed: "included" },
  { kind: "zk.groth16", layer: "computation", passed: "proven" },
] as const;

/**
 * Buys one answer with a proof of its computation, past a seller that forges its proofs, and has the genuine proof checked by
 * a contract, too.
 */
export async function runDemoProof(
  buyer: Buyer,
  report: DemoReport,
  checkOnChain: (receipt: Receipt) => Promise<{ transaction: string; gasUsed: bigint }>,
): Promise<{ forgeryCaught: boolean; proven: boolean }> {
  report.heading("The same question, with a zero-knowledge proof of the computation (development setup)");
  let forgeryCaught = false;
  for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
    const began = performance.now();
    const steps = new Map<string, number>();
    const result = await buyer.buy(
      "eth-risk",
      { features: DEMO_FEATURES },
      {
        assurance: "proven",
        idempotencyKey: `demo-proof-${attempt}`,
        onProgress: ({ step, ms }) => void steps.set(step, ms),
      },
    );
    const at = (step: string): string => `${Math.round(steps.get(step) ?? performance.now() - began)} ms`;
    const timeline = (receipt: Receipt): string =>
      [
        `answer after ${at("answered")}`,
        `attested after ${at("checked")}`,
        ...landed(receipt, steps.get("answered") ?? 0),
      ].join(", ");
    const receipt = await untilAllLanded(buyer, result.receipt.id, (one) => report.tick(timeline(one)));
    const { verdict, layers, assurance } = newestAppraisal(receipt);
    report.tick("");
    report.line(`${receipt.core.seller.id}: ${timeline(receipt)}`);
    report.line(`  ${verdict.toUpperCase()} (${assurance}): ${layers.computation.note}`);
    if (verdict === "verified") {
      const { transaction, gasUsed } = await checkOnChain(receipt);
      report.line(`  the contract for this key checks it as well: transaction ${transaction}, gas ${gasUsed}`);
      return { forgeryCaught, proven: assurance === "proven" };
    }
    forgeryCaught ||= layers.computation.status === "fail";
  }
  return { forgeryCaught, proven: false };
}

/** Evidence after the answer, in order of arrival, with its time in ms since the purchase began. */
function landed(receipt: Receipt, answeredMs: number): string[] {
  const { layers } = newestAppraisal(receipt);
  return receipt.later.flatMap(({ at, evidence }) =>
    LATER.filter(({ kind }) => kind === evidence.kind).map(({ layer, passed }) => {
      const word = layers[layer].status === "pass" ? passed : `${layer} failed`;
      return `${word} after ${Math.round(answeredMs + Date.parse(at) - Date.parse(receipt.core.response.receivedAt))} ms`;
    }),
  );
}

/** The receipt once every kind of it has landed, once it has failed, or as it is after a while. */
function untilAllLanded(buyer: Buyer, id: string, tick: (receipt: Receipt) => void): Promise<Receipt> {
  return new Promise((resolve, reject) => {
    const give = (receipt: Receipt): void => {
      clearTimeout(timer);
      unsubscribe();
      resolve(receipt);
    };
    const look = (receipt: Receipt): void => {
      if (receipt.id !== id) return;
      tick(receipt);
      const { layers, verdict } = newestAppraisal(receipt);
      const open = [layers.settlement, layers.inclusion, layers.computation].some(({ status }) => status === "pending");
      if (!open || verdict === "failed") give(receipt);
    };
    const unsubscribe = buyer.onReceipt(look);
    const timer = setTimeout(() => void buyer.getReceipt(id).then(give, reject), LATER_MS);
    buyer.getReceipt(id).then(look, reject);
  });
}
