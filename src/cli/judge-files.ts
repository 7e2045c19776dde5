import { readReceiptFile } from "./receipt-file.ts";
import { Proof402Error, type ErrorCode } from "../errors.ts";
import { createEzklEngine } from "../ezkl/engine.ts";
import { LAYERS, type Appraisal, type Layer, type LayerResult, type Receipt } from "../receipts/schema.ts";
import { appraise } from "../verify/appraise.ts";
import type { AppraisalPolicy } from "../verify/policy.ts";
import { createVerificationCache } from "../verify/verification-cache.ts";

/** A file of a folder as it was judged, without the receipt itself. `layers` has those that did not pass. */
export type FileVerdict = { file: string } & (
  | ({ receipt: string; seller: string; model: string } & Pick<
      Appraisal,
      "verdict" | "assurance" | "wanted" | "simulated" | "replayed" | "evaluatedAt" | "policyHash" | "notProven"
    > & { layers: Partial<Record<Layer, LayerResult>> })
  | { error: ErrorCode; message: string }
);

/** Files to judge in one go. `at` is in ISO form, null for the time of each answer. */
export type FilesToJudge = { files: readonly string[]; policy: AppraisalPolicy; at: string | null };

const session = createVerificationCache();
const ezkl = createEzklEngine();

/** Judges files by nothing but themselves and a policy, as `verify FILE --trust` does. */
export const judgeFiles = ({ files, policy, at }: FilesToJudge): Promise<FileVerdict[]> =>
  eachFile(files, (receipt) => {
    const evaluateAt = new Date(at ?? receipt.core.response.receivedAt);
    return appraise({ receipt, policy, now: new Date(), evaluateAt, ezkl }, session);
  });

/**
 * Reads one file after the other and judges each receipt. A file without one is told with its code, and so is one that cannot be
 * judged for an unforeseen reason. `isStored`: a judge that asks a store may fail for all files, so its errors are thrown.
 */
export async function eachFile(
  files: readonly string[],
  judge: (receipt: Receipt) => Promise<Appraisal>,
  { isStored = false } = {},
): Promise<FileVerdict[]> {
  const verdicts: FileVerdict[] = [];
  for (const file of files) {
    let isRead = false;
    try {
      const receipt = await readReceiptFile(file);
      isRead = true;
      verdicts.push(verdictOf(file, receipt, await judge(receipt)));
    } catch (error) {
      if (isRead && isStored) throw error;
      verdicts.push({ file, ...told(error) });
    }
  }
  return verdicts;
}

const told = (error: unknown): { error: ErrorCode; message: string } =>
  Proof402Error.isInstance(error)
    ? { error: error.code, message: error.message }
    : { error: "internal_error", message: "Something failed that was not foreseen: the file was not judged." };

function verdictOf(file: string, { id, core }: Receipt, appraisal: Appraisal): FileVerdict {
  const { verdict, assurance, wanted, simulated, replayed, evaluatedAt, policyHash, notProven } = appraisal;
  const open = LAYERS.filter((layer) => appraisal.layers[layer].status !== "pass");
  return {
    file,
    receipt: id,
    seller: core.seller.id,
    model: core.request.model,
    verdict,
    assurance,
    wanted,
    simulated,
    replayed,
    evaluatedAt,
    policyHash,
    notProven,
    layers: Object.fromEntries(open.map((layer) => [layer, appraisal.layers[layer]])),
  };
}
