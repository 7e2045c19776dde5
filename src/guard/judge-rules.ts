import { compareDecimals, decimalOf } from "./decimal.ts";
import {
  isWithin,
  operandsOf,
  restsOnAnswer,
  rulesText,
  type BindRule,
  type BindRules,
  type Comparison,
  type Operand,
} from "./rules.ts";

/** What rules compare: the arguments of an action, and input and answer of the receipt. */
export type Compared = { args: unknown; input: unknown; answer: unknown };

/** Whether the rules permit the arguments: true, or the reason in one sentence. */
export function judgeRules({ rules, free = [] }: BindRules, compared: Compared): true | string {
  const applied: Comparison[] = [];
  let isOnAnswer = false;
  for (const { when = [], ...rule } of rules) {
    const conditions = when.map((condition) => holds(condition, compared));
    const broken = conditions.find((one) => typeof one === "string");
    if (broken !== undefined) return broken;
    if (conditions.includes(false)) continue;
    const held = holds(rule, compared);
    if (held !== true) return held === false ? `not so: ${textOf(rule)}` : held;
    applied.push(rule);
    isOnAnswer ||= [rule, ...when].some((one) => restsOnAnswer(one, free));
  }
  if (!isOnAnswer) return "no rule that reads the answer applies";
  const named = [...free, ...boundBy(applied)];
  const unbound = leavesOf(compared.args).find((leaf) => !named.some((path) => isWithin(leaf, path)));
  if (unbound === undefined) return true;
  const mentioned = applied.flatMap(operandsOf).some((one) => "argument" in one && isWithin(unbound, one.argument));
  return mentioned
    ? `the rules compare the argument ${JSON.stringify(unbound)} with nothing but unbound arguments`
    : `no rule names the argument ${JSON.stringify(unbound)}`;
}

/**
 * The arguments that rules bind: those compared with a value, the answer or the input, and those compared with bound ones. An
 * argument beside itself, or beside one that may be anything, is not bound.
 */
function boundBy(applied: readonly Comparison[]): string[] {
  const bound: string[] = [];
  const isBound = (one: Operand): boolean => !("argument" in one) || bound.some((path) => isWithin(one.argument, path));
  for (let before = -1; before < bound.length;) {
    before = bound.length;
    for (const one of applied) {
      const [left, ...right] = operandsOf(one) as [Operand, ...Operand[]];
      if ("argument" in left && !isBound(left) && right.every(isBound)) bound.push(left.argument);
      // Of several that a list names, nothing says which one it is.
      const [only] = right.length === 1 ? right : [];
      if (only !== undefined && "argument" in only && !isBound(only) && isBound(left)) bound.push(only.argument);
    }
  }
  return bound;
}

const textOf = (rule: BindRule): string => rulesText({ rules: [rule] }).split("\n")[0] ?? "";

/** Whether a comparison holds, or why it cannot be made. */
function holds(one: Comparison, compared: Compared): boolean | string {
  const operands = operandsOf(one);
  const found = operands.map((operand) => valueOf(operand, compared));
  const missing = found.findIndex((value) => value === undefined);
  if (missing !== -1) return `there is no ${wordsOf(operands[missing])}`;
  const [left, ...right] = found.map((value) => value?.value);
  if ("equals" in one || "in" in one) return right.some((value) => isSame(left, value));
  const [a, b] = [decimalOf(left), decimalOf(right[0])];
  if (a === null || b === null) return `${wordsOf(operands[a === null ? 0 : 1])} is no number`;
  return "atMost" in one ? compareDecimals(a, b) <= 0 : compareDecimals(a, b) >= 0;
}

function wordsOf(operand: Operand | undefined): string {
  const [[kind, path]] = Object.entries(operand ?? { value: "" }) as [[string, unknown]];
  return `${kind} ${JSON.stringify(path)}`;
}

/** What an operand names, in a box; undefined if nothing is there. */
function valueOf(operand: Operand, { args, input, answer }: Compared): { value: unknown } | undefined {
  if ("value" in operand) return { value: operand.value };
  if ("argument" in operand) return at(args, operand.argument);
  return "input" in operand ? at(input, operand.input) : at(answer, operand.answer);
}

/** What a JSON pointer names (RFC 6901 §4), of own members alone. */
function at(whole: unknown, pointer: string): { value: unknown } | undefined {
  let value = whole;
  for (const step of pointer.split("/").slice(1)) {
    const key = step.replaceAll("~1", "/").replaceAll("~0", "~");
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, key)) return undefined;
    // Of an array only elements count: its length is no member of the document.
    if (Array.isArray(value) && !/^(?:0|[1-9]\d*)$/.test(key)) return undefined;
    value = (value as Record<string, unknown>)[key];
  }
  return value === undefined ? undefined : { value };
}

/** Whether two values are the same: numbers by value, also written as text; texts, lists and objects by their content. */
function isSame(a: unknown, b: unknown): boolean {
  if (typeof a === "string" && typeof b === "string") return a === b;
  if (typeof a !== "object" && typeof b !== "object") {
    if (a === b) return true;
    const [one, other] = [decimalOf(a), decimalOf(b)];
    return one !== null && other !== null && compareDecimals(one, other) === 0;
  }
  if (a === null || b === null) return a === b;
  if (typeof a !== "object" || typeof b !== "object" || Array.isArray(a) !== Array.isArray(b)) return false;
  const [keys, others] = [Object.keys(a), Object.keys(b)];
  return (
    keys.length === others.length &&
    keys.every(
      (key) =>
        Object.hasOwn(b, key) && isSame((a as Record<string, unknown>)[key], (b as Record<string, unknown>)[key]),
    )
  );
}

/** The pointers of all values that hold no others. */
function leavesOf(value: unknown, pointer = ""): string[] {
  if (typeof value !== "object" || value === null) return [pointer];
  const members = Object.entries(value);
  // An empty list or object is a value. No arguments at all are none.
  if (members.length === 0) return pointer === "" ? [] : [pointer];
  return members.flatMap(([key, member]) =>
    leavesOf(member, `${pointer}/${key.replaceAll("~", "~0").replaceAll("/", "~1")}`),
  );
}
