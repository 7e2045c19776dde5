/** Whether this is a test run, which leaves what takes long and seldom fails to `.ci/run` and the campaign. */
export const isBrief = process.env["PROOF402_CAMPAIGN"] === undefined;

/**
 * How many cases a search tries: `few` in a test run, `many` in `npm run test:campaign`, which sets PROOF402_CAMPAIGN, and
 * `some` in `.ci/run`, which sets it to `bounded`.
 */
export function cases<T = number>(few: T, many: T, some: T = few): T {
  const length = process.env["PROOF402_CAMPAIGN"];
  if (length === undefined) return few;
  return length === "bounded" ? some : many;
}

/**
 * The cases of a table that each cost a process: every other one in a test run, beginning with `first`, and all in `.ci/run` and
 * the campaign. Two tests that walk one table take a half each.
 */
export const half = <T>(table: readonly T[], first: 0 | 1 = 0): readonly T[] =>
  isBrief ? table.filter((_, at) => at % 2 === first) : table;
