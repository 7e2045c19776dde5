import type { QuorumTerms, Tolerance } from "./terms.ts";

/** An answer by name, as formats read it. */
type Answer = Record<string, unknown>;

/**
 * The largest set of answers of which every two agree, as places in the list, in order. Of several such sets it is the one
 * with the earliest places: the same answers always give the same set.
 */
export function agreeingSet(answers: readonly Answer[], tolerance: QuorumTerms["tolerance"]): number[] {
  const pairs = answers.map((one, at) => answers.map((other, to) => to === at || agree(one, other, tolerance)));
  let best: number[] = [];
  const grow = (set: number[], next: number): void => {
    if (set.length > best.length) best = set;
    for (let at = next; at < answers.length; at += 1)
      if (isEqualToSelf(at) && set.every((member) => pairs[member]?.[at] === true)) grow([...set, at], at + 1);
  };
  // An answer with NaN agrees with none, not with itself either.
  const isEqualToSelf = (at: number): boolean => agree(answers[at] ?? {}, answers[at] ?? {}, tolerance);
  grow([], 0);
  return best;
}

/** Whether two answers name the same values, each within its tolerance. */
export function agree(one: Answer, other: Answer, tolerance: QuorumTerms["tolerance"]): boolean {
  const names = Object.keys(one);
  return (
    names.length === Object.keys(other).length &&
    names.every((name) => Object.hasOwn(other, name) && isNear(one[name], other[name], toleranceOf(name, tolerance)))
  );
}

/** An own member's, so that a tensor's name means no more than it says. */
const toleranceOf = (name: string, tolerance: QuorumTerms["tolerance"] = {}): Tolerance =>
  (Object.hasOwn(tolerance, name) ? tolerance[name] : tolerance["*"]) ?? {};

/** Compares lists and objects part by part, numbers within the bound, and all else exactly. */
function isNear(a: unknown, b: unknown, bound: Tolerance): boolean {
  if (typeof a === "number" && typeof b === "number") return isWithin(a, b, bound);
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return a === b;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const [keys, others] = [Object.keys(a), Object.keys(b)];
  return (
    keys.length === others.length &&
    keys.every((key) => Object.hasOwn(b, key) && isNear((a as Answer)[key], (b as Answer)[key], bound))
  );
}

/** NaN is near nothing, and an infinity is near itself alone. */
function isWithin(a: number, b: number, { absolute = 0, relative = 0 }: Tolerance): boolean {
  if (!Number.isFinite(a) || !Number.isFinite(b)) return a === b;
  return Math.abs(a - b) <= Math.max(absolute, relative * Math.max(Math.abs(a), Math.abs(b)));
}
