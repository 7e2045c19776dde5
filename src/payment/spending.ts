import type { Db } from "../storage/database.ts";
import { immediate } from "../storage/migrations.ts";
import { countedAmount, readCallsLastHour, readUsage, remainingOf } from "./caps.ts";
import { isOpen } from "./journal-rows.ts";
import type { AssetPolicy, PaymentPolicy } from "./policy.ts";
import type { AssetSpending } from "./types.ts";

/** Caps and what counts against them, per asset of the policy. */
export async function spending(
  db: Db,
  policy: PaymentPolicy,
  now: Date,
): Promise<{ assets: AssetSpending[]; callsLastHour: number }> {
  return immediate(db, async (tx) => {
    const open = await tx
      .selectFrom("purchases")
      .select(["network", "asset", "state", "amount", "settled_amount"])
      .where(isOpen)
      .execute();
    const assets: AssetSpending[] = [];
    for (const asset of policy.assets) {
      const own = open.filter((row) => row.network === asset.network && row.asset === asset.asset);
      assets.push(
        await spendingOf(
          tx,
          asset,
          own.reduce((total, row) => total + countedAmount(row), 0n),
          now,
        ),
      );
    }
    return { assets, callsLastHour: Number(await readCallsLastHour(tx, now.getTime())) };
  });
}

async function spendingOf(tx: Db, asset: AssetPolicy, reserved: bigint, now: Date): Promise<AssetSpending> {
  const usage = await readUsage(tx, asset, now.getTime());
  const windowOf = (name: "hour" | "day" | "total", cap: string): AssetSpending["windows"][number] => ({
    name,
    used: usage[name].toString(),
    cap,
    remaining: remainingOf(BigInt(cap), usage[name]).toString(),
  });
  return {
    network: asset.network,
    asset: asset.asset,
    symbol: asset.symbol,
    decimals: asset.decimals,
    usdStable: asset.usdStable,
    reserved: reserved.toString(),
    spent: (usage.total - reserved).toString(),
    windows: [windowOf("hour", asset.perHour), windowOf("day", asset.perDay), windowOf("total", asset.total)],
    perCall: asset.perCall,
  };
}
