import { Proof402Error } from "../errors.ts";
import type { BuyArguments, BuyOptions, BuyRequest, ByQuorum } from "./types.ts";
import { isRecord } from "../evidence/record.ts";

/** The names of a call's bounds, in a request and in options alike. */
const BOUNDS = [
  "seller",
  "assurance",
  "quorum",
  "maxUsd",
  "wait",
  "idempotencyKey",
  "callKey",
  "client",
] as const satisfies readonly Exclude<keyof AnyRequest, "model" | "input">[];
const REQUEST: readonly string[] = ["model", "input", ...BOUNDS];
const OPTIONS: readonly string[] = [
  ...BOUNDS,
  "signal",
  "onProgress",
  "onAnswerPart",
  "approve",
  "admit",
  "chat",
] satisfies (keyof (BuyOptions & ByQuorum))[];

/** A request for one purchase, or with `quorum` for several. */
export type AnyRequest = BuyRequest & Partial<ByQuorum>;

/**
 * Reads the arguments of `buy` in either form. A bound in the options counts before the request's, and one that is undefined
 * counts for nothing: it must not widen what the request allows.
 *
 * Throws Proof402Error `invalid_input` if they name no model and input, or give a name that means nothing here.
 */
export function readArguments(given: BuyArguments): { request: AnyRequest; options: BuyOptions } {
  const [first, second, third] = given as readonly unknown[];
  const isNamed = typeof first === "string";
  const request: unknown = isNamed ? { model: first, input: second } : first;
  const options = (isNamed ? third : second) ?? {};
  if (!isRecord(request) || typeof request["model"] !== "string" || !isRecord(request["input"])) {
    throw refused("A purchase names a model and gives its input as an object.");
  }
  if (!isRecord(options)) throw refused("The options of a purchase are an object.");
  for (const [part, known] of [
    [request, REQUEST],
    [options, OPTIONS],
  ] as const) {
    const unknown = Object.keys(part).find((name) => !known.includes(name));
    if (unknown !== undefined) throw refused(`A purchase has no "${unknown.slice(0, 64)}".`);
  }
  const bounds = BOUNDS.filter((name) => options[name] !== undefined).map((name) => [name, options[name]]);
  return { request: { ...(request as AnyRequest), ...(Object.fromEntries(bounds) as Partial<AnyRequest>) }, options };
}

const refused = (message: string): Proof402Error =>
  new Proof402Error("invalid_input", message, {
    next: `Call buy("model", { name: values }, options), with options of ${OPTIONS.join(", ")}.`,
  });
