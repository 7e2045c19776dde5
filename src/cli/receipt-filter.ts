import { VERDICTS } from "../receipts/schema.ts";
import type { ReceiptFilter } from "../receipts/search.ts";
import { timeOf } from "./numbers.ts";

/** The filters as they were typed. */
export type FilterOptions = Partial<
  Record<"search" | "seller" | "model" | "verdict" | "since" | "before", string | undefined>
>;

/** Reads the filters of a list. Throws Proof402Error `usage`. */
export const filterOf = ({ search, seller, model, verdict, since, before }: FilterOptions): ReceiptFilter => ({
  search,
  seller,
  model,
  verdict: VERDICTS.find((one) => one === verdict),
  since: since === undefined ? undefined : timeOf(since, "--since"),
  before: before === undefined ? undefined : timeOf(before, "--before"),
});

/** The options that ask for the same receipts again. */
export const filterWords = (options: FilterOptions & { purpose?: string | undefined }): string =>
  (["search", "seller", "model", "verdict", "purpose", "since", "before"] as const)
    .flatMap((name) => (options[name] === undefined ? [] : [` --${name} ${inShell(options[name])}`]))
    .join("");

const inShell = (text: string): string =>
  /^[\w.:+-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`;
