/**
 * How many cases a search tries: `few` in a test run, `many` in `npm run test:campaign`, which sets PROOF402_CAMPAIGN, and
 * `some` in `.ci/run`, which sets it to `bounded`. What is listed case by case is tried in all of them.
 */
export function cases(few: number, many: number, some: number = few): number {
  const length = process.env["PROOF402_CAMPAIGN"];
  if (length === undefined) return few;
  return length === "bounded" ? some : many;
}
