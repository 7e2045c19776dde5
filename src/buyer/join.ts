import { sha256, toHex } from "../evidence/bytes.ts";
import { canonicalSha256 } from "../evidence/canonical.ts";
import { readPurchaseByReceipt } from "../payment/journal.ts";
import { piecesOf, withOnly } from "../receipts/disputed.ts";
import { crowdedIn, withBodies } from "../receipts/receipt.ts";
import { DISPUTABLE, MAX_LATER, type Disputable, type Evidence, type Receipt } from "../receipts/schema.ts";
import { hasRoom } from "../receipts/room.ts";
import { readReceipt } from "../receipts/store.ts";
import { ambiguitiesOf, failuresOfMaker } from "../verify/contradictions.ts";
import { PROOF_KINDS, proofJudges } from "../verify/computation/proofs.ts";
import { isOfChain, isOwnAmong } from "../verify/find-evidence.ts";
import type { EzklEngine } from "../verify/types.ts";
import { appraisalPolicyOf, type BuyerContext } from "./context.ts";

/** What joining files of one receipt takes. */
type JoinContext = Pick<BuyerContext, "config" | "db" | "clock" | "session" | "ezkl">;

/** The most pieces of a first file: newer files of the same receipt need the rest. */
export const MOST_AT_FIRST = MAX_LATER - 16;

/**
 * An imported file as it is stored: its maker's appraisals are left out and their failures become evidence. Proofs of no use
 * are left out. An appraisal stored here is this buyer's own and no word of its maker.
 */
export async function asKept(ctx: JoinContext, file: Receipt, stored: Receipt | null): Promise<Receipt> {
  const own = new Set(stored?.appraisals.map((one) => toHex(canonicalSha256(one))));
  const appraisals = file.appraisals.filter((one) => !own.has(toHex(canonicalSha256(one))));
  const ambiguities = ambiguitiesOf(file);
  const disputes = ambiguities.length === 0 ? [] : disputesIn(file);
  const at = ctx.clock().toISOString();
  const found = [...failuresOfMaker({ ...file, appraisals }), ...ambiguities, ...disputes];
  // More proofs than a reader tries are judged by their number, so none of them is tried here.
  const proofs = crowdedIn(file) === null ? await proofsToKeep(ctx, file, stored) : null;
  const kept = file.later.filter(({ evidence }) => !isProof(evidence) || (proofs?.includes(evidence) ?? true));
  const later = withoutRepeats([...found.map((evidence) => ({ at, evidence })), ...kept]);
  return { ...file, later, appraisals: [] };
}

/** The pieces added to a stored receipt by joining a kept file, with the disputes between them. */
export function missingIn(stored: Receipt, kept: Receipt): Evidence[] {
  const told = stored.later.map(({ evidence }) => evidence);
  const pieces = kept.later
    .map(({ evidence }) => evidence)
    .filter((evidence) => isJoined(evidence) && !isOwnAmong(told)(evidence));
  const isTold = isOwnAmong([...told, ...pieces]);
  return [...pieces, ...disputesIn(withPieces(stored, pieces)).filter((evidence) => !isTold(evidence))];
}

/**
 * A file of a stored import as it stands once it is joined, with nothing stored, or null for any other file. `isRead`: the
 * chain's own evidence has taken the place of each word about it. `refused` is the stored receipt alone, where importing the
 * file would be refused: such a file must not be judged better than that.
 */
export async function joinedWithStored(
  ctx: JoinContext,
  file: Receipt,
  isRead = false,
): Promise<{ receipt: Receipt; refused: Receipt | null } | null> {
  const stored = await readReceipt(ctx.db, file.id);
  if (stored === null || (await readPurchaseByReceipt(ctx.db, file.id)) !== null) return null;
  const kept = await asKept(ctx, file, stored);
  const isLeft = ({ evidence }: Receipt["later"][number]): boolean => !isRead || !isOfChain(evidence);
  const base = { ...withBodies(file, stored), later: stored.later.filter(isLeft), appraisals: [] };
  const missing = missingIn(base, kept);
  const receipt = withPieces(base, missing);
  const isRefused =
    crowdedIn(file) !== null ||
    kept.later.length > MOST_AT_FIRST ||
    crowdedIn(receipt) !== null ||
    !hasRoom({ ...receipt, appraisals: stored.appraisals });
  return { receipt, refused: missing.length > 0 && isRefused ? { ...stored, appraisals: [] } : null };
}

/** Whether joining a file left a proof of it out, which may not hold. */
export function leavesOutProof(file: Receipt, joined: Receipt): boolean {
  const isIn = isOwnAmong(joined.later.map(({ evidence }) => evidence));
  return file.later.some(({ evidence }) => isProof(evidence) && !isIn(evidence));
}

/** An engine that is asked about each proof once, however often one judgement or import looks at it. */
export function askedOnce(engine: EzklEngine): EzklEngine {
  const answers = new Map<string, ReturnType<EzklEngine>>();
  return (check) => {
    const name = [check.proof, check.key, check.settings, check.srs].map((bytes) => toHex(sha256(bytes))).join();
    const answer = answers.get(name) ?? engine(check);
    answers.set(name, answer);
    return answer;
  };
}

export const isDisputable = (kind: string): kind is Disputable => DISPUTABLE.some((one) => one === kind);
const isProof = ({ kind }: Evidence): boolean => PROOF_KINDS.some((one) => one === kind);

/** Whether a newer file's piece of this kind is joined. Of proofs only those are in a file by now that are to be kept. */
const isJoined = ({ kind }: Evidence): boolean =>
  isDisputable(kind) || kind === "contradiction" || kind === "disputed" || kind === "replay.onnx";

/** Which kinds a receipt tells in more than one way, as evidence. */
const disputesIn = (receipt: Receipt): Evidence[] =>
  DISPUTABLE.filter((of) => piecesOf(receipt, of).length > 1).map((of) => ({ kind: "disputed", of }));

/** A receipt with more pieces, as of the moment its answer came. */
export function withPieces(receipt: Receipt, pieces: readonly Evidence[]): Receipt {
  const at = receipt.core.response.receivedAt;
  return { ...receipt, later: [...receipt.later, ...pieces.map((evidence) => ({ at, evidence }))] };
}

/** The same words twice take no room for others. */
function withoutRepeats(later: Receipt["later"]): Receipt["later"] {
  const names = later.map(({ evidence }) => toHex(canonicalSha256(evidence)));
  return later.filter((_one, index) => names.indexOf(names[index] ?? "") === index);
}

/**
 * The later proofs of a file to keep with what is stored of its receipt. Beside one that holds none is needed, and of those
 * that do not hold one says it. So no junk proof keeps a genuine one out, first or last. A proof that cannot
 * be judged yet, because bodies are missing, say, is kept.
 */
async function proofsToKeep(ctx: JoinContext, file: Receipt, stored: Receipt | null): Promise<Evidence[]> {
  if ((await readPurchaseByReceipt(ctx.db, file.id)) !== null) return [];
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
