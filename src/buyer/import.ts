import { Proof402Error } from "../errors.ts";
import { readPurchaseByNonce, readPurchaseByReceipt } from "../payment/journal.ts";
import { piecesOf } from "../receipts/disputed.ts";
import { withBodies } from "../receipts/receipt.ts";
import { DISPUTABLE, MAX_LATER, type Evidence, type Receipt } from "../receipts/schema.ts";
import { appendAppraisal, appendLater, importReceipt, readReceipt } from "../receipts/store.ts";
import type { Db } from "../storage/database.ts";
import { ambiguitiesOf, failuresOfMaker } from "../verify/contradictions.ts";
import { isOwnAmong } from "../verify/evidence.ts";
import type { BuyerContext } from "./context.ts";
import { judgeReceipt } from "./judge.ts";
import { storeVerdict } from "./verdicts.ts";

/** The most pieces of a first file: newer files of the same receipt need the rest. */
const MOST_AT_FIRST = MAX_LATER - 16;
/** The most that files may tell of one kind. More of them decide nothing more. */
const MOST_OF_A_KIND = 4;

/**
 * Judges and stores a receipt that was made elsewhere. Leaves out its maker's appraisals, and keeps their failures as
 * evidence.
 *
 * Joins the later evidence of several files of one receipt (docs/verify.md). The order of importing changes nothing. A
 * contradiction stands, and of differing words about the chain none counts. A receipt of an own purchase takes its
 * missing bodies only: this buyer saw the rest itself.
 *
 * Throws Proof402Error `purchase_known` for any other receipt of an own purchase, `receipt_full`, and the codes of
 * `parseReceipt`.
 */
export async function importJudged(ctx: BuyerContext, file: Receipt): Promise<Receipt> {
  const at = ctx.clock().toISOString();
  const ambiguities = ambiguitiesOf(file);
  const disputes = ambiguities.length === 0 ? [] : disputesIn(file);
  const found = [...failuresOfMaker(file), ...ambiguities, ...disputes].map((evidence) => ({ at, evidence }));
  const receipt = { ...file, later: [...found, ...file.later], appraisals: [] };
  // Nothing is dropped for want of room: it may be what contradicts the rest.
  if (receipt.later.length > MOST_AT_FIRST)
    throw new Proof402Error(
      "receipt_full",
      `The file and its maker's failed layers are more than ${MOST_AT_FIRST} pieces.`,
      { next: "Verify the file as it is." },
    );
  const proofs = await provingIn(ctx, receipt);
  const imported = await storeVerdict(ctx, receipt, async (tx, appraisal) => {
    await requireNoOther(tx, receipt);
    const one = await importReceipt(tx, receipt, ctx.clock());
    if (one.added) return { ...one, receipt: await appendAppraisal(tx, receipt.id, appraisal) };
    if ((await readPurchaseByReceipt(tx, receipt.id)) !== null) return one;
    const joined = await join(tx, one.receipt, receipt, { proofs, at: ctx.clock() });
    return { ...one, receipt: joined, completed: one.completed || joined.later.length > one.receipt.later.length };
  });
  if (!imported.completed) return imported.receipt;
  return storeVerdict(ctx, receipt, (tx, appraisal) => appendAppraisal(tx, receipt.id, appraisal));
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
async function join(
  tx: Db,
  stored: Receipt,
  file: Receipt,
  { proofs, at }: { proofs: readonly Evidence[]; at: Date },
): Promise<Receipt> {
  let receipt = stored;
  for (const { evidence } of file.later)
    if (proofs.includes(evidence) || isJoined(receipt, evidence))
      receipt = await appendLater(tx, receipt.id, evidence, at);
  for (const evidence of disputesIn(receipt)) receipt = await appendLater(tx, receipt.id, evidence, at);
  return receipt;
}

/** Whether what a newer file tells is taken by its word: it can take a verdict away or be `reported`, and nothing more. */
function isJoined(receipt: Receipt, { kind }: Evidence): boolean {
  if (kind === "settlement.x402" || kind === "inclusion.merkle") return piecesOf(receipt, kind).length < MOST_OF_A_KIND;
  return kind === "contradiction" || kind === "disputed" || kind === "replay.onnx";
}

/** Which kinds a receipt tells in more than one way, as evidence. */
const disputesIn = (receipt: Receipt): Evidence[] =>
  DISPUTABLE.filter((of) => piecesOf(receipt, of).length > 1).map((of) => ({ kind: "disputed", of }));

/**
 * The proofs that a newer file adds. The first of a kind is added, and one that holds beside one that does not. So no
 * junk proof keeps a genuine one out.
 */
async function provingIn(ctx: BuyerContext, file: Receipt): Promise<Evidence[]> {
  const stored = await readReceipt(ctx.db, file.id);
  if (stored === null) return [];
  const whole = withBodies(stored, file);
  const holds = async (evidence: Evidence): Promise<boolean> => {
    const later = [{ at: file.core.response.receivedAt, evidence }];
    const judged = await judgeReceipt(ctx, { ...whole, later }, { assurance: ctx.config.verification.assurance });
    return judged.layers.computation.status === "pass";
  };
  const added: Evidence[] = [];
  for (const kind of ["zk.groth16", "zk.ezkl"] as const) {
    const known = piecesOf(stored, kind);
    for (const piece of piecesOf(file, kind).filter((one) => !isOwnAmong(known)(one))) {
      if (known.length > 0 && ((await some(known, holds)) || !(await holds(piece)))) continue;
      added.push(piece);
      known.push(piece);
    }
  }
  return added;
}

async function some<T>(items: readonly T[], holds: (item: T) => Promise<boolean>): Promise<boolean> {
  for (const item of items) if (await holds(item)) return true;
  return false;
}
