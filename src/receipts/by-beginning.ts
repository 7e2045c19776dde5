import { Proof402Error, type ErrorCode } from "../errors.ts";

/** Characters of an id after its mark in lists: a million rows share the beginning of few. */
const SHORT = 8;
/** Candidates named for an id that is no row's alone. */
const NAMED = 5;

/** An id as lists show it, of ids with this mark. */
export const shortened = (id: string, mark: string): string => id.slice(0, mark.length + SHORT);

/** How many rows with a beginning are looked for: one more than are named. */
export const CANDIDATES = NAMED + 1;

/**
 * The one row of those whose ids begin as given, or undefined for none. Throws Proof402Error with the code of ambiguity,
 * naming the candidates.
 */
export function onlyOne<Row extends { id: string }>(
  rows: readonly Row[],
  { given, many, code }: { given: string; many: string; code: ErrorCode },
): Row | undefined {
  const [first, second] = rows;
  if (second === undefined) return first;
  const candidates = rows.slice(0, NAMED).map(({ id }) => id);
  throw new Proof402Error(
    code,
    `Several ${many} begin with ${given}: ${candidates.join(", ")}${rows.length > NAMED ? " and more" : ""}.`,
    { next: "Give more characters of the id.", details: { candidates } },
  );
}
