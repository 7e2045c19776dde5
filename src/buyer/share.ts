import { Proof402Error } from "../errors.ts";
import { readPurchase } from "../payment/journal.ts";
import { sharingOf } from "../payment/methods/methods.ts";
import { paymentHeaders } from "../payment/plan.ts";
import { giveUpShare, refuseShare } from "../payment/share-moves.ts";
import { closeShared, readShared, targetOf } from "../payment/shared.ts";
import { immediate } from "../storage/migrations.ts";
import type { PurchaseRecord } from "../payment/types.ts";
import type { BuyerContext } from "./context.ts";
import { quoteKey } from "./quotes.ts";
import { certificateOf } from "./sharing.ts";
import type { Paying, Turn } from "./turn.ts";

// Calls on one authorization (docs/payment.md). The first call is paid as any other, and opens it with the seller's
// answer. A later one signs nothing: it shows the seller's token, or the first call's payment once more, to exactly the
// place and under the certificate that the first one went to.

/** What a later call shows in place of an authorization of its own. `signature`: of the authorization that it goes on. */
type Shown = { signature: string; headers: Record<string, string> };

/**
 * The headers that a later call goes out with, or null where there are none any more: its authorization ended, or the
 * seller would be asked elsewhere or under another certificate than the first call went to.
 */
export async function shownFor(ctx: BuyerContext, { purchase, candidate, attested }: Paying): Promise<Shown | null> {
  const { payment, request } = purchase;
  const [row, first] = await Promise.all([
    readShared(ctx.db, payment.nonce),
    ctx.db.selectFrom("purchases").select(["id", "signature"]).where("nonce", "=", payment.nonce).executeTakeFirst(),
  ]);
  if (row === null || first === undefined || first.signature === null) return null;
  // The owner may have taken the option back since.
  if (candidate.seller.sharedAuthorization === undefined) return null;
  const isThere =
    row.target === targetOf(request, purchase.client) && row.certificate === certificateOf({ candidate, attested });
  if (!isThere || row.payer !== payment.payer || ctx.clock().getTime() >= payment.validBefore * 1000) return null;
  const { signature } = first;
  const sharing = sharingOf(purchase.offer);
  if (sharing === null) return null;
  if (row.shown_by === "token")
    return row.token === null ? null : { signature, headers: { [sharing.tokenHeader]: row.token } };
  if (row.open === 0 && row.until <= ctx.clock().getTime()) return null;
  const opened = await readPurchase(ctx.db, first.id);
  if (opened === null) return null;
  const { paymentResource: resource, paymentExtensions: extensions } = opened.request;
  // Byte for byte the first call's: sellers know it by its hash.
  const headers = paymentHeaders({
    payment: opened.payment,
    accepted: opened.accepted,
    signature,
    resource,
    extensions,
  });
  return { signature, headers };
}

/** Ends a later call with nothing to show: one that never went out signs for itself, any other is in doubt. */
export async function withoutShown(ctx: BuyerContext, { purchase }: Paying): Promise<Turn> {
  const { id, attempt, payment, sellerId } = purchase;
  const isUnsent = await immediate(ctx.db, async (tx) => {
    await closeShared(tx, payment.nonce, ctx.clock());
    return (await giveUpShare(tx, id, ctx.clock())).ok;
  });
  if (!isUnsent) throw inDoubt(sellerId);
  return { kind: "pay", attempt, chosen: null };
}

/**
 * A 402 to a later call: the seller goes on with its authorization no more. It was sent once, just now, and not served, so
 * it signs for itself, under a fresh quote. Throws Proof402Error `payment_in_doubt` if another process changed it.
 */
export async function afterShareRefusal(
  ctx: BuyerContext,
  { purchase, candidate }: Paying,
): Promise<Extract<Turn, { kind: "pay" }>> {
  const { id, attempt, payment, sellerId, request } = purchase;
  ctx.quotes.drop(quoteKey(candidate.seller.provider, request));
  const isRefused = await immediate(ctx.db, async (tx) => {
    const refused = (await refuseShare(tx, id, ctx.clock())).ok;
    await closeShared(tx, payment.nonce, ctx.clock());
    return refused;
  });
  if (!isRefused) throw inDoubt(sellerId);
  return { kind: "pay", attempt: attempt + 1, chosen: null };
}

/**
 * A call on an authorization for several is sent once: its seller counts each sending. Throws Proof402Error
 * `payment_in_doubt` for one that was sent before.
 */
export function requireUnsent({ payment, state, sellerId }: PurchaseRecord): void {
  if (payment.share !== undefined && state !== "reserved" && state !== "signed") throw inDoubt(sellerId);
}

const inDoubt = (sellerId: string): Proof402Error =>
  new Proof402Error(
    "payment_in_doubt",
    `This call was sent to seller "${sellerId}" on an authorization that it shares with others, and has no answer. It is not sent again: the seller may count each sending.`,
    {
      next: "The chain shows within minutes what was taken. Call again with the same idempotency key after that: only a call that nothing was taken for is paid once more.",
    },
  );
