import { chainName, moneyText, sumText } from "../chain/money-text.ts";
import * as z from "zod";
import type { Spending } from "../buyer/types.ts";
import type { ToolDefinition } from "./definition.ts";
import { inTools, type Step } from "./next.ts";
import { outcomeOf } from "./outcome.ts";

const input = z.strictObject({
  limit: z.int().min(1).max(1000).optional().describe("Purchases shown, default 20"),
  skip: z.int().min(0).optional().describe("Newest purchases left out"),
});

const clientSchema = z.object({
  name: z.string(),
  per: z.enum(["hour", "day", "total"]),
  assets: z.array(
    z.object({
      symbol: z.string(),
      decimals: z.number(),
      usdStable: z.boolean(),
      used: z.string(),
      limit: z.string(),
      remaining: z.string(),
    }),
  ),
});

const output = z.object({
  payer: z.string().nullable(),
  assets: z.array(
    z.object({
      symbol: z.string(),
      network: z.string(),
      asset: z.string(),
      decimals: z.number(),
      reserved: z.string(),
      spent: z.string(),
      perCall: z.string(),
      windows: z.array(z.object({ name: z.string(), used: z.string(), cap: z.string(), remaining: z.string() })),
    }),
  ),
  callsLastHour: z.number(),
  callsPerHour: z.number(),
  /** The budget of the client that calls, base units; null of one without. */
  client: clientSchema.nullable(),
  /** All purchases, and the newest that `recent` leaves out. */
  purchases: z.number(),
  skipped: z.number(),
  recent: z.array(
    z.object({
      idempotencyKey: z.string(),
      at: z.string(),
      seller: z.string(),
      model: z.string(),
      /** Null for a token that is no longer configured. */
      symbol: z.string().nullable(),
      decimals: z.number(),
      asset: z.string(),
      network: z.string(),
      amount: z.string(),
      /** Of a call on a shared authorization: its cost in the seller's words, and its part of the moved amount, base units. */
      shared: z.object({ told: z.string().nullable(), part: z.string().nullable() }).nullable(),
      state: z.string(),
      reason: z.string().nullable(),
      receiptId: z.string().nullable(),
      verdict: z.string().nullable(),
    }),
  ),
  warnings: z.array(z.object({ code: z.string(), message: z.string() })),
  next: z.string(),
});

export const spending: ToolDefinition<typeof input, typeof output> = {
  name: "spending",
  title: "Spending",
  description: "Spending limits, what is spent and reserved, and recent purchases. Amounts in base units. Free.",
  input,
  output,
  annotations: { readOnlyHint: true, destructiveHint: false, idempotentHint: true, openWorldHint: false },
  run: (context, { limit, skip }) =>
    outcomeOf(async () => {
      const view = await context.buyer.spending({ limit, skip, client: context.client });
      const next = (context.words ?? inTools)(stepOf(view));
      return { status: "ok", text: `${textOf(view)}\n${next}`, data: { ...dataOf(view), next } };
    }),
};

/** The list may be a part, and a reserved amount may have settled. */
function stepOf({ skipped, recent, purchases, assets }: Spending): Step {
  const end = skipped + recent.length;
  if (recent.length > 0 && end < purchases) return { do: "older", skip: end };
  return { do: assets.some(({ reserved }) => reserved !== "0") ? "settle" : "buy" };
}

const dataOf = (view: Spending): Omit<z.infer<typeof output>, "next"> => ({
  payer: view.payer,
  assets: view.assets.map((a) => ({
    symbol: a.symbol,
    network: a.network,
    asset: a.asset,
    decimals: a.decimals,
    reserved: a.reserved,
    spent: a.spent,
    perCall: a.perCall,
    windows: a.windows,
  })),
  callsLastHour: view.callsLastHour,
  callsPerHour: view.callsPerHour,
  client: view.client,
  purchases: view.purchases,
  skipped: view.skipped,
  recent: view.recent.map((r) => ({
    idempotencyKey: r.idempotencyKey,
    at: r.at,
    seller: r.sellerId,
    model: r.model,
    symbol: r.symbol,
    decimals: r.decimals,
    asset: r.asset,
    network: r.network,
    amount: r.amount,
    shared: r.shared,
    state: r.state,
    reason: r.reason,
    receiptId: r.receiptId,
    verdict: r.verdict,
  })),
  warnings: [...view.warnings],
});

function textOf(data: Spending): string {
  const lines = data.assets.flatMap((asset) => {
    const units = (amount: string): string => moneyText(amount, asset);
    return [
      `${asset.symbol} on ${chainName(asset.network)}: spent ${units(asset.spent)}, reserved ${units(asset.reserved)}, per call at most ${units(asset.perCall)}.`,
      ...asset.windows.map((w) => `  ${w.name}: ${units(w.used)} of ${units(w.cap)}, ${units(w.remaining)} left.`),
    ];
  });
  const { client } = data;
  for (const one of client?.assets ?? [])
    lines.push(
      `Budget of the client "${client?.name}" (${client?.per}): ${moneyText(one.used, one)} of ${moneyText(one.limit, one)}, ${moneyText(one.remaining, one)} left.`,
    );
  lines.push(
    `Calls in the last hour: ${data.callsLastHour} of ${data.callsPerHour}. Wallet: ${data.payer ?? "none configured"}.`,
  );
  const { skipped, purchases, recent } = data;
  const range = recent.length === 0 ? "none" : `${skipped + 1} to ${skipped + recent.length}`;
  if (recent.length < purchases) lines.push(`Purchases shown: ${range} of ${purchases}, newest first.`);
  const sumOf = ({ symbol, ...paid }: Spending["recent"][number]): string =>
    sumText(paid.amount, symbol === null ? undefined : { ...paid, symbol }, paid);
  const sharedText = ({ shared, ...paid }: Spending["recent"][number]): string => {
    if (shared === null) return "";
    const told =
      shared.told === null ? "" : `, ${sumOf({ ...paid, shared, amount: shared.told })} in the seller's words`;
    return ` of an authorization for several calls${told}`;
  };
  for (const r of data.recent)
    lines.push(
      `${r.at} ${r.sellerId}/${r.model}: ${r.state}${r.reason === null ? "" : ` (${r.reason})`}, ${sumOf(r)}${sharedText(r)}, receipt ${r.receiptId ?? "none"}, ${r.verdict ?? "no verdict"}, key ${r.idempotencyKey}.`,
    );
  for (const { message } of data.warnings) lines.push(`Warning: ${message}`);
  return lines.join("\n");
}
