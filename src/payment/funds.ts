import { moneyText } from "../chain/money-text.ts";
import type { Selectable } from "kysely";
import { formatUnits } from "../chain/amounts.ts";
import type { Chain, LookLimits } from "../chain/chain.ts";
import { evidenceOf, METHODS, type PaymentMethod } from "../evidence/methods/methods.ts";
import type { Payment } from "../receipts/schema.ts";
import type { Db } from "../storage/database.ts";
import type { PurchasesTable } from "../storage/tables.ts";
import { readHoldings } from "./allowance.ts";
import { countedAmount } from "./caps.ts";
import { isOpen, toRecord } from "./journal-rows.ts";
import { payerOf, PAYERS } from "./methods/methods.ts";
import type { AssetPolicy } from "./policy.ts";
import { isSpent, readBlock } from "./settlement-read.ts";
import type { PurchaseRecord, Refusal } from "./types.ts";

/** A wallet as a chain showed it, base units: its balance of an asset, and how much of it Permit2 may move. */
export type Funds = {
  balance: bigint;
  allowance: bigint;
  /** When the look began, unix ms. */
  at: number;
  /** Ids of open purchases that had taken their amount by then, or could take none any more. */
  done: ReadonlySet<string>;
};

/** Whose funds a payment takes, and how much of them. */
export type Spend = { idempotencyKey: string; by: PaymentMethod } & Pick<
  Payment,
  "network" | "asset" | "amount" | "payer"
>;

/** Longest time from a purchase to its settlement, ms. */
const SETTLING_MS = 24 * 60 * 60_000;

/**
 * Why a wallet's funds do not suffice for a payment beside the open ones of other calls, or null. In the transaction
 * that reserves it, calls made at once see each other. Earlier authorizations of the same call do not count: only one of them is
 * ever served.
 */
export async function lackOf(tx: Db, spend: Spend, asset: AssetPolicy, funds: Funds): Promise<Refusal | null> {
  const promised = { balance: 0n, allowance: 0n };
  for (const one of await promises(tx, spend, funds)) {
    promised.balance += leastOf(evidenceOf(one), countedAmount(one));
    if (payerOf(one).needsAllowance) promised.allowance += countedAmount(one);
  }
  const units = (amount: bigint | string): string => moneyText(amount, asset);
  const besides = (sum: bigint): string =>
    sum === 0n ? "" : ` ${units(sum)} of it is for payments that are signed and not settled yet.`;
  const wait = (sum: bigint): string => (sum === 0n ? "" : " Or wait until those are settled or have expired.");
  const { amount, network, payer, by } = spend;
  if (funds.balance - promised.balance < leastOf(METHODS[by], BigInt(amount))) {
    return {
      code: "insufficient_funds",
      message: `The wallet holds ${units(funds.balance)} on ${network}; the offer asks ${units(amount)}.${besides(promised.balance)}`,
      next: `Send ${asset.symbol} on ${network} to ${payer}, then call again.${wait(promised.balance)}`,
      holds: funds.balance.toString(),
      promised: promised.balance.toString(),
      asked: amount,
    };
  }
  if (!PAYERS[by].needsAllowance || funds.allowance - promised.allowance >= BigInt(amount)) return null;
  const needed = formatUnits(promised.allowance + BigInt(amount), asset.decimals);
  return {
    code: "allowance_too_low",
    message: `The offer is paid through Permit2, which may move ${units(funds.allowance)} of this wallet and would need ${units(promised.allowance + BigInt(amount))}.${besides(promised.allowance)}`,
    next: `The owner can allow it: proof402 wallet approve --asset ${asset.symbol} --amount ${needed} (or more, for further calls).${wait(promised.allowance)}`,
    limit: funds.allowance.toString(),
    promised: promised.allowance.toString(),
    asked: amount,
  };
}

/** The most that a metered payment may cost need not be there: its cost is known only afterwards. Nothing pays none. */
const leastOf = ({ metered }: { metered: boolean }, amount: bigint): bigint => (metered && amount > 0n ? 1n : amount);

const PROMISED = [
  "id",
  "idempotency_key",
  "state",
  "network",
  "asset",
  "payer",
  "scheme",
  "method",
  "amount",
  "settled_amount",
] as const;
type Promised = Pick<Selectable<PurchasesTable>, (typeof PROMISED)[number]>;

/** Other calls' payments from the same funds that the look does not show: open ones, and those settled since. */
const promises = async (tx: Db, spend: Spend, { at, done }: Funds): Promise<Promised[]> => {
  const settled = tx
    .selectFrom("purchases")
    .select(PROMISED)
    .where("network", "=", spend.network)
    .where("asset", "=", spend.asset)
    .where("created_at", ">=", at - SETTLING_MS)
    .where("state", "=", "settled")
    .where("updated_at", ">=", at);
  const rows = await tx.selectFrom("purchases").select(PROMISED).where(isOpen).unionAll(settled).execute();
  return rows.filter((row) => isBeside(row, spend) && !done.has(row.id));
};

/** Whether a purchase takes from the same wallet's funds. A claimed one takes from a channel. */
const isBeside = (row: Promised, { network, asset, payer, idempotencyKey }: Spend): boolean =>
  row.network === network &&
  row.asset === asset &&
  row.payer === payer.toLowerCase() &&
  row.idempotency_key !== idempotencyKey &&
  !evidenceOf(row).claimed;

/** Open payments of other calls from the same funds. */
export const openBeside = async (db: Db, spend: Spend): Promise<PurchaseRecord[]> =>
  (await db.selectFrom("purchases").selectAll().where(isOpen).execute())
    .filter((row) => isBeside(row, spend))
    .map(toRecord);

/**
 * Reads the funds and which of these open payments they show no more, all at one block. Throws Proof402Error
 * `wrong_chain` or `chain_unreachable`.
 */
export async function readFunds(
  chain: Chain,
  { asset, payer }: Pick<Spend, "asset" | "payer">,
  { now, open = [], ...limits }: LookLimits & { now: Date; open?: readonly PurchaseRecord[] },
): Promise<Funds> {
  const at = now.getTime();
  if (open.length === 0) return { ...(await readHoldings(chain, asset, payer, limits)), at, done: new Set() };
  const { head, spent } = await chain.read(async (client) => {
    const block = await readBlock(client);
    const isDone = async ({ payment }: PurchaseRecord): Promise<boolean> =>
      block.time >= payment.validBefore || isSpent(client, payment, block.number);
    return { head: block, spent: await Promise.all(open.map(isDone)) };
  }, limits);
  const held = await readHoldings(chain, asset, payer, { ...limits, block: head.number });
  return { ...held, at, done: new Set(open.filter((_one, index) => spent[index]).map(({ id }) => id)) };
}
