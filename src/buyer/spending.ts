import type { Config } from "../config/schema.ts";
import { Proof402Error } from "../errors.ts";
import { isLaterShare } from "../evidence/payment-binding.ts";
import { findAsset } from "../payment/policy.ts";
import { countPurchases } from "../payment/caps.ts";
import { readAttempts, recentPurchases } from "../payment/journal.ts";
import { clientSpending, requireClient } from "../payment/client-budget.ts";
import { spending } from "../payment/spending.ts";
import type { PurchaseRecord } from "../payment/types.ts";
import type { Db } from "../storage/database.ts";
import type { CallCosts } from "./call-cost.ts";
import type { BuyerContext } from "./context.ts";
import type { Buyer, Spending } from "./types.ts";

type Recent = Spending["recent"][number];

const RECENT = 20;
/** Most purchases shown at once. */
const MAX_SHOWN = 1000;

/** Throws Proof402Error `invalid_input` for what is no count. */
function requireWhole(counts: Readonly<Record<string, number>>): void {
  for (const [name, count] of Object.entries(counts))
    if (!Number.isSafeInteger(count) || count < 0)
      throw new Proof402Error("invalid_input", `${name} is no count of purchases.`, {
        next: `Give ${name} as a whole number from 0.`,
      });
}

/** Caps, what is spent and reserved, and the newest purchases with their verdicts. */
export async function viewSpending(
  ctx: BuyerContext,
  { limit = RECENT, skip = 0, client }: NonNullable<Parameters<Buyer["spending"]>[0]> = {},
): Promise<Spending> {
  requireWhole({ limit, skip });
  requireClient(client);
  const [view, recent, purchases, budget] = await Promise.all([
    spending(ctx.db, ctx.config.payment, ctx.clock()),
    recentPurchases(ctx.db, Math.min(limit, MAX_SHOWN), skip),
    countPurchases(ctx.db),
    client === undefined ? null : clientSpending(ctx.db, client, ctx.config.payment, ctx.clock()),
  ]);
  return {
    payer: ctx.wallet?.address ?? null,
    assets: view.assets,
    callsLastHour: view.callsLastHour,
    callsPerHour: ctx.config.payment.callsPerHour,
    warnings: ctx.warnings,
    client: budget,
    purchases,
    skipped: skip,
    recent: await viewPurchases(ctx, recent),
  };
}

/** Purchases of the journal as they are shown, with the verdicts of their receipts. */
export async function viewPurchases(
  { db, config }: { db: Db; config: Pick<Config, "payment"> },
  purchases: readonly PurchaseRecord[],
): Promise<Recent[]> {
  const ids = purchases.flatMap((purchase) => purchase.receiptId ?? []);
  const verdicts =
    ids.length === 0 ? [] : await db.selectFrom("receipts").select(["id", "verdict"]).where("id", "in", ids).execute();
  const verdictOf = new Map(verdicts.map((row) => [row.id, row.verdict]));
  return purchases.map((purchase) => {
    const { network, asset } = purchase.offer;
    const token = findAsset(purchase.offer, config.payment.assets);
    return {
      idempotencyKey: purchase.idempotencyKey,
      at: new Date(purchase.createdAt).toISOString(),
      sellerId: purchase.sellerId,
      model: purchase.model,
      network,
      asset,
      symbol: token?.symbol ?? null,
      // The journal's offers have their decimals from the configuration of their time.
      decimals: token?.decimals ?? purchase.offer.decimals,
      usdStable: token?.usdStable ?? false,
      amount: costOf(purchase),
      shared: purchase.payment.share === undefined ? null : { told: purchase.reported, part: purchase.part },
      state: purchase.state,
      reason: purchase.reason,
      receiptId: purchase.receiptId,
      verdict: (verdictOf.get(purchase.receiptId ?? "") as Recent["verdict"]) ?? null,
    };
  });
}

/**
 * The cost of a purchase: the moved amount, or before that the authorized one. Of a shared authorization each call has a
 * part of the moved amount. Before that the first call has all of it, and a later one nothing more.
 */
function costOf({ payment, part, settledAmount, offer }: PurchaseRecord): string {
  if (payment.share === undefined) return settledAmount ?? offer.amount;
  return part ?? (isLaterShare(payment) ? "0" : offer.amount);
}

/** Reads the costs of a buyer's calls from its journal. */
export const createCallCosts = ({ db, config }: Pick<BuyerContext, "db" | "config">): CallCosts => ({
  async callCosts(idempotencyKey) {
    const attempts = await readAttempts(db, idempotencyKey);
    return attempts
      .filter(({ state }) => state !== "released")
      .map((attempt) => {
        const { network, asset, decimals } = attempt.offer;
        const token = findAsset(attempt.offer, config.payment.assets);
        return {
          network,
          asset,
          amount: costOf(attempt),
          decimals: token?.decimals ?? decimals,
          usdStable: token?.usdStable ?? false,
        };
      });
  },
});
