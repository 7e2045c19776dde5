import { channelIdOf, type ChannelConfig } from "../evidence/channel.ts";
import { chainIdOf } from "../evidence/eip3009.ts";
import { toHex0x } from "../evidence/bytes.ts";
import { Proof402Error } from "../errors.ts";
import type { Db } from "../storage/database.ts";
import { immediate } from "../storage/migrations.ts";
import type { ChannelsTable } from "../storage/tables.ts";
import { formatUnits } from "./amounts.ts";
import type { Chain } from "./chain.ts";
import type { ChannelTerms } from "./channel-offers.ts";
import { configOf, readChannel } from "./channels.ts";
import { sendOwnerCall } from "./owner-calls.ts";
import type { AssetPolicy } from "./policy.ts";
import { readChannelState } from "./settlement-channel.ts";
import type { Wallet } from "./wallet.ts";

/** How long the deposit's authorization may take to reach the chain, seconds. */
const DEPOSIT_SECONDS = 300;

/** A seller as a channel needs it. */
export type ChannelSeller = { id: string; payTo: readonly string[]; channel?: ChannelTerms | undefined };

/**
 * Opens a channel with a seller and puts `amount` base units into it: money that the seller can claim as vouchers are
 * signed, and that is otherwise taken back with {@link closeChannel}. Only the owner's own command does this.
 *
 * Throws Proof402Error `channel_terms_missing` where the seller's configuration pins none, `deposit_too_large` above the
 * policy's total for the asset, and what {@link sendOwnerCall} throws.
 */
export async function openChannel(options: {
  db: Db;
  chain: Chain;
  wallet: Wallet;
  seller: ChannelSeller;
  asset: AssetPolicy;
  amount: bigint;
  now: Date;
}): Promise<{ channel: ChannelsTable; transaction: string; gasUsed: bigint }> {
  const { db, chain, wallet, seller, asset, amount, now } = options;
  const [receiver] = seller.payTo;
  if (seller.channel === undefined || receiver === undefined) {
    throw new Proof402Error("channel_terms_missing", `The configuration pins no channel terms for "${seller.id}".`, {
      next: "Add channel with receiverAuthorizer and withdrawDelaySeconds to the seller's entry.",
    });
  }
  if (amount <= 0n || amount > BigInt(asset.total)) {
    throw new Proof402Error("deposit_too_large", `A deposit must be above nothing and within the policy's total.`, {
      next: `Put in at most ${formatUnits(asset.total, asset.decimals)} ${asset.symbol}.`,
      details: { limit: asset.total },
    });
  }
  const terms = {
    payerAuthorizer: wallet.address,
    receiverAuthorizer: seller.channel.receiverAuthorizer,
    withdrawDelay: seller.channel.withdrawDelaySeconds,
    // Random: no other process or machine with this wallet shares the channel.
    salt: toHex0x(crypto.getRandomValues(new Uint8Array(32))),
  };
  const config: ChannelConfig = { payer: wallet.address, receiver, token: asset.asset, ...terms };
  const channelId = channelIdOf(chainIdOf(asset.network), config);
  const channel: ChannelsTable = {
    id: channelId,
    seller_id: seller.id,
    network: asset.network,
    asset: asset.asset,
    payer: wallet.address,
    receiver,
    terms: JSON.stringify(terms),
    deposit: amount.toString(),
    charged: "0",
    state: "closed",
    opened_at: now.getTime(),
  };
  // Noted before it is funded, so that its salt, without which nothing can be taken back, cannot be lost.
  await db.insertInto("channels").values(channel).execute();
  const sent = await sendOwnerCall(chain, wallet, {
    kind: "deposit",
    config,
    channelId,
    amount,
    domain: asset.domain,
    salt: toHex0x(crypto.getRandomValues(new Uint8Array(32))),
    validBefore: Math.floor(now.getTime() / 1000) + DEPOSIT_SECONDS,
  });
  await db.updateTable("channels").set({ state: "open" }).where("id", "=", channelId).execute();
  return { channel: { ...channel, state: "open" }, ...sent };
}

/**
 * Takes back what a channel still holds. The first call asks for it, and no voucher is signed any more; once the delay is
 * over, the next takes it. Throws Proof402Error `channel_missing`, `channel_busy` while a purchase from it is under way,
 * `channel_empty`, `withdrawal_waiting` before the delay is over, and what {@link sendOwnerCall} throws.
 */
export async function closeChannel(options: {
  db: Db;
  chain: Chain;
  wallet: Wallet;
  id: string;
}): Promise<{ state: "closing" | "closed"; transaction: string; gasUsed: bigint }> {
  const { db, chain, wallet, id } = options;
  const row = await readChannel(db, id);
  if (row === null || row.payer !== wallet.address) {
    throw new Proof402Error("channel_missing", "This wallet has no such channel.", {
      next: "List them with proof402 channel list.",
    });
  }
  const config = configOf(row);
  if (row.state === "closing") {
    const sent = await sendOwnerCall(chain, wallet, { kind: "finalize", config }).catch((error: unknown) => {
      if (!Proof402Error.isInstance(error) || error.code !== "transaction_failed") throw error;
      throw new Proof402Error("withdrawal_waiting", "The channel's delay is not over yet.", {
        next: `Run this again ${config.withdrawDelay} s after the withdrawal was asked for.`,
        cause: error,
      });
    });
    await setState(db, id, "closed");
    return { state: "closed", ...sent };
  }
  const held = await chain.read(async (client) => readChannelState(client, id, await client.getBlockNumber()));
  const amount = held.balance - held.totalClaimed;
  if (amount === 0n) {
    throw new Proof402Error("channel_empty", "The channel holds nothing that could be taken back.", {
      next: "Nothing to do.",
    });
  }
  await setState(db, id, "closing");
  const sent = await sendOwnerCall(chain, wallet, { kind: "withdraw", config, amount }).catch(
    async (error: unknown) => {
      // Nothing was asked for: the channel is what it was.
      await setState(db, id, row.state);
      throw error;
    },
  );
  return { state: "closing", ...sent };
}

const setState = (db: Db, id: string, state: ChannelsTable["state"]): Promise<unknown> =>
  immediate(db, (tx) => tx.updateTable("channels").set({ state }).where("id", "=", id).execute());
