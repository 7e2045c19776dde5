import { WARM_UP, type Hour } from "./price.ts";

/**
 * The input of `eth-risk`, in its order: return over 1 h, 24 h and 7 d, yearly volatility of 24 h and 7 d, drawdown from the
 * high of 30 d, volume against its usual, funding in percent. Rounded to six places, so that buyer and seller see the
 * same short numbers. Throws for a series of less than 30 days.
 */
export function featuresOf(hours: readonly Hour[]): number[] {
  if (hours.length <= WARM_UP) throw new Error("the series has less than 30 days");
  const month = hours.slice(-WARM_UP);
  const last = month.length - 1;
  const prices = month.map(({ price }) => Number(price));
  const back = (count: number): number => prices[last - count] ?? Number.NaN;
  const now = back(0);
  const since = (count: number): number => now / back(count) - 1;
  const returns = prices.slice(1).map((price, at) => price / (prices[at] ?? price) - 1);
  const yearly = (count: number): number => deviation(returns.slice(-count)) * Math.sqrt(8760);
  const volumes = month.map(({ volume }) => volume);
  const usual = mean(volumes);
  const { volume = usual, funding = 0 } = month[last] ?? {};
  return [
    since(1),
    since(24),
    since(168),
    yearly(24),
    yearly(168),
    now / Math.max(...prices) - 1,
    (volume - usual) / (deviation(volumes) || 1),
    funding,
  ].map((value) => Math.round(value * 1e6) / 1e6);
}

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

function deviation(values: readonly number[]): number {
  const middle = mean(values);
  return Math.sqrt(mean(values.map((value) => (value - middle) ** 2)));
}
