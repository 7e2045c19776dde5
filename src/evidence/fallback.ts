/** A seller's word that another model served, as its response headers have it. */
export type Fallback = { used: string | null; model: string | null };

const MOST = 256;
const NO = /^(?:|false|no|n|none|off|0)$/i;

/**
 * A seller's headers about another model in the place of the one asked for, or null without them. Names are lower case. Source: BlockRun's gateway, `X-Fallback-Used` and `X-Fallback-Model`.
 */
export function fallbackIn(headers: Readonly<Record<string, string>>): Fallback | null {
  const told = { used: textOf(headers["x-fallback-used"]), model: textOf(headers["x-fallback-model"]) };
  return told.used === null && told.model === null ? null : told;
}

/** Whether the headers say so at all: a seller may also send them to deny it. */
export const saysFallback = ({ used }: Fallback): boolean => used !== null && !NO.test(used.trim());

/** A header's text, bounded. All but printable ASCII becomes a question mark. */
const textOf = (header: string | undefined): string | null =>
  header === undefined ? null : header.slice(0, MOST).replace(/[^\x20-\x7e]/g, "?");
