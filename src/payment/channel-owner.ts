import { moneyText } from "../chain/money-text.ts";
import { Proof402Error } from "../errors.ts";
import type { Db } from "../storage/database.ts";
import type { ChannelsTable } from "../storage/tables.ts";
import { readHoldings } from "./allowance.ts";
import { requireAsset } from "./asset-check.ts";
import { recoverChannels, refreshChannel, rowOf } from "./channel-recover.ts";
import { readOnChain } from "./channel-state.ts";
import { AHEAD_SECONDS, clocksDisagree } from "./clocks.ts";
import { configOf, leftOf, openChannels, readChannel, type ChannelSeller } from "./channels.ts";
import { earlierFor, meanwhile, sendOwnerCall, sentOf, takeUp, type Owner, type Sent } from "../chain/owner/send.ts";
import { doneFor, noteTold, wishOf } from "../chain/owner/transactions.ts";
import type { OpenChannel } from "./channel-offers.ts";
import type { AssetPolicy } from "./policy.ts";
import type { Address } from "../evidence/bytes.ts";

/** How long the deposit's authorization may take to reach the chain, seconds. */
const DEPOSIT_SECONDS = 300;
/**
 * A channel with less than this part of the wished deposit left keeps no other from being opened: it is as good as used
 * up, or a stranger put that in. Who puts in more to be in the way has given it to the owner.
 */
const MOST_DUST = 100n;
/** How long the token is asked whether it is as configured, seconds. */
const ASSET_SECONDS = 10;

/**
 * Opens a channel with a seller and puts `amount` base units into it. The seller can claim them as vouchers are signed;
 * {@link closeChannel} takes the rest back. Only the owner's own command does this. Where an earlier command for the
 * same was broken off and its deposit is on chain, that is the channel. So it is where another sent the deposit with
 * the authorization that this transaction showed; `sent` is null where no transaction of the owner's did.
 *
 * Throws Proof402Error `channel_terms_missing` where the seller's configuration pins none, `deposit_too_large` above the
 * policy's total for the asset, `channel_already_open` unless `another` is wished for, `insufficient_funds`, `asset_mismatch`,
 * `clock_disagrees` where the chain's clock is too far ahead, and what {@link sendOwnerCall} throws.
 */
export async function openChannel(
  options: Owner & {
    seller: ChannelSeller;
    asset: AssetPolicy;
    amount: bigint;
    /** Opens one beside another that is open. */
    another?: boolean | undefined;
    /** Opens one only while fewer than so many are open that have enough left for `amount`. */
    upTo?: number | undefined;
    /** Hears of the channel before its opening is noted as told. */
    report?: ((opened: { channel: ChannelsTable; sent: Sent | null }) => void) | undefined;
    now: Date;
  },
): Promise<{ channel: ChannelsTable; sent: Sent | null }> {
  const { db, chain, wallet, seller, asset, amount, now } = options;
  const [receiver] = seller.payTo;
  if (seller.channel === undefined || receiver === undefined) throw termsMissing(seller.id);
  if (amount <= 0n || amount > BigInt(asset.total)) {
    throw new Proof402Error("deposit_too_large", `A deposit must be above nothing and within the policy's total.`, {
      next: `Put in at most ${moneyText(asset.total, asset)}.`,
      details: { limit: asset.total },
    });
  }
  const opening = (await channelsWith(options)).filter(({ state }) => state === "opening");
  const taken = await takeUp(
    options,
    opening.map(({ id }) => id),
  );
  const scope = { payer: wallet.address, seller, asset };
  const config = await recoverChannels(db, chain, scope, receiver, now);
  if (config === null) throw termsMissing(seller.id);
  const channels = await channelsWith(options);
  const depositOf = (id: string) => ({ kind: "deposit", channelId: id, amount }) as const;
  const told = async (
    channel: ChannelsTable,
    sent: Sent | null,
  ): Promise<{ channel: ChannelsTable; sent: Sent | null }> => {
    options.report?.({ channel, sent });
    if (sent !== null) await noteTold(db, sent.transaction);
    await db.updateTable("channels").set({ wished: null }).where("id", "=", channel.id).execute();
    return { channel, sent };
  };
  // What an earlier command wished for is on chain, and no command has told the owner: that is what this one was to do.
  const isAnswer = ({ id, state, wished }: ChannelsTable): boolean =>
    state !== "opening" && (wished === `${amount}` || taken.some(({ wish }) => wish === wishOf(depositOf(id))));
  const answer = channels.find(isAnswer);
  if (answer !== undefined) {
    const done = await doneFor(db, wishOf(depositOf(answer.id)));
    return told(answer, done === null ? null : sentOf(done, true));
  }
  const enough = await enoughLeft(options);
  const open = channels.find(({ id }) => enough.some((one) => one.id === id));
  if (open !== undefined && options.another !== true) throw alreadyOpen(open, asset);
  const { balance } = await readHoldings(chain, asset.asset, wallet.address);
  if (balance < amount) {
    throw new Proof402Error(
      "insufficient_funds",
      `The wallet holds ${moneyText(balance, asset)}, less than the deposit.`,
      { money: "not-moved", next: `Nothing was signed. Send ${asset.symbol} to ${wallet.address}, or put in less.` },
    );
  }
  // No dry run finds a wrong domain: that would show the authorization.
  await requireAsset(db, chain, asset, ASSET_SECONDS);
  const row = { ...rowOf(config, scope, amount, now), wished: `${amount}` };
  const validBefore = endOf(now, (await readOnChain(chain, config)).now);
  const sent = await sendOwnerCall(
    {
      ...options,
      async confirm(atMost) {
        await options.confirm?.(atMost);
        // Noted before its deposit is signed, so that money in it is never out of sight.
        await db
          .insertInto("channels")
          .values(row)
          .onConflict((conflict) =>
            conflict
              .column("id")
              .doUpdateSet({ deposit: row.deposit, wished: row.wished })
              .where("channels.state", "=", "opening"),
          )
          .execute();
      },
    },
    { ...depositOf(row.id), config, domain: asset.domain, validBefore },
    async (tx) => {
      if ((await readChannel(tx, row.id))?.state !== "opening") throw meanwhile();
      const { upTo } = options;
      if (upTo !== undefined && (await countEnough({ ...options, db: tx })) >= upTo) throw meanwhile();
    },
  ).catch(async (error: unknown) => {
    if (!Proof402Error.isInstance(error) || error.code !== "transaction_failed" || error.money !== "may-move")
      throw error;
    // It showed the authorization, which another may have sent before it or in its place: the chain says what became of it.
    const { state } = await refreshChannel(db, chain, row, now).catch(() => row);
    if (state !== "open") throw maybeDeposited(error, row.id, validBefore);
    return null;
  });
  // Another command may have looked at it, or asked its money back, since.
  await db
    .updateTable("channels")
    .set({ state: "open" })
    .where("id", "=", row.id)
    .where("state", "=", "opening")
    .execute();
  return told({ ...row, state: "open" }, sent);
}

type Wanted = { db: Db; wallet: { address: Address }; seller: ChannelSeller; asset: AssetPolicy; amount: bigint };

/** The open channels that have enough left to be as good as one with this deposit. */
async function enoughLeft({ db, wallet, seller, asset, amount }: Wanted): Promise<OpenChannel[]> {
  const open = await openChannels(db, seller, wallet.address);
  return open.filter(
    (one) => one.network === asset.network && one.asset === asset.asset && one.left * MOST_DUST >= amount,
  );
}

/** How many they are. */
export const countEnough = async (wanted: Wanted): Promise<number> => (await enoughLeft(wanted)).length;

/**
 * Takes back a channel's unclaimed money, by its state on chain and not by the notes. The first call asks for it and
 * ends the signing of vouchers; after the delay the next one takes it.
 *
 * Throws Proof402Error `channel_missing`, `channel_empty`, `withdrawal_waiting` before the delay is over, and what
 * {@link sendOwnerCall} throws.
 */
export async function closeChannel(
  options: Owner & { id: string; now?: Date },
): Promise<{ state: ChannelsTable["state"] } & Sent> {
  const { db, chain, wallet, id, now = new Date() } = options;
  const row = await readChannel(db, id);
  if (row === null || row.payer !== wallet.address || row.network !== chain.network) {
    throw new Proof402Error("channel_missing", "This wallet has no such channel.", {
      next: "The owner can list them with `proof402 channel list`.",
    });
  }
  const taken = await takeUp(options, [id]);
  const config = configOf(row);
  const { state, seen } = await refreshChannel(db, chain, row, now);
  const { balance, totalClaimed, withdrawal } = seen;
  const finalize = { kind: "finalize", config } as const;
  const asked = { kind: "withdraw", config, amount: withdrawal?.amount ?? 0n } as const;
  // What an earlier command sent is in a block by now: that is what this one was to do.
  const done = await earlierFor(options, withdrawal === null ? finalize : asked, taken);
  const told = async (sent: Sent, now: ChannelsTable["state"]): Promise<{ state: ChannelsTable["state"] } & Sent> => {
    await noteTold(db, sent.transaction);
    return { ...sent, state: now };
  };
  const unchanged = async (tx: Db): Promise<void> => {
    if ((await readChannel(tx, id))?.state !== state) throw meanwhile();
  };
  if (done !== null) return told(done, state);
  if (withdrawal !== null) {
    if (seen.now < withdrawal.readyAt) {
      throw new Proof402Error("withdrawal_waiting", "The channel's delay is not over yet.", {
        next: `Run this again after ${new Date(withdrawal.readyAt * 1000).toISOString()}, by the chain's clock.`,
        details: { readyAt: withdrawal.readyAt },
      });
    }
    const sent = await sendOwnerCall(options, finalize, unchanged);
    return told(sent, (await refreshChannel(db, chain, row, now)).state);
  }
  if (balance === totalClaimed) {
    throw new Proof402Error("channel_empty", "The channel holds nothing that could be taken back.", {
      next: "Nothing to do.",
    });
  }
  const withdraw = { kind: "withdraw", config, amount: balance - totalClaimed } as const;
  // No voucher is signed from the moment on at which the withdrawal is noted.
  const sent = await sendOwnerCall(options, withdraw, async (tx) => {
    await unchanged(tx);
    await tx.updateTable("channels").set({ state: "closing", wished: null }).where("id", "=", id).execute();
  }).catch(async (error: unknown) => {
    // Nothing was asked for by this one. What the channel is now, its chain says, or the next look at it.
    if (Proof402Error.isInstance(error) && error.code === "transaction_failed")
      await refreshChannel(db, chain, row, now).catch(() => undefined);
    throw error;
  });
  return told(sent, "closing");
}

/**
 * The second before which a deposit's authorization may be used. A chain with a clock a little ahead of ours would
 * refuse one ending by ours; a chain far ahead would have it live as long as its RPC pleases.
 */
function endOf(now: Date, chainTime: number): number {
  const ours = Math.floor(now.getTime() / 1000);
  if (chainTime > ours + AHEAD_SECONDS)
    throw clocksDisagree(ours, chainTime, "a deposit's authorization would live too long");
  return Math.max(ours, chainTime) + DEPOSIT_SECONDS;
}

/** The channels noted of a wallet with a seller in an asset. */
const channelsWith = ({
  db,
  wallet,
  seller,
  asset,
}: {
  db: Db;
  wallet: { address: Address };
  seller: ChannelSeller;
  asset: AssetPolicy;
}): Promise<ChannelsTable[]> =>
  db
    .selectFrom("channels")
    .selectAll()
    .where("payer", "=", wallet.address)
    .where("seller_id", "=", seller.id)
    .where("network", "=", asset.network)
    .where("asset", "=", asset.asset)
    .orderBy("opened_at")
    .execute();

const termsMissing = (sellerId: string): Proof402Error =>
  new Proof402Error("channel_terms_missing", `The configuration pins no channel terms for "${sellerId}".`, {
    next: "Add channel with receiverAuthorizer and withdrawDelaySeconds to the seller's entry.",
  });

/** A transaction that made no deposit, as far as the RPC says, and showed the authorization of one. */
const maybeDeposited = (error: Proof402Error, channel: string, validBefore: number): Proof402Error =>
  new Proof402Error(
    error.code,
    `${error.message} It showed the deposit's authorization, with which others can make the deposit until ${new Date(validBefore * 1000).toISOString()}.`,
    {
      money: "may-move",
      next: "The owner can look at it with `proof402 channel list` over a trusted RPC, then run the same command again: the chain takes this deposit at most once.",
      details: { ...error.details, channel, validBefore },
      cause: error,
    },
  );

const alreadyOpen = (row: ChannelsTable, asset: AssetPolicy): Proof402Error =>
  new Proof402Error(
    "channel_already_open",
    `A channel with this seller is open and has ${moneyText(leftOf(row), asset)} left: ${row.id}.`,
    {
      money: "not-moved",
      next: "Nothing was signed. The owner can use that one, or open another with `proof402 channel open --another`.",
      details: { channel: row.id },
    },
  );
