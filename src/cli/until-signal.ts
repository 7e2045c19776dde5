/** The words by which a system tells a program to end. */
export const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/**
 * Runs a command that serves: `ended` resolves at the first signal to end. A signal that is repeated ends nothing else, since a
 * payment may be out.
 */
export async function untilSignal<T>(work: (ended: Promise<void>) => Promise<T>): Promise<T> {
  let end = (): void => undefined;
  const ended = new Promise<void>((resolve) => (end = resolve));
  for (const signal of SIGNALS) process.on(signal, end);
  try {
    return await work(ended);
  } finally {
    for (const signal of SIGNALS) process.off(signal, end);
  }
}
