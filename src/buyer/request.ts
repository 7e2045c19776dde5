import { Proof402Error } from "../errors.ts";
import type { BuyArguments, BuyOptions, BuyRequest } from "./types.ts";

/**
 * Reads the arguments of `buy` in either form. Bounds in the options count before those in a request.
 * Throws Proof402Error `invalid_input` if they name no model and input.
 */
export function readArguments(given: BuyArguments): { request: BuyRequest; options: BuyOptions } {
  const [first, second, third] = given as readonly unknown[];
  const named = typeof first === "string";
  const options = isObject(named ? third : second) ? ((named ? third : second) as BuyOptions) : {};
  const request = named ? { model: first, input: second } : isObject(first) ? first : {};
  if (typeof request["model"] !== "string" || !isObject(request["input"])) {
    throw new Proof402Error("invalid_input", "A purchase names a model and gives its input as an object.", {
      next: 'Call buy("model", { name: values }, options).',
    });
  }
  return { request: { ...(request as BuyRequest), ...options }, options };
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
