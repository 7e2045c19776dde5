import { isDeepStrictEqual } from "node:util";
import { guard, notDone, type BindRules, type Buyer, type Guarded } from "proof402";
import type { PoolAccess } from "./pool.ts";
import type { Limits } from "./settings.ts";
import type { Store } from "./store.ts";
import type { Wish } from "./strategy.ts";

/** What an order is judged by. Amounts are base units; all of it is on the record before the order is signed. */
export type OrderArguments = Wish & {
  day: number;
  /** The market as the bot sees it, which the seller must have been asked about. */
  features: number[];
  /** The most USD that a purchase pays, the least that a sale brings. */
  usdLimit: bigint;
  /** How far that is from the pool's own price, in hundredths of a percent. */
  slippageBps: number;
  positionAfter: bigint;
};

/** Which orders an answer justifies, as data: `rulesText` prints them, and `proof402 guard show` tells them of each order. */
export const rulesFor = (limits: Limits, mostPosition: bigint): BindRules => ({
  rules: [
    { check: { input: "/features" }, equals: { argument: "/features" } },
    { check: { answer: "/class/0" }, in: [{ value: 0 }, { value: 2 }] },
    {
      check: { argument: "/side" },
      equals: { value: "buy" },
      when: [{ check: { answer: "/class/0" }, equals: { value: 0 } }],
    },
    {
      check: { argument: "/side" },
      equals: { value: "sell" },
      when: [{ check: { answer: "/class/0" }, equals: { value: 2 } }],
    },
    { check: { argument: "/eth" }, atMost: { value: limits.stepEth.toString() } },
    { check: { argument: "/slippageBps" }, atMost: { value: limits.slippageBps } },
    { check: { argument: "/positionAfter" }, atMost: { value: mostPosition.toString() } },
    { check: { argument: "/positionAfter" }, atLeast: { value: 0 } },
  ],
  // Held by the function itself: it compares both with the market and the chain.
  free: ["/day", "/usdLimit"],
});

/** The worst price that is let pass: the pool's own, and the slippage. */
export const limitOf = ({ side }: Wish, quote: bigint, bps: number): bigint =>
  side === "buy" ? quote + (quote * BigInt(bps)) / 10_000n : quote - (quote * BigInt(bps)) / 10_000n;

/** The id of an action's order in the pool: the guard's key for it is a hash already. */
export const orderIdOf = (idempotencyKey: string): `0x${string}` => `0x${idempotencyKey.slice(-64)}`;

/**
 * The only two ways to the pool: one on attested answers up to a position, one on proofs above it. Each order has the
 * guard's key as its id, and is kept, signed, before it is sent.
 */
export function guardedTrades(bot: {
  name: string;
  buyer: Buyer;
  pool: PoolAccess;
  store: Store;
  limits: Limits;
  featuresAt(day: number): number[];
}): Record<"attested" | "proven", Guarded<OrderArguments, string>> {
  const { buyer, pool, store, limits } = bot;
  const trade = (assurance: "attested" | "proven", mostPosition: bigint): Guarded<OrderArguments, string> =>
    guard(
      {
        name: `${bot.name} trade, ${assurance}`,
        async run(args: OrderArguments, { idempotencyKey }) {
          const orderId = orderIdOf(idempotencyKey);
          const order = await checkAndSign(args, orderId).catch((error: unknown) => {
            throw notDone(`Nothing was signed: ${error instanceof Error ? error.message.split("\n")[0] : "no reason"}`);
          });
          store.keepOrder(order);
          if ((await pool.send(order)) === "traded") return `traded in ${order.hash}`;
          // Mined and reverted: its nonce is used, so these bytes can never trade.
          throw notDone("The pool refused the order: the price moved.");
        },
        async settle({ idempotencyKey, at }) {
          const order = store.order(orderIdOf(idempotencyKey));
          // In this order: a nonce that was used before the pool was asked is a trade by then, or never will be one.
          const used = await pool.used();
          if (await pool.traded(orderIdOf(idempotencyKey)))
            return { state: "done", note: `traded in ${order?.hash ?? "a transaction of before"}` };
          if (order !== null) return order.nonce < used ? { state: "failed", note: "reverted" } : "undecided";
          return at >= store.since ? { state: "failed", note: "no order was signed" } : "undecided";
        },
      },
      {
        buyer,
        assurance,
        maxAge: limits.maxAgeSeconds,
        models: ["eth-risk"],
        bind: rulesFor(limits, mostPosition),
        // The market on this machine has no hardware; with real sellers leave this out.
        allowSimulated: true,
      },
    );
  /** The rules held what the arguments say; here the world holds the arguments. */
  async function checkAndSign(args: OrderArguments, orderId: `0x${string}`) {
    const [position, quote] = await Promise.all([pool.position(), pool.quote(args)]);
    if (!isDeepStrictEqual([...args.features], bot.featuresAt(args.day))) throw new Error("the market is another");
    if (position + (args.side === "buy" ? args.eth : -args.eth) !== args.positionAfter)
      throw new Error("the position is another");
    const worst = limitOf(args, quote, args.slippageBps);
    if (args.side === "buy" ? args.usdLimit > worst : args.usdLimit < worst) throw new Error("the price moved");
    return pool.sign(args, args.usdLimit, orderId);
  }
  return {
    attested: trade("attested", limits.provenAboveEth),
    proven: trade("proven", limits.positionEth),
  };
}
