import type { JsonSchema } from "./input-schema.ts";

/**
 * How the words of a bound begin, and those of an argument of a purchase: `maxUsd`, `budget`, `seller_id`, `asurance`,
 * `idempotencyKey`, `network`. So do those that name a payee: who is paid stands in the policy alone.
 */
const BOUNDING =
  /^_*(?:max|min|lim|cap|ceil|bound|budg|pric|cost|fee|pay|paid|spen|fund|money|amount|usd|eur|doll|cent|mod|inp|sel|vend|provi|assu|asse|asu|evid|proof|prov|attest|verif|wai|idem|key|netw|curr|appr|allow|dry|simul|test|prev|quot|estim|only|least|most|recip|addr|dest|polic|per$|to$)/i;

/** Text that says a number, with a currency or a unit beside it, or yes or no. */
const SAYS_A_VALUE = /^\W*(?:\d[\d.,_\s]*\W*[a-z]*(?:\s[a-z]+)?|true|false|yes|no)\W*$/i;

/**
 * Whether an argument that a paying tool does not know could narrow the purchase: then the call has to end, because what
 * was asked for would be left out. Hosts add words (a reason, the progress of a task, the id of a call); those are not.
 */
export function couldBound(schema: JsonSchema, name: string, value: unknown): boolean {
  if (value === null || value === undefined || value === "" || name === "_meta") return false;
  if (typeof value !== "string") return true;
  return SAYS_A_VALUE.test(value) || choicesIn(schema).has(value.toLowerCase()) || wordsOf(name).some(isBounding);
}

const isBounding = (word: string): boolean => BOUNDING.test(word);

const wordsOf = (name: string): string[] => name.replaceAll(/([a-z0-9])([A-Z])/g, "$1 $2").split(/[^A-Za-z0-9]+/);

/** The words of all fields with a choice. */
function choicesIn({ properties }: JsonSchema): ReadonlySet<unknown> {
  const fields = Object.values((properties ?? {}) as Record<string, { enum?: unknown[] }>);
  return new Set(fields.flatMap((field) => field.enum ?? []));
}
