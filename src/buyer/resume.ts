import { evidenceOf, methodOf } from "../evidence/methods/methods.ts";
import { Proof402Error } from "../errors.ts";
import type { SellerListing } from "../market/catalog.ts";
import type { Candidate } from "../market/choose.ts";
import { findSeller } from "../config/schema.ts";
import { findAsset } from "../payment/policy.ts";
import type { ListedModel } from "../market/types.ts";
import { isFromChannel } from "../payment/channels.ts";
import { readAttempts, readPurchase, release } from "../payment/journal.ts";
import { NEVER_SIGNED } from "../payment/reasons.ts";
import type { PurchaseRecord } from "../payment/types.ts";
import { readReceipt } from "../receipts/store.ts";
import { isServed } from "../receipts/transfer.ts";
import { askChain, inDoubt } from "./ask-chain.ts";
import { attestSeller } from "./attest.ts";
import type { Call } from "./call.ts";
import { keyConflict } from "./calls.ts";
import type { BuyerContext } from "./context.ts";
import { isOwed, resultOf } from "./deliver.ts";
import { approve } from "./approve.ts";
import { placedAt } from "./places.ts";
import type { Paying, Turn } from "./turn.ts";

/** Time left below which an authorization is not sent again, seconds: the facilitator wants six. */
const RESEND_MARGIN_SECONDS = 10;

/**
 * One key, one payment (docs/architecture.md §6.5): looks at every attempt of this logical call before anything new is
 * done. One that was answered is the result. One that moved money is asked for again and followed by no other. One
 * that may still move it is sent again, under the present policy's consent where nothing shows that it was sent. One
 * that was only reserved is given up for a new one.
 *
 * Throws Proof402Error `payment_in_doubt`, and `idempotency_conflict` where the attempts are another call's.
 */
export async function takeUp(ctx: BuyerContext, call: Call): Promise<Turn> {
  const known = await readAttempts(ctx.db, call.key);
  // Another call of the key may have been paid since this one got it.
  if (known.some(({ argsDigest }) => argsDigest !== call.argsDigest)) throw keyConflict();
  await decide(ctx, known);
  const attempts = known.length === 0 ? known : await readAttempts(ctx.db, call.key);
  const answered = attempts.find(({ receiptId }) => receiptId !== null);
  if (answered !== undefined) return answeredBefore(ctx, call, answered);
  const settled = attempts.find(({ state }) => state === "settled");
  if (settled !== undefined) return { kind: "again", purchase: settled, failure: null };
  const out = attempts.filter(isOut);
  const usable = out.findLast((one) => isUsable(one.payment.validBefore, ctx.clock()) && !isSentOnce(one));
  if (usable !== undefined) return { kind: "again", purchase: usable, failure: null };
  if (out.length > 0) throw inDoubt();
  return { kind: "pay", attempt: attemptAfter(attempts), chosen: null };
}

/** Only what may have been signed counts: so every database of the wallet makes the same nonces of one key. */
function attemptAfter(attempts: readonly PurchaseRecord[]): number {
  const latest = attempts.at(-1);
  return latest === undefined ? 1 : latest.attempt + (latest.reason === NEVER_SIGNED ? 0 : 1);
}

const isUsable = (validBefore: number, now: Date): boolean =>
  validBefore - now.getTime() / 1000 > RESEND_MARGIN_SECONDS;

/** Its seller counts each sending, as of calls that share an authorization: once sent it is asked for no more. */
const isSentOnce = ({ payment, state }: PurchaseRecord): boolean => payment.share !== undefined && state !== "signed";

/** It may have been signed and sent, and no answer came: a power loss may have taken the note of its sending. */
const isOut = ({ state, receiptId }: PurchaseRecord): boolean =>
  (state === "signed" || state === "sent") && receiptId === null;

/**
 * Decides what can be decided: attempts that were only reserved are given up, and of those that may be out, the chain says what
 * became of them where more than one is, or one has run out.
 */
async function decide(ctx: BuyerContext, attempts: readonly PurchaseRecord[]): Promise<void> {
  const open = attempts.filter(isOut);
  const [only] = open;
  const clear =
    open.length === 1 && only !== undefined && isUsable(only.payment.validBefore, ctx.clock()) && !isSentOnce(only);
  for (const purchase of attempts) {
    // Legal while it is only reserved: a process that is slow can sign it no more afterwards.
    if (purchase.state === "reserved") await release(ctx.db, purchase.id, { reason: NEVER_SIGNED, now: ctx.clock() });
    else if (open.includes(purchase) && !clear) await askChain(ctx, purchase);
  }
}

/**
 * The stored result. A seller's failure is asked about once more while its payment can still bring an answer; after that
 * the chain says whether the payment moved money.
 */
async function answeredBefore(ctx: BuyerContext, call: Call, answered: PurchaseRecord): Promise<Turn> {
  const receipt = await readReceipt(ctx.db, answered.receiptId ?? "");
  if (receipt === null) throw new Error(`journal names receipt ${answered.receiptId} that is not stored`);
  const usable = isUsable(answered.payment.validBefore, ctx.clock());
  const once = isSentOnce(answered);
  const purchase = (usable && !once) || isServed(receipt.core) ? answered : await afterItsEnd(ctx, answered);
  const { state } = purchase;
  const open = !once && (state === "settled" || (usable && state === "answered"));
  if (isOwed(receipt) && open) return { kind: "again", purchase, failure: receipt.id };
  const payment = open ? "open" : state === "released" ? "over" : once && state === "settled" ? "taken" : "undecided";
  return { kind: "result", result: resultOf(ctx, call, receipt, { paidNow: false, stored: true, payment }) };
}

/** An answered purchase whose authorization has run out, as the chain decides it by now. */
async function afterItsEnd(ctx: BuyerContext, purchase: PurchaseRecord): Promise<PurchaseRecord> {
  if (purchase.state !== "answered") return purchase;
  await askChain(ctx, purchase);
  return (await readPurchase(ctx.db, purchase.id)) ?? purchase;
}

/**
 * An earlier authorization as it is sent again, the very same, while the configuration still lets this seller be paid so.
 * Where nothing shows that it was sent, a person is asked if the present policy wants one. Throws Proof402Error
 * `resend_not_allowed`, `seller_not_found` or `seller_unreachable`.
 */
export async function openAgain(
  ctx: BuyerContext,
  call: Call,
  { purchase, failure }: Extract<Turn, { kind: "again" }>,
): Promise<Paying> {
  const candidate = await candidateOf(ctx, call, purchase);
  const { state, offer, attempt, id } = purchase;
  const asset = findAsset(offer, ctx.config.payment.assets);
  if (state === "signed" && asset !== undefined)
    await approve(ctx, call, { candidate, quote: { offer, asset } }, { attempt, own: id });
  // A person may take long to answer: what the seller is attested to be is judged after that.
  const attested = await attestSeller(ctx, candidate, call.assurance, call.signal);
  return { candidate, attested, purchase, quote: null, failure };
}

async function candidateOf(ctx: BuyerContext, call: Call, purchase: PurchaseRecord): Promise<Candidate> {
  const { sellerId, payment, request } = purchase;
  const configured = findSeller(ctx.config, sellerId);
  if (configured === undefined) {
    throw new Proof402Error("seller_not_found", `Seller "${sellerId}" of this earlier call is no longer configured.`, {
      next: "Put the seller back into the configuration to take the call up again with the same key.",
    });
  }
  const { origin } = new URL(request.url);
  const seller = await placedAt(ctx, configured, origin, call.signal);
  const asset = findAsset(payment, ctx.config.payment.assets);
  const changed =
    (origin !== seller.origin && "origin") ||
    (!seller.payTo.includes(payment.payTo) && "payTo") ||
    (asset === undefined && "asset") ||
    (asset?.methods.some((method) => method === methodOf(payment)) !== true && "methods") ||
    (evidenceOf(payment).unpinnedIn(payment, seller) !== null && (isFromChannel(payment) ? "channel" : "facilitators"));
  if (changed !== false) {
    throw new Proof402Error(
      "resend_not_allowed",
      `This call was sent to seller "${sellerId}" on terms that the configuration no longer allows (${changed}).`,
      {
        next: "Nothing more is sent. The authorization counts as spent until the chain shows it settled or expired; `spending` shows it.",
        details: { changed },
      },
    );
  }
  const modelIn = (listings: readonly SellerListing[]): ListedModel | undefined =>
    listings.find((one) => one.seller.id === sellerId)?.models.find(({ name }) => name === purchase.model);
  const enough = (known: readonly SellerListing[]): boolean => modelIn(known) !== undefined;
  const asked = { signal: call.signal, seller: sellerId, model: purchase.model, enough };
  const model = modelIn(await ctx.catalog.listings(asked));
  if (model !== undefined) return { seller, model };
  throw new Proof402Error("seller_unreachable", `Seller "${seller.id}" of this earlier call cannot be asked now.`, {
    next: "Call again with the same idempotency key later.",
  });
}
