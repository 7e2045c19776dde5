import { fromUtf8 } from "../../src/evidence/bytes.ts";
import { isDisputed, piecesOf } from "../../src/receipts/disputed.ts";
import { checkReceipt, parseReceipt, receiptId, serializeReceipt } from "../../src/receipts/receipt.ts";
import { LAYERS, type Appraisal, type Receipt, type Status } from "../../src/receipts/schema.ts";
import { appraise } from "../../src/verify/appraise.ts";
import { EVERY_LAYER, LAYER_CODES } from "../../src/verify/codes.ts";
import type { AppraisalPolicy } from "../../src/verify/policy.ts";
import { createVerificationCache } from "../../src/verify/verification-cache.ts";
import { seeded } from "./onnx-files.ts";
import { meaningOf, type Family } from "./receipt-family.ts";
import { mutate, mutateText } from "./receipt-mutations.ts";
import { resealed } from "./reseal.ts";

/**
 * How many mutants ended how, those that must not be, and each result of a layer that the table of codes does not have, as
 * `layer: status code`.
 */
export type Judged = { counts: Record<string, number>; forged: Receipt[]; unlisted: Set<string> };

/** Judged side by side, so that none waits for another's signature check. */
const AT_ONCE = 16;
/** The share of mutants that are judged by a policy for which a file's word of the chain suffices. */
const BY_REPORT = 0.7;
/** The share of mutants that are changed as text, after a forger made every hash right. */
const AS_TEXT = 0.1;
/** The share whose hashes nobody made right. */
const UNSEALED = 0.03;

/**
 * Judges `runs` mutants of a family. One that is verified was forged if it means what no receipt of the family means, if a
 * file's word of the chain does not suffice, or if it tells of the chain in more than one way. One that makes the judge throw
 * ends it all.
 */
export async function judgeMutants({ members, evaluateAt }: Family, runs: number, seed: number): Promise<Judged> {
  const draw = seeded(seed);
  const session = createVerificationCache();
  const meant = new Set(members.map(({ receipt }) => meaningOf(receipt)));
  const receipts = members.map(({ receipt }) => receipt);
  const texts = receipts.map((receipt) => fromUtf8(serializeReceipt(receipt)));
  const counts: Record<string, number> = {};
  const forged: Receipt[] = [];
  const unlisted = new Set<string>();
  for (let done = 0; done < runs; done += AT_ONCE) {
    const drawn = Array.from({ length: Math.min(AT_ONCE, runs - done) }, () => {
      const which = Math.floor(draw() * members.length);
      const policy = { ...members[which]!.policy, reportedSuffices: draw() < BY_REPORT };
      return { policy, read: read(which) };
    });
    const outcomes = await Promise.all(drawn.map(judge));
    for (const outcome of outcomes) counts[outcome] = (counts[outcome] ?? 0) + 1;
  }
  return { counts, forged, unlisted };

  async function judge({ policy, read: receipt }: { policy: AppraisalPolicy; read: Receipt | null }): Promise<string> {
    if (receipt === null) return "refused";
    const { verdict, layers } = await appraise({ receipt, policy, now: evaluateAt, evaluateAt }, session);
    for (const result of unlistedIn(layers, receipt)) unlisted.add(result);
    if (verdict !== "verified") return verdict;
    if (!meant.has(meaningOf(receipt)) || isTorn(receipt) || !policy.reportedSuffices) forged.push(receipt);
    return "verified, of the same meaning";
  }

  function read(which: number): Receipt | null {
    const kind = draw();
    if (kind < AS_TEXT / 2) return textOf(mutateText(draw, texts[which]!));
    const mutant = mutate(draw, receipts[which], receipts);
    if (kind < AS_TEXT / 2 + UNSEALED) return parsedOf(checkReceipt(mutant));
    const sealed = resealed(mutant);
    if (sealed === null) return null;
    if (draw() < 0.3) claim(sealed);
    return kind < AS_TEXT ? textOf(mutateText(draw, fromUtf8(serializeReceipt(sealed)))) : sealed;
  }
}

/** Whether a file leaves open what it tells of the chain, which no chain was read for. */
const isTorn = (receipt: Receipt): boolean =>
  (["settlement.x402", "inclusion.merkle"] as const).some(
    (kind) => isDisputed(receipt, kind) || piecesOf(receipt, kind).length > 1,
  );

/** Codes that come from no verifier: a file's contradictions, with whatever code they have. */
const told = ({ core, later }: Receipt): string[] =>
  [...core.evidence, ...later.map(({ evidence }) => evidence)].flatMap((one) =>
    one.kind === "contradiction" && "code" in one ? [String(one.code)] : [],
  );

function unlistedIn(layers: Appraisal["layers"], receipt: Receipt): string[] {
  const fromFile = [...told(receipt), "maker_failed"];
  return LAYERS.flatMap((layer) => {
    const { status, code } = layers[layer];
    const codes: Record<string, Partial<Record<Status, string>>> = { ...EVERY_LAYER, ...LAYER_CODES[layer] };
    return codes[code]?.[status] !== undefined || (status === "fail" && fromFile.includes(code))
      ? []
      : [`${layer}: ${status} ${code}`];
  });
}

/** Lets the seller's statement say the hashes that the receipt has now. */
function claim(receipt: Receipt): void {
  for (const one of receipt.core.evidence)
    if (one.kind === "signature.tee")
      Object.assign(one, { requestHash: receipt.core.request.keccak256, outputHash: receipt.core.response.keccak256 });
  receipt.id = receiptId(receipt.core);
}

const parsedOf = (parsed: ReturnType<typeof parseReceipt>): Receipt | null => (parsed.ok ? parsed.receipt : null);
const textOf = (text: string): Receipt | null => parsedOf(parseReceipt(text));
