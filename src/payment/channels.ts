import { channelIdOf, type ChannelConfig } from "../evidence/channel.ts";
import { signingHash } from "../evidence/methods/methods.ts";
import { channelOf, NEVER } from "../evidence/methods/voucher.ts";
import { chainIdOf } from "../evidence/eip3009.ts";
import type { Offer, Payment } from "../receipts/schema.ts";
import type { Db } from "../storage/database.ts";
import type { ChannelsTable } from "../storage/tables.ts";
import type { ChannelTerms, OpenChannel } from "./channel-offers.ts";
import type { Refusal } from "./types.ts";
import type { Address, Hex } from "../evidence/bytes.ts";

/** A seller as a channel needs it. */
export type ChannelSeller = { id: string; payTo: readonly Address[]; channel?: ChannelTerms | undefined };

/** A voucher: what a payment channel is paid with. */
export type VoucherPayment = Extract<Payment, { method: "voucher" }>;

/** Whether a payment is out of a channel. */
export const isFromChannel = (payment: Payment): payment is VoucherPayment => "channel" in payment;

/** A channel as its id is made of it. */
export function configOf(row: ChannelsTable): ChannelConfig {
  const terms = JSON.parse(row.terms) as VoucherPayment["channel"];
  return { payer: row.payer, receiver: row.receiver, token: row.asset, ...terms };
}

/**
 * The sum vouchers can still grant from a channel, base units: its last balance on chain, possibly below the granted
 * sum if the seller did not claim in time.
 */
export function leftOf({ deposit, charged }: Pick<ChannelsTable, "deposit" | "charged">): bigint {
  const left = BigInt(deposit) - BigInt(charged);
  return left > 0n ? left : 0n;
}

/** A payer's channels with a seller, or one of them, of the pinned terms and no others: vouchers of them may be signed. */
export async function openChannels(
  db: Db,
  { id, channel: pinned }: ChannelSeller,
  payer: Address,
  only?: string,
): Promise<OpenChannel[]> {
  const all = db
    .selectFrom("channels")
    .selectAll()
    .where("seller_id", "=", id)
    .where("payer", "=", payer)
    .where("state", "=", "open")
    .orderBy("opened_at");
  const rows = await (only === undefined ? all : all.where("id", "=", only)).execute();
  const isPinned = ({ receiverAuthorizer, withdrawDelay }: ChannelConfig): boolean =>
    receiverAuthorizer === pinned?.receiverAuthorizer && withdrawDelay === pinned.withdrawDelaySeconds;
  return rows
    .filter((row) => isPinned(configOf(row)))
    .map((row) => ({
      id: row.id,
      network: row.network,
      asset: row.asset,
      receiver: row.receiver,
      left: leftOf(row),
    }));
}

export const readChannel = async (db: Db, id: string): Promise<ChannelsTable | null> =>
  (await db.selectFrom("channels").selectAll().where("id", "=", id).executeTakeFirst()) ?? null;

/**
 * The voucher to pay an offer from a channel: the sum granted so far plus the offer's amount. It never ends, so its
 * hash, which names channel and sum, is its nonce.
 */
export function planVoucher(channel: ChannelsTable, offer: Offer): VoucherPayment {
  const terms = {
    scheme: "batch-settlement" as const,
    method: "voucher" as const,
    network: offer.network,
    asset: offer.asset,
    amount: offer.amount,
    payer: channel.payer,
    payTo: offer.payTo,
    nonce: "0x" as const,
    validAfter: 0,
    validBefore: NEVER,
    previous: channel.charged,
    cumulative: (BigInt(channel.charged) + BigInt(offer.amount)).toString(),
    channel: JSON.parse(channel.terms) as VoucherPayment["channel"],
  };
  const hash = signingHash(terms, { name: "", version: "" });
  return { ...terms, nonce: hash, authorizationHash: hash };
}

/**
 * Why a voucher may not be reserved, or null. In the reservation's own transaction, so that of two vouchers over the same
 * sum one is refused: `charged` is the base both were planned on.
 */
export async function voucherRefusal(tx: Db, payment: VoucherPayment): Promise<Refusal | null> {
  const row = await readChannel(tx, idOf(payment));
  if (row?.state !== "open" || row.payer !== payment.payer || row.receiver !== payment.payTo)
    return { code: "channel_missing", message: "The channel is not open." };
  const left = leftOf(row);
  const fits = BigInt(payment.amount) <= left;
  if (fits && BigInt(row.charged) + BigInt(payment.amount) === BigInt(payment.cumulative)) return null;
  return {
    code: "channel_exhausted",
    message: fits ? "Another purchase was granted from this channel meanwhile." : "The channel has too little left.",
    limit: left.toString(),
    asked: payment.amount,
  };
}

/** The id of a voucher's channel. */
export const idOf = (payment: VoucherPayment): Hex => channelIdOf(chainIdOf(payment.network), channelOf(payment));
