import { normal, type Head, type Sample } from "./mlp.ts";

/** A model to train: what it is for, the world its data is drawn from, and its shape. */
export type Task = {
  name: string;
  task: string;
  description: string;
  features: readonly string[];
  hidden: readonly number[];
  head: Head;
  /** Output tensors over the last layer's units, in order. */
  outputs: readonly { name: string; units: number }[];
  /** Adds an INT64 `class` output: the index of the largest unit. */
  classes: boolean;
  seed: number;
  draw: (random: () => number) => Sample;
};

const uniform = (random: () => number, low: number, high: number): number => low + (high - low) * random();
const clamp = (value: number, low: number, high: number): number => Math.min(high, Math.max(low, value));

/** Invented ETH markets: a volatility regime drives returns, drawdown, volume and funding; the class is the regime's risk with some noise. */
const ethRisk: Task = {
  name: "eth-risk",
  task: "Judge the short-term risk of holding ETH",
  description:
    "Input features (8, in order): return over 1 h, 24 h and 7 d as fractions; annualised volatility over 24 h and 7 d as fractions; drawdown from the 30 d high as a negative fraction; volume z-score; perpetual funding rate per 8 h in percent. Output probabilities (3) for classes 0 low, 1 medium, 2 high risk, and class, the most probable one.",
  features: [
    "return_1h",
    "return_24h",
    "return_7d",
    "volatility_24h",
    "volatility_7d",
    "drawdown_30d",
    "volume_zscore",
    "funding_percent",
  ],
  hidden: [32, 16],
  head: "softmax",
  outputs: [{ name: "probabilities", units: 3 }],
  classes: true,
  seed: 402_001,
  draw(random) {
    const regime = random();
    const volatility = 0.25 + 0.9 * regime * regime + 0.05 * Math.abs(normal(random));
    const drift = uniform(random, -0.3, 0.25) * regime;
    const hour = (volatility / Math.sqrt(8760)) * normal(random);
    const day = drift * 0.15 + (volatility / Math.sqrt(365)) * normal(random);
    const week = drift * 0.6 + (volatility / Math.sqrt(52)) * normal(random);
    const drawdown = -clamp(0.05 + 0.4 * regime * random() - Math.min(0, week), 0, 0.9);
    const volume = 2.2 * regime - 0.6 + 0.7 * normal(random);
    const funding = 0.0001 + 0.0015 * (regime - 0.4) * normal(random);
    const dayVolatility = volatility * (1 + 0.15 * normal(random));
    const score =
      1.5 * dayVolatility +
      volatility +
      1.6 * -drawdown -
      2 * Math.min(0, day) +
      0.12 * volume +
      60 * Math.abs(funding);
    const risk = score < 1.45 ? 0 : score < 2.5 ? 1 : 2;
    return {
      x: [hour, day, week, dayVolatility, volatility, drawdown, volume, funding * 100],
      y: [0, 1, 2].map((c) => (c === risk ? 1 : 0)),
    };
  },
};

/** Invented payroll lines: most follow the contract, one in four carries an error or a fraud pattern. */
const payrollCheck: Task = {
  name: "payroll-check",
  task: "Score a payroll line for anomalies",
  description:
    "Input features (8, in order): gross pay / contract pay; overtime hours / 40; gross pay / mean of the last 6 months; days since the bank account changed / 365, at most 1; share of manual adjustments 0..1; tenure in years / 10; lines for this person in this run; tax withheld / expected tax. Output score (1) from 0 ordinary to 1 anomalous; review above 0.5.",
  features: [
    "pay_to_contract",
    "overtime",
    "pay_to_history",
    "account_age",
    "manual_share",
    "tenure",
    "lines",
    "tax_ratio",
  ],
  hidden: [24, 12],
  head: "sigmoid",
  outputs: [{ name: "score", units: 1 }],
  classes: false,
  seed: 402_002,
  draw(random) {
    const line = [
      1 + 0.05 * normal(random),
      clamp(0.1 + 0.1 * normal(random), 0, 1.5),
      1 + 0.06 * normal(random),
      clamp(random() * 2, 0, 1),
      clamp(0.05 * Math.abs(normal(random)), 0, 1),
      random() * 2,
      1,
      1 + 0.04 * normal(random),
    ];
    const anomalous = random() < 0.25;
    const kind = Math.floor(random() * 4);
    const change = (index: number, value: number): void => void (line[index] = value);
    if (anomalous && kind === 0) {
      change(0, uniform(random, 1.4, 3));
      change(2, uniform(random, 1.3, 3));
    }
    if (anomalous && kind === 1) {
      change(3, uniform(random, 0, 0.03));
      change(4, uniform(random, 0.4, 1));
    }
    if (anomalous && kind === 2) change(6, Math.floor(uniform(random, 2, 5)));
    if (anomalous && kind === 3) {
      change(7, uniform(random, 0, 0.6));
      change(1, uniform(random, 0.7, 1.5));
    }
    return { x: line, y: [anomalous ? 1 : 0] };
  },
};

/** Invented freight routes: cost and delay follow distance, mode, weather, congestion and customs. */
const supplyRoute: Task = {
  name: "supply-route",
  task: "Estimate cost and delay of a freight route",
  description:
    "Input features (7, in order): distance / 1000 km; mode 0 road, 1 rail, 2 sea, 3 air, divided by 3; load / 10 t; weather severity 0..1; port or road congestion 0..1; customs borders crossed / 5; fuel price / 2 USD per litre. Outputs: cost (1) in thousand USD and delay (1) in days beyond schedule.",
  features: ["distance", "mode", "load", "weather", "congestion", "borders", "fuel"],
  hidden: [24, 12],
  head: "linear",
  outputs: [
    { name: "cost", units: 1 },
    { name: "delay", units: 1 },
  ],
  classes: false,
  seed: 402_003,
  draw(random) {
    const mode = Math.floor(random() * 4);
    const [distance, load] = [uniform(random, 0.1, 8), uniform(random, 0.1, 2.5)];
    const [weather, congestion] = [random(), random()];
    const [borders, fuel] = [Math.floor(random() * 6) / 5, uniform(random, 0.4, 1.2)];
    const rate = [0.9, 0.5, 0.2, 3.2][mode] ?? 1;
    const cost = distance * load * rate * (0.6 + 0.5 * fuel) + 0.4 * borders * 5 * 0.2 + 0.1 * normal(random);
    const exposure = [0.6, 0.4, 1, 0.8][mode] ?? 1;
    const delay = Math.max(
      0,
      exposure * 3 * weather * weather + 2 * congestion * congestion + 0.4 * borders * 5 * 0.5 + 0.1 * normal(random),
    );
    return { x: [distance, mode / 3, load, weather, congestion, borders, fuel], y: [cost, delay] };
  },
};

/** The models of the repository. */
export const TASKS: readonly Task[] = [ethRisk, payrollCheck, supplyRoute];
