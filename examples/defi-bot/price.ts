/** One hour of the market. Prices are whole micro-dollars of one ETH: money is never a floating-point number here. */
export type Hour = { price: bigint; volume: number; funding: number };

/** Hours before the first day: the longest feature looks back 30 days. */
export const WARM_UP = 720;

const HOURS_A_YEAR = 8760;
/** Moods of the invented market: yearly volatility, drift an hour, and the chance an hour that the mood goes over. */
const MOODS = [
  { volatility: 0.3, drift: 0.0002, ends: 1 / 400 },
  { volatility: 0.65, drift: 0, ends: 1 / 150 },
  { volatility: 1.1, drift: -0.0012, ends: 1 / 110 },
] as const;

/**
 * An invented market, the same for the same seed on every machine: only sums, products and square roots, which IEEE 754
 * rounds in one way. Put your own feed in its place; the bot asks for nothing but the hours up to now.
 */
export function createSeries(seed: number): { upTo(hour: number): readonly Hour[] } {
  const random = seeded(seed);
  const hours: Hour[] = [];
  let mood = 0;
  let price = 2_000_000_000n;
  const step = (): Hour => {
    const { volatility, drift, ends } = MOODS[mood] ?? MOODS[0];
    const change = drift + (volatility / Math.sqrt(HOURS_A_YEAR)) * normal(random);
    price += (price * BigInt(Math.round(change * 1e9))) / 1_000_000_000n;
    const volume = 100 * (1 + mood * 0.8) * (0.7 + 0.6 * random());
    const funding = 0.01 + 0.04 * mood * normal(random);
    // From calm and from a crash the market gets nervous; from there it goes either way.
    if (random() < ends) mood = mood !== 1 ? 1 : random() < 0.5 ? 0 : 2;
    return { price, volume, funding };
  };
  return {
    upTo(hour) {
      while (hours.length <= hour) hours.push(step());
      return hours.slice(0, hour + 1);
    },
  };
}

/** Numbers from 0 to 1 by Mulberry32: whole numbers of 32 bits, so that each machine draws the same. */
function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** Nearly normal, mean 0 and deviation 1: the sum of twelve, less six. */
function normal(random: () => number): number {
  let sum = -6;
  for (let drawn = 0; drawn < 12; drawn += 1) sum += random();
  return sum;
}
