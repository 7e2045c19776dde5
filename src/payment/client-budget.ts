import { sql } from "kysely";
import { usdToBaseUnits } from "../chain/amounts.ts";
import { Proof402Error } from "../errors.ts";
import type { Db } from "../storage/database.ts";
import { readUsage, remainingOf, type ClientBound, type SpendAccount } from "./caps.ts";
import { findAsset, usdBound, type AssetPolicy, type PaymentPolicy } from "./policy.ts";

/**
 * A program that purchases are made for, and its own budget. A surface that knows its clients sets it; no argument of a tool
 * does. The journal keeps the name with each purchase, so the budget holds over restarts and across processes.
 */
export type ClientBudget = {
  /** Letters, digits, `.`, `_` and `-`, at most 64. */
  name: string;
  /**
   * The most it may spend in US dollars, over all tokens with a declared USD value; it cannot pay in others. It pays nothing
   * while something it paid is in a token without one.
   * The policy's caps hold besides. Absent: they alone hold.
   */
  maxUsd?: number | undefined;
  /** The budget's window: a rolling hour or day, or all time. Default `total`. */
  per?: "hour" | "day" | "total" | undefined;
};

const NAME = /^[A-Za-z0-9._-]{1,64}$/;

/** Throws Proof402Error `invalid_input` for any other name, and `invalid_max_usd` for a budget below 0. */
export function requireClient(client: ClientBudget | undefined): void {
  if (client === undefined) return;
  if (!NAME.test(client.name)) {
    throw new Proof402Error(
      "invalid_input",
      "A client's name has 1 to 64 letters, digits, dots, dashes or underscores.",
      {
        next: "Name the client so.",
      },
    );
  }
  if (client.maxUsd !== undefined) usdToBaseUnits(client.maxUsd, 0);
}

/** What a client paid in one token in its budget's window, base units. Without decimals nothing says what it is worth. */
type Paid = { usage: bigint; decimals: number | undefined };

/** What counts against a client's budget, token by token. */
async function paidBy(
  tx: Db,
  { name, per = "total" }: ClientBudget,
  policy: PaymentPolicy,
  now: Date,
): Promise<Paid[]> {
  const paid: Paid[] = [];
  for (const one of await paidAssets(tx)) {
    const usage = await readUsage(tx, one, now.getTime(), { client: name });
    paid.push({ usage: usage[per], decimals: usdDecimalsOf(one, policy) });
  }
  return paid;
}

function boundOf(client: string, maxUsd: number, paid: readonly Paid[], asset: AssetPolicy): ClientBound {
  const counted = paid.flatMap(({ usage, decimals }) =>
    decimals === undefined ? [] : [inUnitsOf(usage, decimals, asset.decimals)],
  );
  const bound = { client, used: counted.reduce((sum, one) => sum + one, 0n) };
  return paid.some(({ usage, decimals }) => decimals === undefined && usage > 0n)
    ? { ...bound, limit: 0n, isUncounted: true }
    : { ...bound, limit: usdBound(maxUsd, asset) };
}

/** A client's budget in one asset's base units, and what counts against it. Undefined for a client without one. */
export async function budgetIn(
  tx: Db,
  client: ClientBudget,
  policy: PaymentPolicy,
  asset: AssetPolicy,
  now: Date,
): Promise<ClientBound | undefined> {
  if (client.maxUsd === undefined) return undefined;
  return boundOf(client.name, client.maxUsd, await paidBy(tx, client, policy, now), asset);
}

/** Each token of the journal's purchases, retired ones too. */
async function paidAssets(tx: Db): Promise<SpendAccount[]> {
  const found: SpendAccount[] = [];
  let last: SpendAccount = { network: "", asset: "" };
  for (;;) {
    // One step along the index per token, however many purchases there are.
    const { rows } = await sql<SpendAccount>`select network, asset from purchases
      where (network, asset) > (${last.network}, ${last.asset}) order by network, asset limit 1`.execute(tx);
    const [next] = rows;
    if (next === undefined) return found;
    found.push(next);
    last = next;
  }
}

/** Decimals of a token declared to be worth a dollar, now or before. Undefined: nothing says what it is worth. */
function usdDecimalsOf(paid: SpendAccount, { assets, formerAssets = [] }: PaymentPolicy): number | undefined {
  const now = findAsset(paid, assets);
  return now?.usdStable === true ? now.decimals : findAsset(paid, formerAssets)?.usdDecimals;
}

/** What a client's budget is and what is left of it, per token that it may pay in. Base units. */
export type ClientSpending = {
  name: string;
  per: NonNullable<ClientBudget["per"]>;
  assets: {
    symbol: string;
    decimals: number;
    usdStable: boolean;
    used: string;
    limit: string;
    remaining: string;
  }[];
};

/** Null for a client without a budget. */
export async function clientSpending(
  tx: Db,
  client: ClientBudget,
  policy: PaymentPolicy,
  now: Date,
): Promise<ClientSpending | null> {
  const { name, maxUsd, per = "total" } = client;
  if (maxUsd === undefined) return null;
  const paid = await paidBy(tx, client, policy, now);
  const assets = policy.assets.flatMap((asset): ClientSpending["assets"] => {
    const { symbol, decimals, usdStable } = asset;
    if (!usdStable) return [];
    const { used, limit } = boundOf(name, maxUsd, paid, asset);
    const left = remainingOf(limit, used);
    return [{ symbol, decimals, usdStable, used: `${used}`, limit: `${limit}`, remaining: `${left}` }];
  });
  return { name, per, assets };
}

/** Rounded up: what is used must not shrink. */
function inUnitsOf(amount: bigint, from: number, to: number): bigint {
  if (from <= to) return amount * 10n ** BigInt(to - from);
  const unit = 10n ** BigInt(from - to);
  return (amount + unit - 1n) / unit;
}
