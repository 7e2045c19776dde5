import { BaseError } from "viem";
import { formatUnits, Proof402Error, type ActionRecord, type Buyer, type BuyResult } from "proof402";
import { ask, recordOnce } from "./ask.ts";
import { featuresOf } from "./features.ts";
import type { PoolAccess } from "./pool.ts";
import { createSeries, WARM_UP } from "./price.ts";
import type { Settings } from "./settings.ts";
import type { Round, Store } from "./store.ts";
import { assuranceFor, classOf, wishFor } from "./strategy.ts";
import { guardedTrades, limitOf, orderIdOf } from "./trade.ts";

/** What the bot shows of itself. */
export type Health = { position: bigint; left: bigint; isLow: boolean; waitsFor: string | null };

export type Parts = { settings: Settings; buyer: Buyer; store: Store; pool: PoolAccess; say: (line: string) => void };

/** The bot: `step` moves the open round as far as it goes now. Whatever ends the process, the next one goes on from there. */
export function createBot({ settings, buyer, store, pool, say }: Parts) {
  const { limits, name } = settings;
  const series = createSeries(settings.seed);
  const featuresAt = (day: number): number[] => featuresOf(series.upTo(WARM_UP + 24 * day));
  const trades = guardedTrades({ name, buyer, pool, store, limits, featuresAt });
  const health: Health = { position: 0n, left: 0n, isLow: false, waitsFor: null };
  /** False while an order of before may still be open: nothing new is begun then. */
  let isSettled = false;

  /** Sends orders again that were signed and may not have arrived, and has the chain say what became of each. */
  async function settle(): Promise<boolean> {
    const open = (await buyer.actions.list({ open: true, limit: 1000 })).filter(({ tool }) => isOf(name, tool));
    for (const { idempotencyKey } of open) {
      const order = idempotencyKey === null ? null : store.order(orderIdOf(idempotencyKey));
      if (order !== null) await pool.resend(order);
    }
    if (open.length > 0)
      for (const found of [...(await trades.attested.settle()), ...(await trades.proven.settle())])
        say(`an order of before is ${found.state}: ${found.note ?? ""}`);
    const left = await buyer.actions.list({ open: true, limit: 1000 });
    return !left.some(({ tool, state }) => isOf(name, tool) && state !== "claimed");
  }

  async function nextRound(): Promise<Round> {
    const day = (store.lastDay() ?? settings.firstDay - 1) + 1;
    return store.begin({ day, assurance: assuranceFor(await pool.position(), limits), features: featuresAt(day) });
  }

  /** The round's trade, if an earlier process made it: the answer may be too old by now, and its trade stands. */
  async function tradeOf({ day }: Round): Promise<ActionRecord | null> {
    const actions = await buyer.actions.list({ limit: 100 });
    const done = actions.filter(({ tool, state }) => isOf(name, tool) && state === "done");
    return done.find((one) => dayOf(one) === day) ?? null;
  }

  /** Trades once on a verified answer. Null asks for another answer. */
  async function act(round: Round, { receipt, answer }: BuyResult): Promise<string | null> {
    const position = await pool.position();
    const wish = wishFor(classOf(answer), position, limits);
    if (wish === null) return `held: class ${classOf(answer)}`;
    const slippageBps = limits.slippageBps;
    const usdLimit = limitOf(wish, await pool.quote(wish), slippageBps);
    const positionAfter = position + (wish.side === "buy" ? wish.eth : -wish.eth);
    const { day, features } = round;
    say(`day ${day}: trading`);
    try {
      await trades[round.assurance](
        { ...wish, day, features, usdLimit, slippageBps, positionAfter },
        { receiptId: receipt.id },
      );
      return "traded";
    } catch (error) {
      if (!Proof402Error.isInstance(error) || error.code === "guard_stopped") throw error;
      say(`day ${day}: not traded: ${error.message}`);
      // The answer does not justify the order, and no other answer to the same question would.
      return error.code === "receipt_not_bound" ? `refused: ${error.code}` : null;
    }
  }

  async function end(round: Round, receiptId: string, outcome: string): Promise<void> {
    const done = await tradeOf(round);
    const swap = done?.idempotencyKey == null ? null : await pool.swap(orderIdOf(done.idempotencyKey));
    const told = swap === null ? outcome : `${swap.side} ${formatUnits(swap.eth, 18)} ETH`;
    await recordOnce(buyer, {
      purpose: name,
      subject: `day ${round.day}`,
      receipts: [receiptId],
      action: swap === null ? { trade: "none" } : { trade: swap.side, ...textOf(swap) },
      outcome: told,
      program: "defi-bot",
    });
    store.end(round.day, outcome);
    const { core } = await buyer.getReceipt(receiptId);
    say(`day ${round.day}: ${told}, ${round.assurance}, by ${core.seller.id}`);
  }

  /** What is left to spend, of the caps and of the wallet, and the alarm for its owner. */
  async function lookAtMoney(): Promise<void> {
    const { payer, assets } = await buyer.spending({ limit: 1 });
    const asset = assets.find(({ usdStable }) => usdStable);
    if (asset === undefined || payer === null) return;
    const [token, owner] = [asset.asset, payer] as [`0x${string}`, `0x${string}`];
    const caps = asset.windows.map(({ remaining }) => BigInt(remaining));
    const lefts = [await pool.balanceOf(token, owner), ...caps];
    health.left = lefts.reduce((least, one) => (one < least ? one : least));
    const isLow = health.left < settings.topUpBelow;
    if (isLow && !health.isLow) say(`TOP UP: ${formatUnits(health.left, asset.decimals)} ${asset.symbol} left`);
    health.isLow = isLow;
  }

  async function advance(): Promise<string | null> {
    if (!isSettled && !(await settle())) return "an order of before is not on the chain yet";
    isSettled = true;
    health.position = await pool.position();
    await lookAtMoney();
    const round = store.open() ?? (await nextRound());
    const made = await tradeOf(round);
    if (made !== null) {
      await end(round, made.receiptId, "traded");
      return null;
    }
    const asked = await ask({ name, buyer, store }, round, { ...limits, waitSeconds: 5 });
    if (asked.is === "ended") {
      store.end(round.day, asked.outcome);
      say(`day ${round.day}: ${asked.outcome}`);
      return null;
    }
    if (asked.is === "waiting") {
      if (asked.dry) health.isLow = true;
      return asked.dry ? `TOP UP: ${asked.why}` : asked.why;
    }
    const outcome = await act(round, asked.bought);
    if (outcome === null) store.nextAnswer(round.day);
    else await end(round, asked.bought.receipt.id, outcome);
    health.position = await pool.position();
    return null;
  }

  return {
    health,
    /** True after a move. False if it waits: then `health.waitsFor` says for what. */
    async step(): Promise<boolean> {
      const why = await advance().catch((error: unknown) => {
        // The chain and the sellers come back. Anything else is a fault of the bot: it ends, and its supervisor starts it.
        if (!(error instanceof BaseError) && !Proof402Error.isInstance(error)) throw error;
        isSettled = false;
        store.count("troubles");
        return error instanceof BaseError ? `the chain: ${error.name}` : error.code;
      });
      if (why !== null && why !== health.waitsFor) say(`waits: ${why}`);
      health.waitsFor = why;
      return why === null;
    },
    /** What a round would do now. It buys nothing, trades nothing and keeps nothing. */
    async dryRun(day: number): Promise<void> {
      const position = await pool.position();
      const either = [0, 2].map((riskClass) => wishFor(riskClass, position, limits));
      const orders = either.flatMap((wish) => (wish === null ? [] : [`${wish.side} ${formatUnits(wish.eth, 18)} ETH`]));
      const would = `would ask for an answer that is ${assuranceFor(position, limits)}`;
      say(`day ${day}: ${would}, and by it ${orders.join(", ") || "not trade"}, or hold`);
    },
  };
}

const dayOf = ({ arguments: given }: ActionRecord): number | null =>
  given === null ? null : (JSON.parse(given.json) as { day: number }).day;

/** Whether an action is of this bot. */
export const isOf = (name: string, tool: string | null): boolean => tool?.startsWith(`${name} trade,`) === true;

const textOf = (swap: { eth: bigint; usd: bigint; orderId: string; transaction: string }) => ({
  eth: swap.eth.toString(),
  usd: swap.usd.toString(),
  order: swap.orderId,
  transaction: swap.transaction,
});
