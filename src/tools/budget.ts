import type { AttemptCost, CallCost } from "../buyer/call-cost.ts";
import type { Buyer } from "../buyer/types.ts";
import { formatUnits, parseUnits, usdToBaseUnits } from "../chain/amounts.ts";
import { Proof402Error } from "../errors.ts";
import type { Bought } from "./buy-inference.ts";
import type { ToolContext, ToolOutcome } from "./definition.ts";

/** Dollars are counted in units of 10^-36: a base unit of any token is a whole number of them. */
const PLACES = 36;

/** What the purchases of a run, a thread or a set of tools have cost or may still cost, in US dollars as decimal texts. */
export type Budget = {
  readonly maxUsd: string;
  spentUsd(): string;
  /** The counted amounts by idempotency key. */
  counted(): Map<string, string>;
  /** Counts purchases of the same budget that were made elsewhere. Those counted already stay as they are. */
  take(counted: Iterable<readonly [key: string, usd: string]>): void;
  /**
   * Counts a purchase at its cost before it is paid, for the call `by`. Throws Proof402Error `over_budget` if it does not fit, and
   * changes nothing.
   */
  hold(cost: CallCost, by: object): void;
  /** Counts a purchase at so many units of 10^-36 dollars from now on; 0 takes it out. Changes nothing while another call than `by` holds it. */
  settle(idempotencyKey: string, units: bigint, by: object): void;
};

/** An amount, and the call under way that holds it. */
type Counted = { units: bigint; by: object | null };

/**
 * A budget beside the policy's caps. `what` names it in a refusal: "this run's budget". Throws Proof402Error `invalid_max_usd`
 * for no amount of dollars.
 */
export function createBudget(maxUsd: number, what: string): Budget {
  const most = usdToBaseUnits(maxUsd, PLACES);
  const held = new Map<string, Counted>();
  const sum = (): bigint => [...held.values()].reduce((all, { units }) => all + units, 0n);
  const text = (units: bigint): string => formatUnits(units, PLACES);
  return {
    maxUsd: text(most),
    spentUsd: () => text(sum()),
    counted: () => new Map([...held].map(([key, { units }]) => [key, text(units)])),
    take: (counted) => {
      for (const [key, usd] of counted)
        if (!held.has(key)) held.set(key, { units: parseUnits(usd, PLACES) ?? 0n, by: null });
    },
    hold: (cost, by) => {
      const { idempotencyKey: key, asset, usdStable } = cost;
      if (!usdStable) throw over(`The price is in ${asset}, and no dollars bound it: ${what} holds none of it.`);
      const inAll = unitsOf(cost);
      const earlier = unitsOf({ ...cost, amount: cost.earlier });
      const others = sum() - (held.get(key)?.units ?? 0n);
      if (others + inAll > most) {
        const price = `The price of $${text(inAll - earlier)}`;
        const fits =
          earlier === 0n
            ? `${price} does not fit`
            : `${price} and the $${text(earlier)} of this call's earlier payments do not fit`;
        throw over(`${fits} in ${what}: $${text(others)} of $${text(most)} is used otherwise.`);
      }
      held.set(key, { units: inAll, by });
    },
    settle: (key, units, by) => {
      const holder = held.get(key)?.by ?? null;
      if (holder !== null && holder !== by) return;
      if (units === 0n) held.delete(key);
      else held.set(key, { units, by: null });
    },
  };
}

const unitsOf = ({ amount, decimals }: Pick<AttemptCost, "amount" | "decimals">): bigint =>
  BigInt(amount) * 10n ** BigInt(PLACES - decimals);

const over = (message: string): Proof402Error =>
  new Proof402Error("over_budget", message, {
    next: "Buy nothing more under this budget, or choose a cheaper seller. Only the program can raise it.",
  });

/**
 * Runs a purchase under budgets. Counts its highest cost before it is paid. Once it has ended in any way, counts what the
 * journal says of all its attempts: moved, or still able to move. Parallel purchases count at once. The result of a call
 * without a payment here counts only if its key does.
 */
export async function buyWithin(
  buyer: Pick<Buyer, "callCosts">,
  budgets: readonly Budget[],
  run: (admit: ToolContext["admit"]) => Promise<ToolOutcome<unknown>>,
): Promise<ToolOutcome<unknown>> {
  if (budgets.length === 0) return run(undefined);
  const keys = new Set<string>();
  const self = {};
  try {
    const outcome = await run((cost) => {
      keys.add(cost.idempotencyKey);
      for (const budget of budgets) budget.hold(cost, self);
    });
    if (outcome.status === "ok") {
      const { idempotencyKey: key, paidNow } = outcome.data as Bought;
      if (paidNow) keys.add(key);
      else if (!keys.has(key))
        await settleByJournal(
          buyer,
          budgets.filter((one) => one.counted().has(key)),
          key,
          self,
        );
    }
    return outcome;
  } finally {
    for (const key of keys) await settleByJournal(buyer, budgets, key, self);
  }
}

async function settleByJournal(
  buyer: Pick<Buyer, "callCosts">,
  budgets: readonly Budget[],
  key: string,
  self: object,
): Promise<void> {
  if (budgets.length === 0) return;
  let costs: AttemptCost[];
  try {
    costs = await buyer.callCosts(key);
  } catch {
    // Of an unreadable journal what was held stays held.
    return;
  }
  // A token without a dollar's worth was admitted by no budget.
  const units = costs.filter(({ usdStable }) => usdStable).reduce((all, cost) => all + unitsOf(cost), 0n);
  for (const budget of budgets) budget.settle(key, units, self);
}
