import { Proof402Error } from "../errors.ts";
import { evidenceFor } from "../evidence/methods/methods.ts";
import type { Candidate } from "../market/choose.ts";
import { chargedIn, payingChannel } from "../payment/channel-offers.ts";
import { acceptSellerCharge } from "../payment/channel-books.ts";
import {
  idOf,
  isFromChannel,
  openChannels,
  planVoucher,
  readChannel,
  type VoucherPayment,
} from "../payment/channels.ts";
import { readPaymentRequired } from "../payment/offers.ts";
import type { Offer, Payment } from "../receipts/schema.ts";
import type { Call } from "./call.ts";
import type { BuyerContext } from "./context.ts";
import type { Received } from "./send.ts";

/**
 * The channel that an offer is paid from, or null where it is paid from the wallet. Throws Proof402Error `channel_missing`.
 */
export async function channelFor(
  ctx: BuyerContext,
  call: Call,
  { seller }: Candidate,
  offer: Offer,
): Promise<string | null> {
  if (evidenceFor(offer)?.claimed !== true) return null;
  const channel = payingChannel(await openChannels(ctx.db, seller, call.wallet.address), offer);
  if (channel === undefined) throw missing(seller.id);
  return channel.id;
}

/** The voucher that pays an offer from a channel, whose lock is held. Throws Proof402Error `channel_missing`. */
export async function planFromChannel(
  ctx: BuyerContext,
  { seller }: Candidate,
  channelId: string,
  offer: Offer,
): Promise<VoucherPayment> {
  const row = await readChannel(ctx.db, channelId);
  if (row === null) throw missing(seller.id);
  return planVoucher(row, offer);
}

/**
 * One purchase of a channel at a time, in this process or another: each voucher is over the sum of all before it, so two made
 * at once would be over the same sum, and the seller would take one.
 */
export const lockOfChannel = (channelId: string): string => `channel ${channelId}`;

/** The key of the lock that a payment is sent under, or null. */
export const lockOf = (payment: Payment): string | null =>
  isFromChannel(payment) ? lockOfChannel(idOf(payment)) : null;

/** After a 402 to a voucher: takes note where the seller says, rightly, that an earlier one was served. */
export async function noteCharged(ctx: BuyerContext, payment: Payment, received: Received): Promise<void> {
  if (!isFromChannel(payment)) return;
  const read = readPaymentRequired(received.headers);
  const word = read.ok ? chargedIn(read.required, idOf(payment)) : null;
  if (word !== null) await acceptSellerCharge(ctx.db, idOf(payment), word, ctx.clock());
}

const missing = (sellerId: string): Proof402Error =>
  new Proof402Error("channel_missing", `No open channel with "${sellerId}" has enough left.`, {
    next: `The owner can open one: proof402 channel open --seller ${sellerId} --asset SYMBOL --amount AMOUNT.`,
  });
