import { AFTER_SIGNING, AROUND_A_PURCHASE, BEFORE_SIGNING } from "./buying.ts";
import { ANY_TIME } from "./connections.ts";
import { MODELS, SELLING } from "./models.ts";
import { FILES, OWNER } from "./owner.ts";
import { GUARD, RECEIPTS } from "./receipts.ts";

/**
 * Every code that an error can have. A new code is a new line in the table of its group; `npm run generate:docs` then writes
 * it into docs/errors.md.
 */
export const ERROR_GROUPS = [
  {
    title: "Before a payment is signed",
    money: "Nothing was signed by the attempt that ended so. `money` also counts earlier attempts of the same call.",
    codes: BEFORE_SIGNING,
  },
  {
    title: "After a payment may have been signed",
    money: "`money` says what became of it: `not-moved`, `may-move` or `moved`. Call again only with the same key.",
    codes: AFTER_SIGNING,
  },
  {
    title: "At any point of a call",
    money: "`money` says what became of it. An error outside a purchase bears none.",
    codes: { ...AROUND_A_PURCHASE, ...ANY_TIME },
  },
  {
    title: "The owner's commands",
    money: "`money` is there if a transaction was signed, or if the command could have signed one.",
    codes: OWNER,
  },
  { title: "Receipts", money: "No money is involved.", codes: RECEIPTS },
  { title: "A guard's refusals", money: "The guarded action did not run, and no money moved.", codes: GUARD },
  { title: "Configuration, keys and files", money: "Nothing was signed.", codes: FILES },
  { title: "Models and proofs", money: "No money is involved.", codes: MODELS },
  { title: "Selling, and the market on one machine", money: "No money is involved.", codes: SELLING },
] as const;

/** The code of an error: stable, snake_case, a line in one of the tables beside this file. */
export type ErrorCode = CodeIn<(typeof ERROR_GROUPS)[number]["codes"]>;

type CodeIn<Table> = Table extends unknown ? keyof Table : never;
