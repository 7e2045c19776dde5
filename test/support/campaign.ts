/**
 * How many cases a search tries: `few` in a test run, `many` in `npm run test:campaign`, which sets PROOF402_CAMPAIGN. What
 * is listed case by case is tried in both.
 */
export const cases = (few: number, many: number): number =>
  process.env["PROOF402_CAMPAIGN"] === undefined ? few : many;
