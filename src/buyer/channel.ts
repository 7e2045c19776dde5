import { Proof402Error } from "../errors.ts";
import type { Hex } from "../evidence/bytes.ts";
import { evidenceFor } from "../evidence/methods/methods.ts";
import type { Candidate } from "../market/choose.ts";
import { chargedIn, payingChannels } from "../payment/channel-offers.ts";
import { acceptSellerCharge } from "../payment/channel-books.ts";
import {
  idOf,
  isFromChannel,
  openChannels,
  planVoucher,
  readChannel,
  type VoucherPayment,
} from "../payment/channels.ts";
import { readAttempts } from "../payment/journal.ts";
import { readPaymentRequired } from "../payment/offers.ts";
import { unansweredIn } from "../payment/voucher-sum.ts";
import type { Offer, Payment } from "../receipts/schema.ts";
import type { Call } from "./call.ts";
import type { BuyerContext } from "./context.ts";
import type { Received } from "./send.ts";

/**
 * Runs work with a payment by voucher out of a free channel; null where the offer is paid from the wallet. Throws Proof402Error
 * `channel_missing`, and what {@link ChannelLeases.withOne} throws.
 */
export async function withVoucher<T>(
  ctx: BuyerContext,
  call: Call,
  { seller }: Candidate,
  offer: Offer,
  work: (payment: VoucherPayment) => Promise<T>,
): Promise<T | null> {
  if (evidenceFor(offer)?.claimed !== true) return null;
  // A voucher takes an earlier one's place over the same sum of one channel only: of two channels both could be claimed.
  const attempts = await readAttempts(ctx.db, call.key);
  const out = attempts.filter(({ state }) => state !== "released").map(({ payment }) => payment);
  const bound = new Set(out.filter(isFromChannel).map(idOf));
  const payingOf = async (only?: string): Promise<string[]> =>
    payingChannels(await openChannels(ctx.db, seller, call.wallet.address, only), offer).map(({ id }) => id);
  const idsOf = async (): Promise<string[][]> => {
    const paying = await payingOf();
    if (paying.length === 0) throw missing(seller.id);
    const ids = bound.size === 0 ? paying : paying.filter((id) => bound.size === 1 && bound.has(id as Hex));
    if (ids.length === 0) throw boundElsewhere(seller.id);
    return preferred(ctx, ids);
  };
  const fits = async (id: string): Promise<boolean> => {
    if ((await payingOf(id)).length === 0) return false;
    return (await unansweredIn(ctx.db, [id])).size === 0 || (await idsOf()).flat().includes(id);
  };
  return ctx.channelLeases.withOne({ idsOf, fits }, call.signal, async (id) => {
    const row = await readChannel(ctx.db, id);
    if (row === null) throw missing(seller.id);
    return work(planVoucher(row, offer));
  });
}

/** The most abandoned calls that new ones keep out of the way of: so much can a seller hold that takes vouchers and answers none. */
const MOST_WAITING = 16;

/**
 * Channels in the order that a new call takes them. An abandoned call has a voucher out and no process at work on it: it is taken up
 * again on its channel, and nothing tells a new call's voucher over the same sum from its own. So new calls keep out of its way
 * and wait for another channel, unless every channel is like that, or too many are.
 */
async function preferred(ctx: BuyerContext, ids: string[]): Promise<string[][]> {
  const waiting = ids.length === 1 ? new Set<string>() : await unansweredIn(ctx.db, ids);
  if (waiting.size === 0) return [ids];
  const atWork = await ctx.channelLeases.atWork([...waiting]);
  const abandoned = ids.filter((id) => waiting.has(id) && !atWork.has(id));
  const others = ids.filter((id) => !abandoned.includes(id));
  if (abandoned.length > MOST_WAITING) return [abandoned, others];
  return [others.length === 0 ? abandoned : others];
}

/** Runs work while no other purchase of a payment's channel runs; at once where it is from none. */
export const withChannelOf = <T>(
  ctx: BuyerContext,
  call: Call,
  payment: Payment,
  work: () => Promise<T>,
): Promise<T> => {
  if (!isFromChannel(payment)) return work();
  const id = idOf(payment);
  const only = { idsOf: () => Promise.resolve([[id]]), fits: () => Promise.resolve(true) };
  return ctx.channelLeases.withOne(only, call.signal, work);
};

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

const boundElsewhere = (sellerId: string): Proof402Error =>
  new Proof402Error(
    "payment_in_doubt",
    `An earlier voucher of this call to "${sellerId}" is out, and its channel cannot pay for another in its place.`,
    {
      next: "Nothing more was signed. Call again with the same idempotency key once the seller has claimed it; `spending` shows it.",
    },
  );
