import { syncBuiltinESMExports } from "node:module";
import timers from "node:timers/promises";

let skipped = 0;

/** Lets so many ms pass at once for whoever measures with `performance.now()`. */
export const skipTime = (ms: number): void => {
  skipped += ms;
};

/** viem's pause before it asks again, and a call's before it looks again whether another with its key has ended. */
const PAUSE_MS = 100;

/**
 * From here on `node:timers/promises` pauses no longer than a turn of the event loop, timers of {@link PAUSE_MS} fire after 1 ms,
 * and `performance.now()` can be moved on: a sequence of hours runs in milliseconds. For processes that run nothing else until
 * the function that it returns is called.
 */
export function simulateTime(): () => void {
  const measured = performance.now.bind(performance);
  const { setTimeout: pause } = timers;
  const { setTimeout: wait } = globalThis;
  const soon = (_ms?: number, value?: unknown): Promise<unknown> =>
    new Promise((resolve) => {
      setImmediate(resolve, value);
    });
  const shortened = (run: (...args: unknown[]) => void, ms = 0, ...args: unknown[]): NodeJS.Timeout =>
    wait(run, ms === PAUSE_MS ? 1 : ms, ...args);
  globalThis.setTimeout = Object.assign(shortened, wait);
  performance.now = () => measured() + skipped;
  timers.setTimeout = soon as typeof timers.setTimeout;
  syncBuiltinESMExports();
  return () => {
    performance.now = measured;
    timers.setTimeout = pause;
    globalThis.setTimeout = wait;
    syncBuiltinESMExports();
  };
}
