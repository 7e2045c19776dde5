import { keccak256, toHex0x, utf8, type Address, type Hex } from "../evidence/bytes.ts";
import { channelIdOf, type ChannelConfig } from "../evidence/channel.ts";
import { chainIdOf } from "../evidence/eip3009.ts";
import { Proof402Error, type ErrorCode } from "../errors.ts";
import type { Db } from "../storage/database.ts";
import type { ChannelsTable } from "../storage/tables.ts";
import { answersInTime } from "./before-paying.ts";
import type { Chain } from "../chain/chain.ts";
import { claimedOf, noteMoney } from "./channel-books.ts";
import { readOnChain, readUsed, stateOf, type ChannelOnChain } from "./channel-state.ts";
import { configOf, readChannel, type ChannelSeller } from "./channels.ts";
import { askedBack } from "../chain/owner/transactions.ts";
import { immediate } from "../storage/migrations.ts";
import type { AssetPolicy } from "./policy.ts";

/** A channel's payer, seller and token. */
export type ChannelScope = { payer: Address; seller: ChannelSeller; asset: AssetPolicy };

/** Channels of one scope that are looked for before the search is given up as endless. */
const MAX_INDEX = 1000;
/** Unused numbers after the last used one until the search ends. */
const MAX_GAP = 16;

/**
 * The salt of a wallet's channel with a seller by its number, 0 and up. It is no secret, and its id names wallet,
 * seller and token, so an owner without the database finds every channel by asking the chain. The first words keep it
 * apart from other programs' channels of the same wallet.
 */
const saltOf = (index: number): Hex => toHex0x(keccak256(utf8(`proof402 channel ${index}`)));

/** The channel of this number with one of the seller's payees, or null where the configuration pins no terms. */
function configAt({ payer, seller, asset }: ChannelScope, receiver: Address, index: number): ChannelConfig | null {
  if (seller.channel === undefined) return null;
  return {
    payer,
    payerAuthorizer: payer,
    receiver,
    receiverAuthorizer: seller.channel.receiverAuthorizer,
    token: asset.asset,
    withdrawDelay: seller.channel.withdrawDelaySeconds,
    salt: saltOf(index),
  };
}

/** A channel's row. */
export function rowOf(
  config: ChannelConfig,
  { seller, asset }: ChannelScope,
  deposit: bigint,
  now: Date,
): ChannelsTable {
  const { payer, receiver, token, ...terms } = config;
  return {
    id: channelIdOf(chainIdOf(asset.network), config),
    seller_id: seller.id,
    network: asset.network,
    asset: token,
    payer,
    receiver,
    terms: JSON.stringify(terms),
    deposit: deposit.toString(),
    put_in: null,
    charged: "0",
    counted: "0",
    state: "opening",
    opened_at: now.getTime(),
    wished: null,
  };
}

/**
 * Walks a wallet's channels with a payee by number, as the chain has them, and notes those that this database does not
 * know (it is new, or was restored from a backup). A skipped number ends nothing: the walk goes on for a fixed count of
 * unused numbers after the last used one. A stranger's money uses none. Gives the next to open: one begun by a command
 * and without its deposit on chain, else the first unused one; null if the configuration pins no terms.
 *
 * Throws Proof402Error `wrong_chain` or `chain_unreachable`.
 */
export async function recoverChannels(
  db: Db,
  chain: Chain,
  scope: ChannelScope,
  receiver: Address,
  now: Date,
): Promise<ChannelConfig | null> {
  let begun: ChannelConfig | null = null;
  let unused: ChannelConfig | null = null;
  for (let from = 0, end = MAX_GAP; from < end;) {
    if (end > MAX_INDEX) throw endless(chain);
    const configs = Array.from({ length: end - from }, (_one, at) => configAt(scope, receiver, from + at));
    const pinned = configs.filter((config) => config !== null);
    if (pinned.length === 0) return null;
    const used = await readUsed(chain, pinned);
    for (const [at, config] of pinned.entries()) {
      const state = await noteFound(db, chain, scope, { config, used: used[at] === true, now });
      if (state === null) unused ??= config;
      else end = from + at + 1 + MAX_GAP;
      if (state === "opening") begun ??= config;
    }
    from += pinned.length;
  }
  return begun ?? unused;
}

/** Notes a used, unknown channel and gives its state; null if neither chain nor database knows it. */
async function noteFound(
  db: Db,
  chain: Chain,
  scope: ChannelScope,
  { config, used, now }: { config: ChannelConfig; used: boolean; now: Date },
): Promise<ChannelsTable["state"] | null> {
  const known = await readChannel(db, channelIdOf(chainIdOf(chain.network), config));
  if (!used || (known !== null && known.state !== "opening")) return known?.state ?? null;
  const seen = await readOnChain(chain, config);
  const row = known ?? rowOf(config, scope, seen.balance, now);
  if (known === null)
    await db
      .insertInto("channels")
      .values(row)
      .onConflict((conflict) => conflict.doNothing())
      .execute();
  return noteSeen(db, row, { ...seen, believed: await claimedOf(chain, row.id) }, now);
}

const endless = ({ network }: Chain): Proof402Error =>
  new Proof402Error("chain_unreachable", `The RPC of ${network} shows more channels than can be.`, {
    next: "Nothing was signed. Use an RPC you trust.",
  });

/** Reads a channel on its chain and brings its row in line. Throws Proof402Error `wrong_chain` or `chain_unreachable`. */
export async function refreshChannel(
  db: Db,
  chain: Chain,
  row: ChannelsTable,
  now: Date,
): Promise<{ state: ChannelsTable["state"]; seen: ChannelOnChain }> {
  const before = (await readChannel(db, row.id)) ?? row;
  const seen = await readOnChain(chain, configOf(row));
  return { state: await noteSeen(db, before, { ...seen, believed: await claimedOf(chain, row.id) }, now), seen };
}

/** Notes a look at a channel. `before` is its row from before the look: a state noted since is newer, and stands. */
const noteSeen = (
  db: Db,
  before: ChannelsTable,
  seen: ChannelOnChain & { believed: bigint },
  now: Date,
): Promise<ChannelsTable["state"]> =>
  immediate(db, async (tx) => {
    const row = (await readChannel(tx, before.id)) ?? before;
    if (row.state !== before.state) return row.state;
    const shown = stateOf(seen, row);
    const leaving = row.state === "closing" && shown === "open" && (await askedBack(tx, row));
    const state = leaving ? "closing" : shown;
    await tx.updateTable("channels").set({ state }).where("id", "=", row.id).execute();
    await noteMoney(tx, row.id, seen, now);
    return state;
  });

/** What a wallet has in channels, as far as their chains answer. */
export type ChannelSurvey = {
  /** `seen` is null where the chain gave no answer: the row is what was noted last. */
  channels: { row: ChannelsTable; seen: ChannelOnChain | null }[];
  /** CAIP-2 networks that gave none. */
  unreachable: string[];
  /** What failed, each fault once. */
  faults: { network: string; code: ErrorCode; message: string }[];
  /** Owners of channels still to be found, on networks that answer. */
  missed: { seller: string; receiver: Address; network: string; asset: string }[];
};

/** Looks for every channel of a wallet with these sellers, stored here or not, and reads each on its chain. */
export async function surveyChannels(options: {
  db: Db;
  chainOf: (asset: AssetPolicy) => Chain;
  payer: Address;
  sellers: readonly ChannelSeller[];
  assets: readonly AssetPolicy[];
  now: Date;
}): Promise<ChannelSurvey> {
  const { db, chainOf, payer, sellers, assets, now } = options;
  const unreachable = new Set<string>();
  const missed: ChannelSurvey["missed"] = [];
  const faults: ChannelSurvey["faults"] = [];
  /** Null where it failed; a network that does not answer is not asked again, and one failure on another costs nothing else. */
  const reached = async <T>(asset: AssetPolicy, work: (chain: Chain) => Promise<T>): Promise<T | null> => {
    const { network } = asset;
    if (unreachable.has(network)) return null;
    const chain = chainOf(asset);
    try {
      return await work(chain);
    } catch (error) {
      if (!Proof402Error.isInstance(error)) throw error;
      const { code, message } = error;
      if (!faults.some((one) => one.network === network && one.message === message))
        faults.push({ network, code, message });
      if (!(await answersInTime(chain))) unreachable.add(network);
      return null;
    }
  };
  for (const asset of assets)
    for (const seller of sellers)
      for (const receiver of seller.payTo) {
        const walk = async (chain: Chain): Promise<true> => {
          await recoverChannels(db, chain, { payer, seller, asset }, receiver, now);
          return true;
        };
        const walked = await reached(asset, walk);
        if (walked === null && !unreachable.has(asset.network))
          missed.push({ seller: seller.id, receiver, network: asset.network, asset: asset.asset });
      }
  const rows = await db.selectFrom("channels").selectAll().where("payer", "=", payer).orderBy("opened_at").execute();
  const channels: ChannelSurvey["channels"] = [];
  for (const row of rows) {
    const asset = assets.find((one) => one.network === row.network);
    const fresh = asset === undefined ? null : await reached(asset, (chain) => refreshChannel(db, chain, row, now));
    channels.push({ row: (await readChannel(db, row.id)) ?? row, seen: fresh?.seen ?? null });
  }
  return { channels, unreachable: [...unreachable], faults, missed };
}
