import { factRows } from "../pages/fact-rows.ts";
import type { Facts } from "../verify/facts.ts";
import { colour as pc } from "./colour.ts";

/** The facts of a receipt for a terminal. Nothing in it is a verdict. */
export const factList = (facts: Facts): string =>
  [
    pc.bold("Facts: these hold for this file under any policy"),
    ...factRows(facts).map(({ name, words }) => `${name.padEnd(12)} ${words}`),
  ].join("\n");
