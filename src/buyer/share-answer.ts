import { bytesOf } from "../evidence/body.ts";
import { formatOf } from "../evidence/exchange/formats.ts";
import { isLaterShare } from "../evidence/payment-binding.ts";
import { sharingOf } from "../payment/methods/methods.ts";
import { readPaymentResponse } from "../payment/offers.ts";
import { findAsset } from "../payment/policy.ts";
import { toldCost } from "../payment/reported.ts";
import { noteReported } from "../payment/share-books.ts";
import { divideAgain } from "../payment/share-moves.ts";
import { closeShared, noteUse, openShared, targetOf } from "../payment/shared.ts";
import type { Receipt } from "../receipts/schema.ts";
import type { BuyerContext } from "./context.ts";
import { certificateOf, sharingFor } from "./sharing.ts";
import type { Paying } from "./turn.ts";

/** A token as sellers make them: an id that names nothing else. Anything longer or odder is not kept. */
const TOKEN = /^[A-Za-z0-9._~-]{16,128}$/;

/**
 * Notes a served call with the authorization behind it: the first opens it, with the token in its answer, and each later
 * one keeps it from being idle. The seller's word for the cost stands with each. Its word of a settlement ends it. In the transaction that stores the receipt.
 */
export async function noteShare(
  ctx: BuyerContext,
  { candidate, attested, purchase }: Paying,
  { core }: Receipt,
  headers: Readonly<Record<string, string>>,
): Promise<void> {
  const { db: tx } = ctx;
  const { payment, offer, id, request } = purchase;
  if (payment.share === undefined) return;
  const now = ctx.clock();
  const asset = findAsset(offer, ctx.config.payment.assets);
  const told = formatOf(core.seller.provider)?.costIn?.(bytesOf(core.response.body ?? "")) ?? null;
  const cost = asset === undefined ? null : toldCost(told, asset);
  if (cost !== null) await noteReported(tx, id, cost, now);
  await divideAgain(tx, id, now);
  const isSettled = readPaymentResponse(headers)?.transaction !== undefined;
  if (isLaterShare(payment)) {
    await (isSettled ? closeShared(tx, payment.nonce, now) : noteUse(tx, payment.nonce, now));
    return;
  }
  const terms = sharingFor(candidate, offer);
  const token = tokenIn(headers, offer);
  if (terms === null || isSettled || (terms.shownBy === "token" && token === null)) return;
  const { seller } = candidate;
  await openShared(tx, payment, {
    sellerId: seller.id,
    target: targetOf(request, purchase.client),
    offerHash: offer.offerHash,
    certificate: certificateOf({ candidate, attested }),
    terms,
    token: terms.shownBy === "token" ? token : null,
    now,
  });
}

function tokenIn(headers: Readonly<Record<string, string>>, offer: Receipt["core"]["offer"]): string | null {
  const sharing = sharingOf(offer);
  const token = sharing === null ? undefined : headers[sharing.tokenHeader];
  return token !== undefined && TOKEN.test(token) ? token : null;
}
