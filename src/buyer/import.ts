import { Proof402Error } from "../errors.ts";
import { readPurchaseByReceipt, readPurchasesByNonce } from "../payment/journal.ts";
import { purchaseNonceOf } from "../evidence/payment-binding.ts";
import { newestAppraisal } from "../receipts/newest.ts";
import { piecesOf } from "../receipts/disputed.ts";
import { crowdedIn } from "../receipts/receipt.ts";
import { hasRoomFor } from "../receipts/room.ts";
import { MAX_OF_A_KIND, type Evidence, type Receipt } from "../receipts/schema.ts";
import { appendAppraisal, appendLater, importReceipt, readReceipt } from "../receipts/store.ts";
import type { Db } from "../storage/database.ts";
import { isOwnAmong } from "../verify/find-evidence.ts";
import type { BuyerContext } from "./context.ts";
import { asKept, askedOnce, isDisputable, missingIn, MOST_AT_FIRST } from "./join.ts";
import type { JudgeContext } from "./judge.ts";
import { storeVerdict } from "./verdicts.ts";

/**
 * Judges and stores a receipt that was made elsewhere. Leaves out its maker's appraisals, and keeps their failures as
 * evidence.
 *
 * Joins the later evidence of several files of one receipt (docs/verify.md). The order of importing changes no verdict. A
 * contradiction stands, and of differing words about the chain none counts. A receipt of an own purchase takes its
 * missing bodies only: this buyer saw the rest itself.
 *
 * Throws Proof402Error `purchase_known` for any other receipt of an own purchase, also before its own is stored,
 * `receipt_full` where a piece that may count has no room, `receipt_crowded`, and the codes of `parseReceipt`.
 */
export async function importJudged(
  caller: JudgeContext & Partial<Pick<BuyerContext, "events">>,
  file: Receipt,
): Promise<Receipt> {
  const ctx = { ...caller, ezkl: askedOnce(caller.ezkl) };
  const crowded = crowdedIn(file);
  if (crowded !== null)
    throw new Proof402Error("receipt_crowded", crowded, { next: "Get the receipt file again from where it was made." });
  const receipt = await asKept(ctx, file, await readReceipt(ctx.db, file.id));
  // Nothing is dropped for want of room: it may be what contradicts the rest.
  if (receipt.later.length > MOST_AT_FIRST)
    throw new Proof402Error(
      "receipt_full",
      `The file and its maker's failed layers are more than ${MOST_AT_FIRST} pieces.`,
      { next: "Verify the file as it is, where the receipt is not stored." },
    );
  const imported = await storeVerdict(ctx, receipt, async (tx, appraisal) => {
    await requireNoOther(tx, receipt);
    const one = await importReceipt(tx, receipt, ctx.clock());
    if (one.added) return { ...one, receipt: await appendAppraisal(tx, receipt.id, appraisal) };
    if ((await readPurchaseByReceipt(tx, receipt.id)) !== null) return one;
    const joined = await join(tx, one.receipt, receipt, ctx.clock());
    const { verdict, wanted } = newestAppraisal(one.receipt);
    const isOutdated = verdict !== appraisal.verdict || wanted !== appraisal.wanted;
    const isMore = joined.later.length > one.receipt.later.length;
    return { ...one, receipt: joined, completed: one.completed || isMore || isOutdated };
  });
  if (!imported.completed) return imported.receipt;
  return storeVerdict(ctx, receipt, (tx, appraisal) => appendAppraisal(tx, receipt.id, appraisal));
}

/**
 * Of an own purchase this buyer has the receipt: no file of another can be it. Until that receipt is stored, none is taken:
 * its verdict would be out of date from then on.
 */
async function requireNoOther(tx: Db, { id, core }: Receipt): Promise<void> {
  const purchases = await readPurchasesByNonce(tx, core.payment.nonce);
  if (purchases.length === 0 || purchases.some(({ receiptId }) => receiptId === id)) return;
  const named = purchaseNonceOf(core.payment);
  const same = purchases.find(({ payment }) => purchaseNonceOf(payment) === named) ?? purchases[0];
  const receiptId = same?.receiptId ?? null;
  const what = receiptId === null ? "and its own receipt is not stored yet" : `with the receipt ${receiptId}`;
  throw new Proof402Error("purchase_known", `The purchase of this receipt is this buyer's own, ${what}.`, {
    next:
      receiptId === null
        ? "Make the call again with the same idempotency key to get its receipt, or verify the file as it is."
        : "Use the stored receipt, or ask the maker of the file why they differ.",
    details: { receiptId },
  });
}

/** Joins a stored imported receipt with another file of it. */
async function join(tx: Db, stored: Receipt, file: Receipt, at: Date): Promise<Receipt> {
  let receipt = stored;
  for (const evidence of missingIn(stored, file)) {
    requireRoomFor(receipt, evidence);
    receipt = await appendLater(tx, receipt.id, heard(receipt, evidence), at);
  }
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

/** Says that there is no room for one more piece of a kind, and drops none: it may be the true one. */
function requireRoomFor(receipt: Receipt, evidence: Evidence): void {
  const { kind } = evidence;
  if (!isDisputable(kind)) return;
  const known = piecesOf(receipt, kind);
  if (known.length < MAX_OF_A_KIND || isOwnAmong(known)(evidence)) return;
  throw new Proof402Error(
    "receipt_full",
    `The stored receipt ${receipt.id} already holds ${known.length} pieces of the kind ${kind}, and this file tells another.`,
    { next: "Verify the file as it is, where the receipt is not stored." },
  );
}
