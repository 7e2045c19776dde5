import { vi } from "vitest";

/** Waits until a check no longer throws. The limit ends what never comes: on a busy machine everything else comes late. */
export const eventually = <T>(check: () => T | Promise<T>): Promise<T> =>
  vi.waitFor(check, { timeout: 150_000, interval: 20 });
