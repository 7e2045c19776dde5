import { Proof402Error, type Buyer, type BuyResult } from "proof402";
import type { Round, Store } from "./store.ts";

/** How one round stands after it asked for an answer. */
export type Asked =
  | { is: "verified"; bought: BuyResult }
  /** Try again later: the proof is under way, money is short, a seller or the chain does not answer. */
  | { is: "waiting"; why: string; dry: boolean }
  | { is: "ended"; outcome: string };

/** Refusals that money cures: a cap of the policy is reached, or the wallet is empty. */
const DRY = new Set([
  "over_hour_cap",
  "over_day_cap",
  "over_total_cap",
  "over_count_cap",
  "over_seller_cap",
  "insufficient_funds",
]);

/** One key for each answer of a round: a bot that was killed while it paid takes the same purchase up again. */
const keyOf = (name: string, { day, answer }: Round): string => `${name}-day-${day}-answer-${answer}`;

/**
 * Asks for a round's answer, or for how it stands by now. An answer that fails puts its seller on hold, which the buyer does
 * by itself, and the round asks another one. Nothing here acts: what is not `verified` is handed to no trade.
 */
export async function ask(
  bot: { name: string; buyer: Buyer; store: Store },
  round: Round,
  bounds: { answers: number; maxAgeSeconds: number; waitSeconds: number },
): Promise<Asked> {
  const { name, buyer, store } = bot;
  if (round.answer > bounds.answers) return { is: "ended", outcome: "unproven: no answer was verified" };
  const bought = await buy();
  if ("is" in bought) return bought;
  const { verdict, receipt } = bought;
  if (verdict !== "pending" || ageOf(bought) > bounds.maxAgeSeconds) return judged(bought);
  await buyer.getReceipt(receipt.id, { waitSeconds: bounds.waitSeconds });
  // The same key again: nothing is paid, and the verdict is the newest.
  const again = await buy();
  if ("is" in again) return again;
  const why = `the proof of ${receipt.core.seller.id} is under way`;
  return again.verdict === "pending" ? { is: "waiting", why, dry: false } : judged(again);

  function buy(): Promise<BuyResult | Asked> {
    return buyer
      .buy("eth-risk", { features: round.features }, { assurance: round.assurance, idempotencyKey: keyOf(name, round) })
      .catch((error: unknown): Asked => {
        if (!Proof402Error.isInstance(error)) throw error;
        return { is: "waiting", why: error.code, dry: DRY.has(error.code) };
      });
  }

  async function judged(result: BuyResult): Promise<Asked> {
    const usable = result.verdict === "verified" && result.readable;
    if (usable && ageOf(result) <= bounds.maxAgeSeconds) return { is: "verified", bought: result };
    const why = usable || result.verdict === "pending" ? "late" : result.verdict;
    await refuse(bot, round, result, why);
    store.nextAnswer(round.day);
    const told = why === "late" ? "came too late" : `is ${why}`;
    return { is: "waiting", why: `another answer, as that of ${result.receipt.core.seller.id} ${told}`, dry: false };
  }
}

const ageOf = ({ receipt }: BuyResult): number => (Date.now() - Date.parse(receipt.core.response.receivedAt)) / 1000;

/** Puts a refused answer on the record, under a purpose of its own: a report of the trades rests on verified receipts alone. */
async function refuse(
  { name, buyer }: { name: string; buyer: Buyer },
  { day, answer }: Round,
  { receipt }: BuyResult,
  why: string,
): Promise<void> {
  await recordOnce(buyer, {
    purpose: `${name} refusals`,
    subject: `day ${day}, answer ${answer}`,
    receipts: [receipt.id],
    action: { refuse: receipt.core.seller.id },
    outcome: why,
    program: "defi-bot",
  });
}

/** Records a decision unless it is the newest of its purpose already: a bot that was killed right after does not repeat it. */
export async function recordOnce(buyer: Buyer, decision: Parameters<Buyer["decide"]>[0]): Promise<void> {
  const [newest] = await buyer.decisions({ purpose: decision.purpose, limit: 1 });
  if (newest?.subject !== decision.subject) await buyer.decide(decision);
}
