import { parseReceipt, type ReceiptFault } from "../receipts/receipt.ts";
import type { Appraisal, Receipt } from "../receipts/schema.ts";
import { appraise } from "./appraise.ts";
import { readFacts, type Facts } from "./facts.ts";
import type { AppraisalPolicy } from "./policy.ts";
import { createVerificationCache, type VerificationCache } from "./verification-cache.ts";
import type { EzklEngine } from "./types.ts";

/** A receipt file judged under a policy, or why it could not be read: a code of `parseReceipt` and one sentence. */
export type Verification =
  | { ok: true; receipt: Receipt; appraisal: Appraisal; facts: Facts }
  | { ok: false; code: ReceiptFault; message: string };

/**
 * Verifies a receipt file: its own bytes, your policy, nothing else. `at` is the time it is judged at, by default when
 * the answer came; the appraisal bears it too, since nothing here has a clock. A session keeps costly results between
 * files. `ezkl` is an engine for EZKL's proofs; without one they stay unjudged.
 *
 * What the file tells of a chain is `reported`. Throws RangeError where `at` is an invalid date, and nothing else.
 *
 * @example
 * ```ts
 * import { readFile } from "node:fs/promises";
 * import { trustSchema, verifyReceipt } from "proof402/verify";
 *
 * const trust = trustSchema.parse(JSON.parse(await readFile("trust.json", "utf8")));
 * const verification = await verifyReceipt(await readFile("receipt.json"), trust.policy);
 * process.stdout.write(verification.ok ? verification.appraisal.verdict : verification.code);
 * ```
 */
export async function verifyReceipt(
  bytes: Uint8Array | string,
  policy: AppraisalPolicy,
  options: { at?: Date; session?: VerificationCache; ezkl?: EzklEngine } = {},
): Promise<Verification> {
  const parsed = parseReceipt(bytes);
  if (!parsed.ok) return parsed;
  const { receipt } = parsed;
  const session = options.session ?? createVerificationCache();
  const at = options.at ?? new Date(receipt.core.response.receivedAt);
  const ezkl = options.ezkl === undefined ? {} : { ezkl: options.ezkl };
  const appraisal = await appraise({ receipt, policy, now: at, evaluateAt: at, ...ezkl }, session);
  return { ok: true, receipt, appraisal, facts: await readFacts(receipt, session) };
}
