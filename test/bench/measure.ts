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

/** What a row counts that is no time. */
type Unit = "MB" | "a second";

/** One measured row. `holds` is whether its target is met, null without one. */
export type Row = {
  name: string;
  ms: number;
  /** What `ms` counts, if it is no time. */
  unit?: Unit;
  cpuMs: number | null;
  megabytesPerSecond: number | null;
  ratio: { to: string; is: number } | null;
  target: string | null;
  holds: boolean | null;
};
/** A line of a section: a row, or words between rows. */
export type Line = Row | string;

type Beside = {
  /** The row that this one is a multiple of, and the most that it may be. */
  base?: { name: string; ms: number; target?: number };
  /** CPU time, ms. */
  cpu?: number;
  /** The most it may take, ms: of CPU if that is measured. */
  under?: number | undefined;
  unit?: Unit;
  /** The fewest it may be. */
  atLeast?: number;
  /** The bytes that it reads, and the fewest megabytes a second. */
  reads?: { bytes: number; target: number };
};

/** A row of a median, with what it is measured by. */
export function row(name: string, ms: number, { base, cpu, under, reads, unit, atLeast }: Beside = {}): Row {
  const ratio = base === undefined ? null : { to: base.name, is: ms / base.ms };
  const speed = reads === undefined ? null : reads.bytes / 1000 / ms;
  const [target, holds] =
    reads !== undefined
      ? [`at least ${reads.target} MB/s`, (speed ?? 0) >= reads.target]
      : atLeast !== undefined
        ? [`at least ${atLeast} ${unit ?? "ms"}`, ms >= atLeast]
        : under !== undefined
          ? [`under ${under} ${unit ?? "ms"}`, (cpu ?? ms) < under]
          : base?.target !== undefined
            ? [`at most ${base.target.toFixed(2)} x`, (ratio?.is ?? Infinity) <= base.target]
            : [null, null];
  return {
    name,
    ms,
    ...(unit === undefined ? {} : { unit }),
    cpuMs: cpu ?? null,
    megabytesPerSecond: speed,
    ratio,
    target,
    holds,
  };
}

/** A line as it is printed. */
export function textOf(line: Line): string {
  if (typeof line === "string") return line;
  const { name, ms, unit = "ms", cpuMs, megabytesPerSecond, ratio, target, holds } = line;
  return [
    `  ${name.padEnd(54)} ${ms.toFixed(2).padStart(9)} ${unit}`,
    cpuMs === null ? "" : `, ${cpuMs.toFixed(2)} ms of CPU`,
    megabytesPerSecond === null ? "" : `  ${megabytesPerSecond.toFixed(0)} MB/s`,
    ratio === null ? "" : `  ${ratio.is.toFixed(2)} x ${ratio.to}`,
    target === null ? "" : ` (target ${target}: ${holds === true ? "holds" : "MISSED"})`,
  ].join("");
}
