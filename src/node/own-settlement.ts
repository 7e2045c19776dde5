import type { ChainView } from "./chain-view.ts";
import type { Asks } from "./paid-calls.ts";
import { facilitatorTimeoutMs, type SettlementWord } from "./payment-gate.ts";
import { fromWord, isOfUse, watch, type Decision, type Look } from "./settle.ts";

/** The transaction by which this node may have had a payment made: null for any, undefined for none. */
type Own = string | null | undefined;

/**
 * Has a payment settled for a node whose payee takes other payments, too. The chain does not name a payment's purpose, so a
 * payment counts only if this node had it made. The facilitator says so, or names this node the transaction. Or its answer is
 * lost to this node, and the payment was unused before. If the facilitator says no and the chain shows the payment, another
 * had it made, perhaps for a service of its own.
 *
 * `fresh`: the facilitator has just found the payment unused. Its answer is waited for as long as it may take.
 */
export async function settleOwn(
  ask: () => Promise<SettlementWord>,
  look: Look,
  asks: Asks,
  options: { due: bigint; confirmations: number; waitSeconds: number; fresh: boolean },
): Promise<Decision> {
  const { due, confirmations, waitSeconds, fresh } = options;
  const until = performance.now() + waitSeconds * 1000;
  const see = (own: string | null): Promise<Decision> => {
    const lookForOwn = async (): Promise<ChainView | null> => {
      const view = await look(own ?? undefined);
      return view?.state === "paid" && !isBy(view, own) ? null : view;
    };
    return watch(lookForOwn, { due, confirmations, after: 0, until });
  };
  const believed = async (word: SettlementWord): Promise<Decision> => {
    const transaction = namedBy(word);
    await asks.end(transaction);
    return confirmations === 0 ? fromWord(word) : see(transaction);
  };
  /** Decides by a payment that the chain shows; null if it shows none. */
  const byChain = async (view: ChainView | null, own: Own): Promise<Decision | null> => {
    if (view?.state !== "paid") return null;
    return own !== undefined && isBy(view, own) ? see(own) : { state: "elsewhere", seen: view };
  };

  const earlier = await asks.read();
  if (earlier?.isUnderWay === true) return { state: "open" };
  let isUnused = fresh;
  if (earlier !== null || !fresh) {
    const before = await look(earlier?.transaction ?? undefined);
    const decided = await byChain(before, earlier?.transaction);
    if (decided !== null) return decided;
    if (earlier === null && before === null) return { state: "open" };
    isUnused = before?.state === "unused";
  }
  const isFirst = earlier === null && isUnused;
  if (isFirst && !(await asks.begin(2 * facilitatorTimeoutMs(waitSeconds)))) return { state: "open" };
  const word = await ask();
  if (word.state === "settled") return believed(word);
  const own = ownAfter(word, { earlier: earlier?.transaction, isUnused });
  await (own === undefined ? asks.forget() : asks.end(own));
  const now = await look(own ?? undefined);
  const decided = await byChain(now, own);
  if (decided !== null) return decided;
  if (now?.state === "void") return { state: "unpaid", word };
  if (word.state === "refused" && !(isOfUse(word) && own !== undefined)) return { state: "unpaid", word };
  if (own === undefined) return { state: "open" };
  if (word.state === "lost" && performance.now() < until) {
    // Perhaps it was not heard. Asking again is safe: an authorization moves money once.
    const second = await ask();
    if (second.state === "settled") return believed(second);
  }
  return see(own);
}

/** By which transaction this node may have had the payment made, once an ask ended without a yes. */
function ownAfter(word: SettlementWord, { earlier, isUnused }: { earlier: Own; isUnused: boolean }): Own {
  // A lost answer to an ask about an unused payment may have been any; what was lost once stays lost.
  if (earlier === null || (word.state === "lost" && isUnused)) return null;
  return (word.state === "pending" ? namedBy(word) : null) ?? earlier;
}

const isBy = ({ transaction }: { transaction: string }, own: string | null): boolean =>
  own === null || transaction === own;

/** The transaction that the facilitator names, in lower case; null for none. */
const namedBy = ({ result: { transaction } }: SettlementWord): string | null =>
  /^0x[0-9a-fA-F]{64}$/.test(transaction) ? transaction.toLowerCase() : null;
