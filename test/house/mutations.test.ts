import { runInNewContext } from "node:vm";
import { expect, it } from "vitest";
import { instrumented, mutationsOf } from "../../scripts/mutations.ts";

const PROGRAM = `
const LIMIT = 3;
function judge(amount, next) {
  const seen = [];
  if (amount > LIMIT) seen.push("over");
  else seen.push("under");
  if (next !== undefined && amount < next) throw new Error("less");
  return [next ?? "none", ...seen].join(" ");
}
const said = cases.map(([amount, next]) => {
  try { return judge(amount, next); } catch (error) { return error.message; }
});`;
const cases = [[3], [4], [4, 9], [9, 4]];

/** What the program says while a mutant is on, from before it is loaded. */
const said = (text: string, mutant?: number): unknown => {
  const env = mutant === undefined ? {} : { PROOF402_MUTANT: String(mutant) };
  try {
    return JSON.parse(JSON.stringify(runInNewContext(`${text}\nsaid`, { process: { env }, cases }))) as unknown;
  } catch {
    return "broken";
  }
};

it("a program with all its mutations in it does as before while none is on, and something else under each", () => {
  const mutations = mutationsOf(PROGRAM);
  const text = instrumented(PROGRAM, mutations);
  const before = ["none under", "none over", "less", "4 over"];
  expect(said(PROGRAM)).toEqual(before);
  expect(said(text)).toEqual(before);
  expect(mutations.map(({ change }) => change)).toEqual([
    "3 -> 3 + 1",
    "amount > LIMIT -> true",
    "amount > LIMIT -> false",
    "amount > LIMIT -> >=",
    'seen.push("over"); -> (nothing)',
    'seen.push("under"); -> (nothing)',
    "next !== undefined && amount < next -> true",
    "next !== undefined && amount < next -> false",
    "next !== undefined && amount < next -> ||",
    "next !== undefined -> ===",
    "amount < next -> <=",
    'throw new Error("less"); -> (nothing)',
    'next ?? "none" -> next',
  ]);
  const unnoticed = mutations.filter((_one, number) => JSON.stringify(said(text, number)) === JSON.stringify(before));
  expect(unnoticed.map(({ change }) => change)).toEqual(["amount < next -> <="]);
  expect(mutations.map(({ atLoad }) => atLoad).indexOf(false)).toBe(1);
});
