import { syncBuiltinESMExports } from "node:module";
import timers from "node:timers/promises";

let skipped = 0;
let simulated = false;

/** Lets so many ms pass at once for whoever measures with `performance.now()`. */
export const skipTime = (ms: number): void => {
  skipped += ms;
};

/**
 * From here on `node:timers/promises` pauses no longer than a turn of the event loop, and `performance.now()` can be moved on:
 * a sequence of hours runs in milliseconds. For processes that run nothing else.
 */
export function simulateTime(): void {
  if (simulated) return;
  simulated = true;
  const measured = performance.now.bind(performance);
  performance.now = () => measured() + skipped;
  const soon = (_ms?: number, value?: unknown): Promise<unknown> =>
    new Promise((resolve) => {
      setImmediate(resolve, value);
    });
  timers.setTimeout = soon as typeof timers.setTimeout;
  syncBuiltinESMExports();
}
