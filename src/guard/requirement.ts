import type { Spends } from "../buyer/action-types.ts";
import type { Buyer } from "../buyer/types.ts";
import { Proof402Error } from "../errors.ts";
import { fromUtf8, sha256, toHex, utf8 } from "../evidence/bytes.ts";
import { canonicalJson } from "../evidence/canonical.ts";
import { ASSURANCES, type Assurance, type Receipt } from "../receipts/schema.ts";
import { judgeRules } from "./judge-rules.ts";
import { readRules, type BindRules } from "./rules.ts";

/** Says whether a bought answer justifies an action's arguments: true allows; anything else refuses, a string as the reason. */
export type BindFunction = (call: {
  args: Record<string, unknown>;
  /** What was asked. Compare it with what is known of the world: an agent could buy the answer it wants with invented inputs. */
  input: Record<string, unknown>;
  answer: Record<string, unknown>;
  receipt: Receipt;
}) => boolean | string;

/** What a guard demands of a receipt before it lets an action run. */
export type GuardOptions = {
  buyer: Buyer;
  /** Least assurance the receipt must have reached. */
  assurance: Exclude<Assurance, "none">;
  /**
   * Oldest answer accepted, in seconds since the seller's key signed it. Where no key signed a time, since this buyer
   * received it. An answer of the future is refused.
   */
  maxAge: number;
  /** The models whose answers justify the action. Where absent, any. */
  models?: readonly string[] | undefined;
  /** The sellers, by their configured ids. Where absent, any. */
  sellers?: readonly string[] | undefined;
  /**
   * Whether the bought answer justifies these arguments: a function, or rules as data. They are the very value, frozen,
   * that the action's function gets: read once by the tool's own schema, without `receipt_id` and without keys outside
   * the schema. It is the only link between answer and action, so it should compare every argument that matters, and the
   * receipt's model and request where the question matters too.
   */
  bind: BindFunction | BindRules;
  /** How much of a purchase an action uses up (default: `once`, all of it). */
  spends?: Spends | undefined;
  /** Accept receipts whose hardware is simulated. Only for development. */
  allowSimulated?: boolean | undefined;
  /** Accept receipts of purchases that this buyer did not make, if their time is signed by a key in good order. */
  allowImported?: boolean | undefined;
  /** For tests. */
  clock?: () => Date;
};

/** Most actions of a kind on one purchase. */
const MAX_TIMES = 1_000_000;

/**
 * Gives the rules in the options, or null beside a bind function. Throws Proof402Error `guard_options` for options that would
 * not guard, and `guard_rules`. A misspelt option must not turn into a guard that lets everything pass: callers are not always
 * type-checked.
 */
export function checkOptions(options: GuardOptions): BindRules | null {
  const { assurance, maxAge, bind, spends = "once" } = options;
  if (!ASSURANCES.includes(assurance) || (assurance as Assurance) === "none")
    throw wrong("assurance", "signed, attested or proven");
  if (!(Number.isFinite(maxAge) && maxAge > 0)) throw wrong("maxAge", "a positive number of seconds");
  for (const field of ["models", "sellers"] as const) {
    const list: unknown = options[field];
    if (list !== undefined && !(Array.isArray(list) && list.length > 0 && list.every((one) => typeof one === "string")))
      throw wrong(field, "a list of ids, with one at least");
  }
  const rules = typeof bind === "object" && bind !== null ? readRules(bind) : null;
  if (rules === null && typeof bind !== "function") throw wrong("bind", "a function, or rules");
  if (Object.prototype.toString.call(bind) === "[object AsyncFunction]")
    throw wrong("bind", "a function that answers at once, not an async one");
  if (spends !== "once" && !isOfKind(spends))
    throw wrong(
      "spends",
      '"once", or { kind, times } with a kind of letters, digits, - and _ and a whole number of times',
    );
  for (const field of ["allowSimulated", "allowImported"] as const)
    if (options[field] !== undefined && typeof options[field] !== "boolean") throw wrong(field, "true or false");
  return rules;
}

function isOfKind(spends: unknown): boolean {
  const { kind, times } = (typeof spends === "object" && spends !== null ? spends : {}) as Record<string, unknown>;
  return (
    typeof kind === "string" &&
    /^[\w-]{1,64}$/.test(kind) &&
    typeof times === "number" &&
    Number.isInteger(times) &&
    times >= 1 &&
    times <= MAX_TIMES
  );
}

const wrong = (field: string, what: string): Proof402Error =>
  new Proof402Error("guard_options", `${field} of a guard must be ${what}.`, { next: "Correct the option." });

/** A requirement as its guard holds it: a copy that no caller changes, with its record. */
export type Requirement = {
  buyer: Buyer;
  assurance: Exclude<Assurance, "none">;
  maxAge: number;
  /** Null for any. */
  models: readonly string[] | null;
  sellers: readonly string[] | null;
  bind: BindFunction;
  spends: Spends;
  allowSimulated: boolean;
  allowImported: boolean;
  clock: () => Date;
  /** RFC 8785 JSON of all that is data in it, and its sha256, hex. Of a bind function its source text stands there as sha256. */
  record: { json: string; sha256: string };
};

/** Reads options. Throws as `checkOptions`. */
export function readRequirement(options: GuardOptions): Requirement {
  const rules = checkOptions(options);
  const { buyer, assurance, maxAge, bind, clock = (): Date => new Date() } = options;
  const told = {
    assurance,
    maxAge,
    models: options.models === undefined ? null : [...options.models],
    sellers: options.sellers === undefined ? null : [...options.sellers],
    spends: structuredClone(options.spends ?? "once"),
    allowSimulated: options.allowSimulated === true,
    allowImported: options.allowImported === true,
  };
  const bound = rules ?? { function: sourceDigest(bind as BindFunction) };
  const bytes = canonicalJson({ ...told, bind: bound });
  const record = { json: fromUtf8(bytes), sha256: toHex(sha256(bytes)) };
  return { ...told, buyer, bind: rules === null ? (bind as BindFunction) : judging(rules), clock, record };
}

const sourceDigest = (bind: BindFunction): string =>
  toHex(sha256(utf8(Function.prototype.toString.call(bind).toWellFormed())));

const judging =
  (rules: BindRules): BindFunction =>
  ({ args, input, answer }) =>
    judgeRules(rules, { args, input, answer });
