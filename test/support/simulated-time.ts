import { syncBuiltinESMExports } from "node:module";
import timers from "node:timers/promises";

let skipped = 0;

/** Lets so many ms pass at once for whoever measures with `performance.now()`. */
export const skipTime = (ms: number): void => {
  skipped += ms;
};

/**
 * From here on `node:timers/promises` pauses no longer than a turn of the event loop, and `performance.now()` can be moved on:
 * a sequence of hours runs in milliseconds. For processes that run nothing else until the function that it returns is called.
 */
export function simulateTime(): () => void {
  const measured = performance.now.bind(performance);
  const { setTimeout: pause } = timers;
  const soon = (_ms?: number, value?: unknown): Promise<unknown> =>
    new Promise((resolve) => {
      setImmediate(resolve, value);
    });
  performance.now = () => measured() + skipped;
  timers.setTimeout = soon as typeof timers.setTimeout;
  syncBuiltinESMExports();
  return () => {
    performance.now = measured;
    timers.setTimeout = pause;
    syncBuiltinESMExports();
  };
}
