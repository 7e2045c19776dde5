import type { LayerResult } from "../receipts/schema.ts";
import { fail } from "./types.ts";

/** The result of a judge that broke on its evidence. */
export const broken = (): LayerResult => fail("verifier_error", "The evidence could not be judged.");

/** Turns any exception of a judge into a failed layer: an exception must never look like an absence. */
export async function guarded<T>(instead: () => T, judge: () => T | Promise<T>): Promise<T> {
  try {
    return await judge();
  } catch {
    return instead();
  }
}
