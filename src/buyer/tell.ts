/** Tells a caller's listener. Its failure, at once or by a promise, is its own: it must not cost an answer that was paid for. */
export function tell<Told>(listener: (told: Told) => unknown, told: Told): void {
  try {
    Promise.resolve(listener(told)).catch(() => undefined);
  } catch {
    // Its own business.
  }
}
