import type { CallCost } from "../buyer/types.ts";
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
  counted(): Record<string, string>;
  /** Counts purchases of the same budget that were made elsewhere. Those counted already stay as they are. */
  take(counted: Readonly<Record<string, string>>): void;
  /** Counts a purchase at its cost before it is paid. Throws Proof402Error `over_budget` if it does not fit, and counts nothing. */
  hold(cost: CallCost): void;
  /** Counts a purchase at this amount from now on; null takes it out. */
  set(idempotencyKey: string, usd: string | null): void;
};

/**
 * A budget beside the policy's caps. `what` names it in a refusal: "this run's budget". Throws Proof402Error `invalid_max_usd`
 * for no amount of dollars.
 */
export function createBudget(maxUsd: number, what: string): Budget {
  const most = usdToBaseUnits(maxUsd, PLACES);
  const held = new Map<string, bigint>();
  const sum = (): bigint => [...held.values()].reduce((all, one) => all + one, 0n);
  const text = (units: bigint): string => formatUnits(units, PLACES);
  return {
    maxUsd: text(most),
    spentUsd: () => text(sum()),
    counted: () => Object.fromEntries([...held].map(([key, units]) => [key, text(units)])),
    take: (counted) => {
      for (const [key, usd] of Object.entries(counted)) if (!held.has(key)) held.set(key, unitsOf(usd));
    },
    hold: ({ idempotencyKey, amount, asset, decimals, usdStable }) => {
      if (!usdStable) throw over(`The price is in ${asset}, and no dollars bound it: ${what} holds none of it.`);
      const price = BigInt(amount) * 10n ** BigInt(PLACES - decimals);
      const others = sum() - (held.get(idempotencyKey) ?? 0n);
      if (others + price > most)
        throw over(`The price of $${text(price)} does not fit in ${what}: $${text(others)} of $${text(most)} is used.`);
      held.set(idempotencyKey, price);
    },
    set: (key, usd) => {
      if (usd === null) held.delete(key);
      else held.set(key, unitsOf(usd));
    },
  };
}

const unitsOf = (usd: string): bigint => parseUnits(usd, PLACES) ?? 0n;

const over = (message: string): Proof402Error =>
  new Proof402Error("over_budget", message, {
    next: "Buy nothing more under this budget, or choose a cheaper seller. Only the program can raise it.",
  });

/**
 * Runs a purchase under budgets. Counts its highest cost before it is paid, the receipt's amount after it, and nothing if no money
 * can move. Parallel purchases count at once.
 */
export async function buyWithin(
  budgets: readonly Budget[],
  run: (admit: ToolContext["admit"]) => Promise<ToolOutcome<unknown>>,
): Promise<ToolOutcome<unknown>> {
  if (budgets.length === 0) return run(undefined);
  const before = budgets.map((one) => one.counted());
  const keys = new Set<string>();
  const restore = (): void =>
    budgets.forEach((one, at) => keys.forEach((key) => one.set(key, before[at]?.[key] ?? null)));
  try {
    const outcome = await run((cost) => {
      keys.add(cost.idempotencyKey);
      for (const budget of budgets) budget.hold(cost);
    });
    if (outcome.status === "ok") {
      const { idempotencyKey: key, paidNow, receipt } = outcome.data as Bought;
      for (const budget of budgets)
        if (paidNow || key in budget.counted()) budget.set(key, usdOf(receipt, budget, key));
    } else if (outcome.error.money === "not-moved") {
      for (const key of keys) budgets.forEach((one) => one.set(key, null));
    }
    return outcome;
  } catch (error) {
    // A question to a person: nothing new was signed.
    restore();
    throw error;
  }
}

/** The amount in the receipt; of a metered payment before its settlement this is the most that it may take. */
const usdOf = ({ paid }: Bought["receipt"], budget: Budget, key: string): string =>
  paid.usd ?? budget.counted()[key] ?? "0";
