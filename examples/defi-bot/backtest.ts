import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { formatUnits } from "proof402";
import { featuresOf } from "./features.ts";
import { createSeries, WARM_UP } from "./price.ts";
import type { Limits } from "./settings.ts";
import { assuranceFor, wishFor } from "./strategy.ts";

const DAYS = 365;
const ETHER = 10n ** 18n;
/** What an account begins with: base units of USD. */
const START_USD = 10_000_000_000n;
/** The pool is as deep as the demo's, and others keep it at the market's price. */
const POOL_ETH = 1000n * ETHER;

/** What an answer of each assurance costs, base units of USD. */
export type Prices = Record<"attested" | "proven", bigint>;

/** What a year came to. Money in base units of USD. */
export type Year = { trades: number; answers: number; spent: bigint; end: bigint };

/** The year's days with the answer that an honest seller gives for each: the very model that sellers run. */
export async function readYear(seed: number): Promise<{ price: bigint; honest: number }[]> {
  const root = dirname(createRequire(import.meta.url).resolve("proof402/package.json"));
  const model = await InferenceSession.create(join(root, "models", "eth-risk.onnx"));
  const series = createSeries(seed);
  const days: { price: bigint; honest: number }[] = [];
  for (let day = 0; day < DAYS; day += 1) {
    const hours = series.upTo(WARM_UP + 24 * day);
    const features = new Tensor("float32", Float32Array.from(featuresOf(hours)), [1, 8]);
    const answer = await model.run({ features });
    days.push({ price: hours.at(-1)?.price ?? 0n, honest: Number(answer["class"]?.data[0]) });
  }
  return days;
}

/** The lie of the devnet's cheating seller: danger is called low risk, and low risk medium. */
export const lieAbout = (honest: number): number => (honest === 0 ? 1 : 0);

/** Plays the bot's own strategy over the year, with the answers that it would have believed. */
export function play(
  days: readonly { price: bigint; honest: number }[],
  limits: Limits,
  { believed, prices }: { believed: (honest: number) => number; prices: Prices },
): Year {
  let [usd, eth, spent, trades] = [START_USD, 0n, 0n, 0];
  for (const { price, honest } of days) {
    spent += prices[assuranceFor(eth, limits)];
    const wish = wishFor(believed(honest), eth, limits);
    if (wish === null) continue;
    const reserveUsd = (POOL_ETH * price) / ETHER;
    const kept = wish.eth * 997n;
    const worth =
      wish.side === "buy"
        ? (reserveUsd * wish.eth * 1000n) / ((POOL_ETH - wish.eth) * 997n) + 1n
        : (reserveUsd * kept) / (POOL_ETH * 1000n + kept);
    if (wish.side === "buy" && worth > usd) continue;
    usd += wish.side === "buy" ? -worth : worth;
    eth += wish.side === "buy" ? wish.eth : -wish.eth;
    trades += 1;
  }
  const last = days.at(-1)?.price ?? 0n;
  return { trades, answers: days.length, spent, end: usd + (eth * last) / ETHER };
}

/**
 * Compares a year of verified answers with one of a lying seller's, believed. A verified buyer pays for `refused` answers,
 * too: once, as their seller is on hold from then on. `lie` is the price of each believed one.
 */
export async function backtest(
  seed: number,
  { limits, prices, refused, lie }: { limits: Limits; prices: Prices; refused: bigint; lie: bigint },
): Promise<string[]> {
  const days = await readYear(seed);
  const verified = play(days, limits, { believed: (honest) => honest, prices });
  const spent = verified.spent + refused;
  const lied = play(days, limits, { believed: lieAbout, prices: { attested: lie, proven: lie } });
  const [kept, lost] = [verified.end - spent, lied.end - lied.spent];
  const perTrade = spent / BigInt(Math.max(verified.trades, 1));
  return [
    `a year of ${DAYS} days from ${inCents(START_USD)}: ${verified.trades} trades on ${verified.answers} verified answers`,
    `verified inference cost ${inCents(spent)}, $${formatUnits(perTrade, 6)} a trade; the account ends at ${inCents(kept)}`,
    `a lying seller, believed: ${lied.trades} trades on ${inCents(lied.spent)} of answers; the account ends at ${inCents(lost)}`,
    `without verification the lies would have cost ${inCents(kept - lost)}`,
  ];
}

/** Dollars and cents, the rest cut off. */
function inCents(amount: bigint): string {
  const cents = (amount < 0n ? -amount : amount) / 10_000n;
  return `${amount < 0n ? "-" : ""}$${cents / 100n}.${String(cents % 100n).padStart(2, "0")}`;
}
