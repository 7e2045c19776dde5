import { setTimeout as sleep } from "node:timers/promises";
import type { ChainView } from "./chain-view.ts";
import type { SettlementWord } from "./payment-gate.ts";

/** What became of a payment. */
export type Decision =
  /** `transaction` is null where the facilitator's own word is all there is. */
  | { state: "paid"; seen: Extract<ChainView, { state: "paid" }> | null; word: SettlementWord | null }
  | { state: "unpaid"; word: SettlementWord }
  /** Another had it made, perhaps for a service of its own. */
  | { state: "elsewhere"; seen: Extract<ChainView, { state: "paid" }> }
  /** Not known yet: the same payment may be asked about again. */
  | { state: "open" };

/** How the chain is asked about one payment. */
export type Look = (hint: string | undefined) => Promise<ChainView | null>;

/** A facilitator that has not answered by then is not waited for alone: the chain may show more. */
const FIRST_LOOK_MS = 2_000;
const POLL_MS = 250;

/**
 * Has a payment settled and finds out whether it was. Believes the
 * facilitator if it says yes and no confirmations are asked for. If its answer is lost, late or a no, the chain decides: an
 * authorization that moved at least `due` to its payee is paid, by any submitter. Without a chain to look at (`look` is null)
 * a lost word is asked for once more.
 */
export async function settle(
  ask: () => Promise<SettlementWord>,
  look: Look | null,
  { due, confirmations, waitSeconds }: { due: bigint; confirmations: number; waitSeconds: number },
): Promise<Decision> {
  if (look === null) {
    const word = await ask();
    return fromWord(word.state === "lost" || word.state === "pending" ? await ask() : word);
  }
  const decided = new AbortController();
  const until = performance.now() + waitSeconds * 1000;
  const see = (after: number, hint?: string): Promise<Decision> =>
    watch(() => look(hint), { due, confirmations, after, until, signal: decided.signal });
  try {
    const first = await Promise.race([ask(), see(FIRST_LOOK_MS)]);
    if (!("result" in first)) return first;
    if (first.state === "settled" && confirmations === 0) return fromWord(first);
    const hint = first.result.transaction;
    if (first.state === "settled") return await see(0, hint);
    const now = await look(hint);
    if (now?.state === "paid") return await see(0, hint);
    if (now?.state === "void") return { state: "unpaid", word: first };
    if (first.state === "refused") {
      // Somebody has used it, where a chain that lags does not show it yet.
      return isOfUse(first) || now === null ? await see(0, hint) : { state: "unpaid", word: first };
    }
    // Lost on the way, perhaps before it was heard. Asking again is safe: an authorization moves money once.
    const second = await Promise.race([ask(), see(0, hint)]);
    if (!("result" in second)) return second;
    return second.state === "settled" && confirmations === 0
      ? fromWord(second)
      : await see(0, second.result.transaction);
  } finally {
    decided.abort();
  }
}

/** Tells whether a refusal means that the authorization, valid before, is used by now: paid with or canceled. */
export const isOfUse = ({ result }: SettlementWord): boolean => /nonce|used/i.test(result.errorReason ?? "");

/** What the facilitator's word alone decides. */
export const fromWord = (word: SettlementWord): Decision => {
  if (word.state === "settled") return { state: "paid", seen: null, word };
  return word.state === "refused" && !isOfUse(word) ? { state: "unpaid", word } : { state: "open" };
};

/** Looks until the payment is deep enough in the chain, at least once, or time is up. */
export async function watch(
  look: () => Promise<ChainView | null>,
  options: { due: bigint; confirmations: number; after: number; until: number; signal?: AbortSignal },
): Promise<Decision> {
  const { due, confirmations, after, until, signal } = options;
  await pause(after, signal);
  while (signal?.aborted !== true) {
    const view = await look();
    if (view?.state === "paid" && view.depth >= confirmations && view.amount >= due)
      return { state: "paid", seen: view, word: null };
    if (performance.now() >= until) break;
    await pause(POLL_MS, signal);
  }
  return { state: "open" };
}

const pause = (milliseconds: number, signal: AbortSignal | undefined): Promise<unknown> =>
  sleep(milliseconds, undefined, signal === undefined ? {} : { signal }).catch(() => undefined);
