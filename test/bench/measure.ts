import { setTimeout as sleep } from "node:timers/promises";

/** One timed run. What it returns is done before the next arm and not timed: work an arm leaves behind must not slow another. */
export type Arm = () => Promise<void | (() => Promise<unknown>)>;

/**
 * Medians of interleaved arms: every round runs each arm once, so that drift of the machine hits all alike. `pauseMs` is for
 * work that an arm leaves to other processes, where nobody can say when it is over.
 */
export async function interleaved(
  arms: Readonly<Record<string, Arm>>,
  options: { rounds: number; warmup: number; pauseMs?: number },
): Promise<Record<string, number>> {
  const times = new Map<string, number[]>(Object.keys(arms).map((name) => [name, []]));
  for (let round = -options.warmup; round < options.rounds; round += 1) {
    for (const [name, run] of Object.entries(arms)) {
      const began = performance.now();
      const leftover = await run();
      const took = performance.now() - began;
      await leftover?.();
      if (options.pauseMs !== undefined) await sleep(options.pauseMs);
      if (round >= 0) times.get(name)?.push(took);
    }
  }
  return Object.fromEntries([...times].map(([name, values]) => [name, median(values)]));
}

/** The middle value; the mean of the two middle ones for an even count. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

/** One printed row: a name, a median, and its ratio to a base with the target beside it. */
export function row(name: string, ms: number, base?: { name: string; ms: number; target?: number }): string {
  const ratio =
    base === undefined
      ? ""
      : `  ${(ms / base.ms).toFixed(2)} x ${base.name}${base.target === undefined ? "" : ` (target at most ${base.target.toFixed(2)} x)`}`;
  return `  ${name.padEnd(52)} ${ms.toFixed(2).padStart(9)} ms${ratio}`;
}
