import { builtFile, runApart } from "../subprocess/run.ts";
import { toBase64 } from "../evidence/bytes.ts";
import type { EzklCheck, EzklEngine, EzklOutcome } from "../verify/types.ts";

/** What the process is told: each file in base64. */
export type EngineOrder = Record<keyof EzklCheck, string>;

/** Far above what the largest circuits' proofs take; a circuit of 64 rows takes a third of a second. */
const MILLISECONDS = 60_000;
/** More than the one word that is expected. */
const MAX_ANSWER_BYTES = 64;
const ANSWERS: readonly EzklOutcome[] = ["valid", "refused", "unreadable", "missing"];

/**
 * EZKL's engine, each check in a process of its own: WebAssembly of another's making that panics on malformed keys and
 * cannot be stopped from within. The process gets nothing of this one's environment, and is killed after so many
 * `milliseconds`; until then it keeps a command from ending that waits for it. Loads nothing itself, and never throws.
 *
 * @example
 * ```ts
 * import { readFile } from "node:fs/promises";
 * import { createEzklEngine } from "proof402";
 * import { appraisalPolicySchema, verifyReceipt } from "proof402/verify";
 *
 * const policy = appraisalPolicySchema.parse(JSON.parse(await readFile("trust.json", "utf8")).policy);
 * const verified = await verifyReceipt(await readFile("receipt.json"), policy, { ezkl: createEzklEngine() });
 * ```
 */
export const createEzklEngine =
  ({
    milliseconds = MILLISECONDS,
    entry = builtFile(import.meta.url, "engine-child"),
  }: { milliseconds?: number; entry?: string } = {}): EzklEngine =>
  async ({ proof, key, settings, srs }) => {
    const order: EngineOrder = {
      proof: toBase64(proof),
      key: toBase64(key),
      settings: toBase64(settings),
      srs: toBase64(srs),
    };
    const outcome = await runApart(entry, order, { milliseconds, maxBytes: MAX_ANSWER_BYTES, awaited: true });
    if (outcome.kind === "timeout") return "timeout";
    const word = outcome.kind === "said" ? outcome.text : null;
    return ANSWERS.find((one) => one === word) ?? "crashed";
  };
