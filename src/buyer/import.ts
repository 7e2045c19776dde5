import { Proof402Error } from "../errors.ts";
import { sha256, toHex } from "../evidence/bytes.ts";
import { canonicalSha256 } from "../evidence/canonical.ts";
import { readPurchaseByNonce, readPurchaseByReceipt } from "../payment/journal.ts";
import { piecesOf, withOnly } from "../receipts/disputed.ts";
import { crowdedIn, withBodies } from "../receipts/receipt.ts";
import {
  DISPUTABLE,
  MAX_LATER,
  MAX_OF_A_KIND,
  type Disputable,
  type Evidence,
  type Receipt,
} from "../receipts/schema.ts";
import { hasRoomFor } from "../receipts/room.ts";
import { appendAppraisal, appendLater, importReceipt, readReceipt } from "../receipts/store.ts";
import type { Db } from "../storage/database.ts";
import { ambiguitiesOf, failuresOfMaker } from "../verify/contradictions.ts";
import { PROOF_KINDS, proofJudges } from "../verify/computation/proofs.ts";
import { isOwnAmong } from "../verify/evidence.ts";
import type { EzklEngine } from "../verify/types.ts";
import { appraisalPolicyOf, type BuyerContext } from "./context.ts";
import type { JudgeContext } from "./judge.ts";
import { storeVerdict } from "./verdicts.ts";

/** The most pieces of a first file: newer files of the same receipt need the rest. */
const MOST_AT_FIRST = MAX_LATER - 16;

/**
 * Judges and stores a receipt that was made elsewhere. Leaves out its maker's appraisals, and keeps their failures as
 * evidence.
 *
 * Joins the later evidence of several files of one receipt (docs/verify.md). The order of importing changes no verdict. A
 * contradiction stands, and of differing words about the chain none counts. A receipt of an own purchase takes its
 * missing bodies only: this buyer saw the rest itself.
 *
 * Throws Proof402Error `purchase_known` for any other receipt of an own purchase, `receipt_full` where a piece that may count
 * has no room, `receipt_crowded`, and the codes of `parseReceipt`.
 */
export async function importJudged(
  caller: JudgeContext & Partial<Pick<BuyerContext, "events">>,
  file: Receipt,
): Promise<Receipt> {
  const ctx = { ...caller, ezkl: askedOnce(caller.ezkl) };
  const at = ctx.clock().toISOString();
  const crowded = crowdedIn(file);
  if (crowded !== null)
    throw new Proof402Error("receipt_crowded", crowded, { next: "Get the receipt file again from where it was made." });
  const ambiguities = ambiguitiesOf(file);
  const disputes = ambiguities.length === 0 ? [] : disputesIn(file);
  const found = [...failuresOfMaker(file), ...ambiguities, ...disputes].map((evidence) => ({ at, evidence }));
  const proofs = await proofsToKeep(ctx, file);
  const isKept = ({ evidence }: Receipt["later"][number]): boolean => !isProof(evidence) || proofs.includes(evidence);
  const receipt = { ...file, later: [...found, ...withoutRepeats(file.later.filter(isKept))], appraisals: [] };
  // Nothing is dropped for want of room: it may be what contradicts the rest.
  if (receipt.later.length > MOST_AT_FIRST)
    throw new Proof402Error(
      "receipt_full",
      `The file and its maker's failed layers are more than ${MOST_AT_FIRST} pieces.`,
      { next: "Verify the file as it is." },
    );
  const imported = await storeVerdict(ctx, receipt, async (tx, appraisal) => {
    await requireNoOther(tx, receipt);
    const one = await importReceipt(tx, receipt, ctx.clock());
    if (one.added) return { ...one, receipt: await appendAppraisal(tx, receipt.id, appraisal) };
    if ((await readPurchaseByReceipt(tx, receipt.id)) !== null) return one;
    const joined = await join(tx, one.receipt, receipt, ctx.clock());
    return { ...one, receipt: joined, completed: one.completed || joined.later.length > one.receipt.later.length };
  });
  if (!imported.completed) return imported.receipt;
  return storeVerdict(ctx, receipt, (tx, appraisal) => appendAppraisal(tx, receipt.id, appraisal));
}

/** The same words twice take no room for others. */
function withoutRepeats(later: Receipt["later"]): Receipt["later"] {
  const names = later.map(({ evidence }) => toHex(canonicalSha256(evidence)));
  return later.filter((_one, index) => names.indexOf(names[index] ?? "") === index);
}

/** An engine that is asked about each proof once, however often one import judges it. */
function askedOnce(engine: EzklEngine): EzklEngine {
  const answers = new Map<string, ReturnType<EzklEngine>>();
  return (check) => {
    const name = [check.proof, check.key, check.settings, check.srs].map((bytes) => toHex(sha256(bytes))).join();
    const answer = answers.get(name) ?? engine(check);
    answers.set(name, answer);
    return answer;
  };
}

/** Of an own purchase this buyer has the receipt: no file of another can be it. */
async function requireNoOther(tx: Db, { id, core }: Receipt): Promise<void> {
  const own = (await readPurchaseByNonce(tx, core.payment.nonce))?.receiptId ?? null;
  if (own === null || own === id) return;
  throw new Proof402Error(
    "purchase_known",
    `The purchase of this receipt is this buyer's own, with the receipt ${own}.`,
    {
      next: "Use the stored receipt, or ask the maker of the file why they differ.",
      details: { receiptId: own },
    },
  );
}

/** Joins a stored imported receipt with another file of it. */
async function join(tx: Db, stored: Receipt, file: Receipt, at: Date): Promise<Receipt> {
  let receipt = stored;
  for (const { evidence } of file.later) {
    if (!isJoined(evidence)) continue;
    requireRoomFor(receipt, evidence);
    receipt = await appendLater(tx, receipt.id, heard(receipt, evidence), at);
  }
  for (const evidence of disputesIn(receipt)) receipt = await appendLater(tx, receipt.id, evidence, at);
  return receipt;
}

/** A piece to join. If a full receipt has no room for another word about the chain, that there is one. */
function heard(receipt: Receipt, evidence: Evidence): Evidence {
  const { kind } = evidence;
  const known = kind === "settlement.x402" || kind === "inclusion.merkle" ? piecesOf(receipt, kind) : [];
  const differs = known.length > 0 && !isOwnAmong(known)(evidence);
  const hasRoom = hasRoomFor(receipt, { at: receipt.core.response.receivedAt, evidence });
  return differs && !hasRoom ? { kind: "disputed", of: kind } : evidence;
}

/** Whether a newer file's piece of this kind is joined. Of proofs only those are in a file by now that are to be kept. */
const isJoined = ({ kind }: Evidence): boolean =>
  isDisputable(kind) || kind === "contradiction" || kind === "disputed" || kind === "replay.onnx";

/** Says that there is no room for one more piece of a kind, and drops none: it may be the true one. */
function requireRoomFor(receipt: Receipt, evidence: Evidence): void {
  const { kind } = evidence;
  if (!isDisputable(kind)) return;
  const known = piecesOf(receipt, kind);
  if (known.length < MAX_OF_A_KIND || isOwnAmong(known)(evidence)) return;
  throw new Proof402Error(
    "receipt_full",
    `The stored receipt ${receipt.id} already holds ${known.length} pieces of the kind ${kind}, and this file tells another.`,
    { next: "Verify the file as it is, and have the chain read again." },
  );
}

const isDisputable = (kind: string): kind is Disputable => DISPUTABLE.some((one) => one === kind);
const isProof = ({ kind }: Evidence): boolean => PROOF_KINDS.some((one) => one === kind);

/** Which kinds a receipt tells in more than one way, as evidence. */
const disputesIn = (receipt: Receipt): Evidence[] =>
  DISPUTABLE.filter((of) => piecesOf(receipt, of).length > 1).map((of) => ({ kind: "disputed", of }));

/**
 * The later proofs of a file to keep with what is stored of its receipt. Beside one that holds none is needed, and of those
 * that do not hold one says it. So no junk proof keeps a genuine one out, first or last. A proof that cannot
 * be judged yet, because bodies are missing, say, is kept.
 */
async function proofsToKeep(ctx: JudgeContext, file: Receipt): Promise<Evidence[]> {
  if ((await readPurchaseByReceipt(ctx.db, file.id)) !== null) return [];
  const stored = await readReceipt(ctx.db, file.id);
  const whole = stored === null ? file : withBodies(stored, file);
  const judges = proofJudges(
    { policy: appraisalPolicyOf(ctx.config, ctx.config.verification.assurance), ezkl: ctx.ezkl },
    ctx.session,
  );
  const kept: Evidence[] = [];
  for (const kind of PROOF_KINDS) {
    const statusOf = async (piece: Evidence) => (await judges[kind](withOnly(whole, kind, piece)))?.status;
    const inCore = file.core.evidence.filter((one) => one.kind === kind);
    const known = stored === null ? inCore : piecesOf(stored, kind);
    const added = file.later
      .map(({ evidence }) => evidence)
      .filter((one) => one.kind === kind && !isOwnAmong(known)(one));
    if (added.length === 0) continue;
    const statuses = [];
    for (const piece of known) statuses.push(await statusOf(piece));
    for (const piece of added) {
      if (statuses.includes("pass")) break;
      const status = await statusOf(piece);
      if (status === "fail" && statuses.includes("fail")) continue;
      statuses.push(status);
      kept.push(piece);
    }
  }
  return kept;
}
