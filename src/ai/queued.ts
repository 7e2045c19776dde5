/**
 * Yields the parts of a piece of work as they come, and ends with its error if it throws. The work begins with the first reading,
 * and goes on to its end if the reader leaves.
 *
 * @yields each part, in order
 */
export async function* queued(work: (tell: (part: unknown) => void) => Promise<unknown>): AsyncGenerator {
  const parts: unknown[] = [];
  let hasEnded = false;
  let wake = (): void => undefined;
  const done = work((part) => {
    parts.push(part);
    wake();
  }).finally(() => {
    hasEnded = true;
    wake();
  });
  // Thrown below, to a reader who stayed.
  done.catch(() => undefined);
  for (;;) {
    while (parts.length > 0) yield parts.shift();
    if (hasEnded) break;
    await new Promise<void>((resolve) => (wake = resolve));
  }
  await done;
}
