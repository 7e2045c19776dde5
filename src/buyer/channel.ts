import { Proof402Error } from "../errors.ts";
import type { Candidate } from "../market/choose.ts";
import { channelsFor, chargedIn } from "../payment/channel-offers.ts";
import { concede } from "../payment/channel-books.ts";
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
import { holdingCall } from "./call-lease.ts";
import type { Call } from "./call.ts";
import type { BuyerContext } from "./context.ts";
import type { Received } from "./send.ts";

/**
 * Plans a voucher from an open channel and runs `pay` with it, one purchase of a channel at a time: each voucher is over the
 * sum of all before it, so two made at once would be over the same sum, and the seller would take one.
 */
export async function fromChannel<T>(
  ctx: BuyerContext,
  call: Call,
  { seller }: Candidate,
  offer: Offer,
  pay: (payment: VoucherPayment) => Promise<T>,
): Promise<T> {
  const open = channelsFor(await openChannels(ctx.db, seller.id, call.wallet.address), offer);
  const channel = open.find(({ left }) => left >= BigInt(offer.amount));
  if (channel === undefined) throw missing(seller.id);
  return holdingChannel(ctx, call, channel.id, async () => {
    const row = await readChannel(ctx.db, channel.id);
    if (row === null) throw missing(seller.id);
    return pay(planVoucher(row, offer));
  });
}

/** Runs `work` while no other purchase, in this process or another, is under way on the channel. */
export const holdingChannel = <T>(
  ctx: BuyerContext,
  call: Call,
  channelId: string,
  work: () => Promise<T>,
): Promise<T> => holdingCall(ctx, `channel ${channelId}`, call.options.signal, work);

/** After a 402 to a voucher: takes note where the seller says, rightly, that an earlier one was served. */
export async function noteCharged(ctx: BuyerContext, payment: Payment, received: Received): Promise<void> {
  if (!isFromChannel(payment)) return;
  const read = readPaymentRequired(received.headers);
  const word = read.ok ? chargedIn(read.required, idOf(payment)) : null;
  if (word !== null) await concede(ctx.db, idOf(payment), word, ctx.clock());
}

const missing = (sellerId: string): Proof402Error =>
  new Proof402Error("channel_missing", `No open channel with "${sellerId}" has enough left.`, {
    next: `The owner can open one: proof402 channel open --seller ${sellerId} --asset SYMBOL --amount AMOUNT.`,
  });
