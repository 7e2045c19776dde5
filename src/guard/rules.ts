import * as z from "zod";
import { Proof402Error } from "../errors.ts";
import { parseJsonText, respeltNumbers } from "../evidence/json-text.ts";
import { compareDecimals, decimalOf } from "./decimal.ts";

/** A JSON pointer (RFC 6901). Empty for the whole. */
const pointer = z
  .string()
  .max(512)
  .regex(/^(?:\/(?:[^~/]|~[01])*)*$/u, "must be a JSON pointer, such as /amount");

const constant = z.union([z.string(), z.number(), z.boolean(), z.null()]);

/** A value that a rule compares: at a place of the arguments, the bought answer or its input, or written in the rule. */
const operand = z.union([
  z.strictObject({ argument: pointer }),
  z.strictObject({ answer: pointer }),
  z.strictObject({ input: pointer }),
  z.strictObject({ value: constant }),
]);
export type Operand = z.infer<typeof operand>;

const equals = z.strictObject({ check: operand, equals: operand });
const isIn = z.strictObject({ check: operand, in: z.array(operand).min(1).max(256) });
const atMost = z.strictObject({ check: operand, atMost: operand });
const atLeast = z.strictObject({ check: operand, atLeast: operand });

const comparison = z.union([equals, isIn, atMost, atLeast]);
export type Comparison = z.infer<typeof comparison>;

const conditions = { when: z.array(comparison).min(1).max(32).optional() };
const rule = z.union([
  equals.extend(conditions),
  isIn.extend(conditions),
  atMost.extend(conditions),
  atLeast.extend(conditions),
]);
export type BindRule = z.infer<typeof rule>;

/**
 * Which arguments a bought answer justifies, as data: every rule must hold, and a rule with `when` only if all of its
 * conditions hold. One at least that applies must read the answer. Arguments that no applied rule binds refuse, unless `free`
 * lists them: one is bound if it is compared with a value, the answer, the input or a bound argument.
 */
export const bindRulesSchema = z.strictObject({
  rules: z.array(rule).min(1).max(256),
  /** Arguments that may be anything, or be missing. */
  free: z.array(pointer).max(256).optional(),
});
export type BindRules = z.infer<typeof bindRulesSchema>;

/** What a rule compares, in the order of its words. */
export const operandsOf = (one: Comparison | BindRule): Operand[] => [
  one.check,
  ...("equals" in one ? [one.equals] : "in" in one ? one.in : "atMost" in one ? [one.atMost] : [one.atLeast]),
];

/** Whether a pointer names a place, or one within it. */
export const isWithin = (pointer: string, outer: string): boolean =>
  pointer === outer || pointer.startsWith(`${outer}/`);

/**
 * Whether it takes the answer for a comparison to hold. Beside an argument that may be anything, or in a list beside other
 * values, the caller chooses how it ends.
 */
export function restsOnAnswer(one: Comparison | BindRule, free: readonly string[]): boolean {
  const [left, ...right] = operandsOf(one);
  const isFree = (part: Operand): boolean => "argument" in part && free.some((path) => isWithin(part.argument, path));
  if (left === undefined || [left, ...right].some(isFree)) return false;
  return "answer" in left || right.every((part) => "answer" in part);
}

/**
 * Reads rules. Throws Proof402Error `guard_rules` where they have another form, one compares a value with itself, or none of them
 * rests on the answer.
 */
export function readRules(value: unknown): BindRules {
  const read = bindRulesSchema.safeParse(value);
  if (!read.success) {
    const [issue] = read.error.issues;
    throw wrong(`At ${issue?.path.join("/") || "the top"}: ${issue?.message ?? "another form"}.`);
  }
  const { rules, free = [] } = read.data;
  const all: (Comparison | BindRule)[] = rules.flatMap((one) => [one, ...(one.when ?? [])]);
  for (const one of all) {
    const [left, ...right] = operandsOf(one).map((part) => JSON.stringify(part));
    if (left !== undefined && right.includes(left)) throw wrong(`One compares ${left} with itself.`);
  }
  if (!all.some((one) => restsOnAnswer(one, free)))
    throw wrong("None of them reads the answer, so any answer would do.");
  return read.data;
}

/**
 * Reads rules from JSON text. Throws Proof402Error `guard_rules`, also for a number that a double does not hold exactly:
 * write it as text.
 *
 * @example
 * ```ts
 * import { readFile } from "node:fs/promises";
 * import { parseRules } from "proof402";
 *
 * const bind = parseRules(await readFile("trade-rules.json", "utf8"));
 * ```
 */
export function parseRules(text: string): BindRules {
  const json = exactJson(text);
  if ("problem" in json) throw wrong(json.problem);
  return readRules(json.value);
}

/** Reads JSON text whose numbers a double holds exactly, or says in a sentence why not. */
export function exactJson(text: string): { value: unknown } | { problem: string } {
  const parsed = parseJsonText(text);
  if (!parsed.ok) return { problem: parsed.message };
  const rounded = respeltNumbers(text).find((spelt) => !isHeld(spelt));
  return rounded === undefined
    ? { value: parsed.value }
    : { problem: `The number ${rounded.slice(0, 64)} would be rounded: write it as text.` };
}

function isHeld(spelt: string): boolean {
  const [written, held] = [decimalOf(spelt), decimalOf(Number(spelt))];
  return written !== null && held !== null && compareDecimals(written, held) === 0;
}

const wrong = (why: string): Proof402Error =>
  new Proof402Error("guard_rules", `The guard's rules cannot be used. ${why}`, { next: "Correct the rules." });

const REFUSED = [
  "Any other argument refuses, also one compared with such arguments alone, and so does a value that is missing.",
  "If no rule that reads the answer applies, nothing is allowed.",
];

/**
 * The rules in plain English, one a line, for a reader who has to approve or audit them.
 *
 * @example
 * ```ts
 * import { rulesText } from "proof402";
 *
 * const text = rulesText({
 *   rules: [{ check: { argument: "/amount" }, atMost: { answer: "/limit" } }],
 *   free: ["/memo"],
 * });
 * // argument "/amount" is at most answer "/limit".
 * ```
 */
export function rulesText({ rules, free = [] }: BindRules): string {
  const lines = rules.map(({ when, ...one }) =>
    when === undefined
      ? `${sentence(one)}.`
      : `If ${when.map((condition) => sentence(condition)).join(" and ")}, then ${sentence(one)}.`,
  );
  const freed = free.map((path) => `${place("argument", path)} may be anything.`);
  return [...lines, ...freed, ...REFUSED].join("\n");
}

function sentence(one: Comparison): string {
  const said = words(one.check);
  if ("equals" in one) return `${said} is ${words(one.equals)}`;
  if ("in" in one) return `${said} is one of ${one.in.map(words).join(", ")}`;
  return "atMost" in one ? `${said} is at most ${words(one.atMost)}` : `${said} is at least ${words(one.atLeast)}`;
}

function words(one: Operand): string {
  if ("value" in one) return JSON.stringify(one.value);
  const [[kind, path]] = Object.entries(one) as [[string, string]];
  return place(kind, path);
}

const place = (kind: string, path: string): string =>
  path === "" ? `the whole ${kind}` : `${kind} ${JSON.stringify(path)}`;
