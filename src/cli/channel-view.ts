import { findAsset } from "../payment/policy.ts";
import type { Config } from "../config/schema.ts";
import { moneyText } from "../chain/money-text.ts";
import type { ChannelSurvey } from "../payment/channel-recover.ts";
import { leftOf } from "../payment/channels.ts";
import type { ChannelsTable } from "../storage/tables.ts";

/** A channel as it is shown. Amounts in base units; `fresh` is false where its chain was not read. */
export type ChannelView = {
  id: string;
  seller: string;
  network: string;
  asset: string;
  symbol: string;
  decimals: number;
  /** Whether one token is worth a dollar by the configuration. */
  usdStable: boolean;
  state: ChannelsTable["state"];
  /** What was put in and not taken back. */
  deposit: string;
  /** What was put in; null for a closed channel that this database did not know before. */
  putIn: string | null;
  /** What vouchers granted so far. */
  charged: string;
  /** What the seller claimed of it. */
  claimed: string;
  /** What is in it and not claimed. */
  left: string;
  /** What was asked back, and when it can be taken. */
  withdrawal: { amount: string; readyAt: string } | null;
  fresh: boolean;
};

/** A stored channel beside what its chain says. */
export function channelView({ row, seen }: ChannelSurvey["channels"][number], config: Config): ChannelView {
  const asset = findAsset(row, config.payment.assets);
  const { id, seller_id: seller, network, state, deposit, put_in: putIn, charged, counted } = row;
  return {
    id,
    seller,
    network,
    asset: row.asset,
    symbol: asset?.symbol ?? row.asset,
    decimals: asset?.decimals ?? 0,
    usdStable: asset?.usdStable ?? false,
    state,
    deposit,
    putIn: putIn ?? (state === "closed" ? null : deposit),
    charged,
    claimed: (seen?.totalClaimed ?? BigInt(counted)).toString(),
    left: (seen === null ? leftOf(row) : seen.balance - seen.totalClaimed).toString(),
    withdrawal:
      seen === null || seen.withdrawal === null
        ? null
        : {
            amount: seen.withdrawal.amount.toString(),
            readyAt: new Date(seen.withdrawal.readyAt * 1000).toISOString(),
          },
    fresh: seen !== null,
  };
}

/** One line for people. */
export function channelLine(view: ChannelView): string {
  const { id, seller, state, network, putIn, withdrawal, fresh } = view;
  const units = (amount: string): string => moneyText(amount, view);
  const asked =
    withdrawal === null ? "" : `; ${units(withdrawal.amount)} asked back, to be taken after ${withdrawal.readyAt}`;
  const old = fresh ? "" : " (as noted: the chain was not read)";
  const put = putIn === null ? `${units(view.deposit)} put in and not taken back` : `${units(putIn)} put in`;
  return `Channel ${id} with ${seller} on ${network}, ${state}: ${put}, ${units(view.charged)} granted, ${units(view.claimed)} claimed, ${units(view.left)} left${asked}${old}`;
}
