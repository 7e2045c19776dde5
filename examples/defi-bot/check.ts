import { readFile } from "node:fs/promises";
import type { Buyer } from "proof402";
import { isOf } from "./bot.ts";
import { openPool } from "./pool.ts";
import type { Settings } from "./settings.ts";
import { orderIdOf } from "./trade.ts";

/** What the chain and the buyer's record say of the bot's trades, laid side by side. */
export type Checked = { swaps: number; problems: string[] };

/**
 * Judges the bot by the chain, not by its own word: each trade there is of exactly one guarded action that is `done`, on a
 * verified receipt of a class that justifies its side and of evidence for its size, and no receipt justified two.
 */
export async function checkTrades(settings: Settings, buyer: Buyer): Promise<Checked> {
  const key = (await readFile(settings.traderKeyFile, "utf8")).trim() as `0x${string}`;
  const swaps = await (await openPool(settings, key)).swaps();
  const all = await buyer.actions.list({ limit: 1000 });
  const actions = all.filter(({ state, tool }) => isOf(settings.name, tool) && state !== "failed");
  const problems: string[] = [];
  const used = new Set<string>();
  let position = 0n;
  for (const { orderId, side, eth } of swaps) {
    position += side === "buy" ? eth : -eth;
    const [action, ...others] = actions.filter((one) => orderIdOf(one.idempotencyKey ?? "") === orderId);
    if (action === undefined || others.length > 0 || action.state !== "done") {
      problems.push(`trade ${orderId} is of ${others.length + Number(action !== undefined)} actions that are done`);
      continue;
    }
    if (used.has(action.receiptId)) problems.push(`${action.receiptId} justified two trades`);
    used.add(action.receiptId);
    const receipt = await buyer.getReceipt(action.receiptId);
    const assurance = position > settings.limits.provenAboveEth ? "proven" : "attested";
    const { verdict } = await buyer.verify(receipt, { assurance });
    if (verdict !== "verified") problems.push(`${action.receiptId} is ${verdict} as ${assurance}`);
    const riskClass = [buyer.answerOf(receipt)["class"]].flat()[0];
    if (riskClass !== (side === "buy" ? 0 : 2)) problems.push(`class ${String(riskClass)} does not justify a ${side}`);
    if (position > settings.limits.positionEth) problems.push("the position is above its limit");
  }
  for (const { id, state, idempotencyKey } of actions)
    if (!swaps.some(({ orderId }) => orderId === orderIdOf(idempotencyKey ?? "")))
      problems.push(`action ${id} is ${state}, and the chain has no trade of it`);
  return { swaps: swaps.length, problems };
}
