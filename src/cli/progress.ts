import { note } from "./globals.ts";

/** How long work may take before it is spoken of, and how often afterwards, ms. */
const SILENT_MS = 500;
const EVERY_MS = 1000;

/**
 * Does long work, and says so on stderr within a second. On a terminal one line counts the seconds and is gone at the end;
 * elsewhere it is said once.
 */
export async function busy<T>(what: string, work: () => Promise<T>): Promise<T> {
  const { stderr } = process;
  const began = performance.now();
  const line = (): void => {
    if (stderr.isTTY) stderr.write(`${CLEAR}${what} (${Math.round((performance.now() - began) / 1000)} s)`);
    else note(`${what} ...`);
  };
  let ticking: NodeJS.Timeout | undefined;
  const first = setTimeout(() => {
    line();
    if (stderr.isTTY) ticking = setInterval(line, EVERY_MS);
  }, SILENT_MS);
  try {
    return await work();
  } finally {
    clearTimeout(first);
    clearInterval(ticking);
    if (ticking !== undefined) stderr.write(CLEAR);
  }
}

/** To the start of the line, and all of it gone. */
const CLEAR = "\r\u001b[2K";
