import { readChannelState } from "../chain/channels.ts";
import { voucherHash } from "../evidence/channel.ts";
import { chainIdOf } from "../evidence/eip3009.ts";
import { signerOf } from "../evidence/signer.ts";
import type { Db } from "../storage/database.ts";
import { immediate } from "../storage/migrations.ts";
import type { ChannelsTable } from "../storage/tables.ts";
import type { Chain } from "../chain/chain.ts";
import type { ChainClient } from "../chain/client.ts";
import type { ChargedWord } from "./channel-offers.ts";
import { idOf, readChannel, type VoucherPayment } from "./channels.ts";
import { release, SUPERSEDED } from "./journal.ts";
import { countUnbought, isUnserved, partsOf, type Part, type Sums } from "./voucher-sum.ts";

// A channel's sum only grows: what the seller was granted, and what it claimed of that. The caps count each part of it once:
// as the purchase whose voucher reached it, or, where the journal has none (a database restored from a backup, another
// database of the same wallet), without one. `counted` is how far they have got.

/**
 * The seller served for a voucher: its sum is granted from now on. Unserved vouchers over part of the same sum can add
 * nothing to it any more and stop counting, including those with a failure or a part as the answer. In the caller's
 * transaction.
 */
export async function grantVoucher(tx: Db, purchaseId: string, payment: VoucherPayment, now: Date): Promise<void> {
  const id = idOf(payment);
  const row = await readChannel(tx, id);
  const granted = BigInt(payment.cumulative);
  if (row === null || BigInt(row.charged) >= granted) return;
  const counted = BigInt(row.counted);
  await set(tx, id, { charged: granted, counted: counted > granted ? counted : granted });
  await supersede(tx, row, { upTo: granted, but: purchaseId, now });
}

/**
 * Accepts the seller's figure for the granted sum if this wallet's own voucher of at least that sum proves it: one in
 * the journal, or one given back by the seller. The next voucher builds on it. It can cost nothing that was not granted
 * already. True where it was taken.
 */
export const acceptSellerCharge = (db: Db, id: string, word: ChargedWord, now: Date): Promise<boolean> =>
  immediate(db, async (tx) => {
    const row = await readChannel(tx, id);
    if (row === null || BigInt(row.charged) >= word.charged) return false;
    const known = (await unserved(tx, id, { above: word.charged - 1n, upTo: word.charged })).some(
      ({ signed }) => signed,
    );
    if (!known && !isOwn(row, word)) return false;
    await count(tx, row, word.charged, now);
    await set(tx, id, { charged: word.charged });
    return true;
  });

/**
 * What was claimed of a channel, as far as it is believed: with the chain's confirmations on top, and no more than the
 * second RPC shows, where one is configured (threat T39). Nothing where either does not answer.
 */
export async function claimedOf(chain: Chain, id: string): Promise<bigint> {
  const look = async (client: ChainClient): Promise<bigint> => {
    const block = (await client.getBlockNumber()) - BigInt(chain.confirmations);
    return block < 0n ? 0n : (await readChannelState(client, id, block)).totalClaimed;
  };
  const claimed = await chain.read(look).catch(() => 0n);
  if (claimed === 0n || chain.witness === null) return claimed;
  const seconded = await claimedOf(chain.witness, id);
  return seconded < claimed ? seconded : claimed;
}

/**
 * Notes what a chain shows of a channel. The channel's balance bounds its vouchers, below the sum once put in: the rest
 * was taken back. Claimed money without a purchase counts against the caps, once: `believed` of it, and never more than
 * was granted or put in as it is noted so far.
 */
export const noteMoney = (
  db: Db,
  id: string,
  { balance, totalClaimed, believed = totalClaimed }: { balance: bigint; totalClaimed: bigint; believed?: bigint },
  now: Date,
): Promise<void> =>
  immediate(db, async (tx) => {
    const row = await readChannel(tx, id);
    if (row === null) return;
    // While some of it is unclaimed, none was taken back yet.
    const whole = balance > totalClaimed && balance > BigInt(row.put_in ?? 0);
    if (row.state !== "opening") await set(tx, id, { deposit: balance, putIn: whole ? balance : undefined });
    const most = [row.charged, row.deposit, row.put_in ?? 0].map(BigInt).reduce((a, b) => (a > b ? a : b));
    await count(tx, row, believed < most ? believed : most, now);
  });

/** Notes each channel's claimable and claimed sums, if its chain answers. */
export async function readClaims(db: Db, chains: ReadonlyMap<string, Chain>, now: Date): Promise<void> {
  const rows = await db
    .selectFrom("channels")
    .select(["id", "network"])
    .where("state", "in", ["open", "closing"])
    .execute();
  // A few at a time: a fleet has many, and one look is several requests.
  for (let from = 0; from < rows.length; from += LOOKS_AT_ONCE)
    await Promise.all(rows.slice(from, from + LOOKS_AT_ONCE).map(look));

  async function look({ id, network }: { id: string; network: string }): Promise<void> {
    const chain = chains.get(network);
    const seen = await chain
      ?.read(async (client) => readChannelState(client, id, await client.getBlockNumber()))
      .catch(() => undefined);
    if (chain === undefined || seen === undefined) return;
    await noteMoney(db, id, { ...seen, believed: await claimedOf(chain, id) }, now);
  }
}

const LOOKS_AT_ONCE = 8;

/**
 * Brings what the caps count of a channel up to `sum`. A signed, unserved voucher may explain the last part of it, an
 * unanswered one before a failed one. It then goes on counting, and if the sum is its own, the next voucher builds on
 * it.
 */
async function count(tx: Db, row: ChannelsTable, sum: bigint, now: Date): Promise<void> {
  const counted = BigInt(row.counted);
  const explains =
    sum <= counted
      ? undefined
      : (await unserved(tx, row.id, { above: sum - 1n })).find((one) => one.signed && one.base < sum);
  const upTo = explains?.base ?? sum;
  if (upTo > counted) await countUnbought(tx, row, upTo - counted, now);
  if (sum > counted) await set(tx, row.id, { counted: sum, charged: explains?.cumulative === sum ? sum : undefined });
  await supersede(tx, row, { upTo: sum, but: explains?.id ?? null, now });
}

/**
 * Vouchers within a sum that is counted already can add nothing to it: they stop counting. One within the base before was
 * conceded to the seller, and stays spent.
 */
async function supersede(
  tx: Db,
  row: ChannelsTable,
  { upTo, but, now }: { upTo: bigint; but: string | null; now: Date },
): Promise<void> {
  for (const { id } of await unserved(tx, row.id, { above: BigInt(row.charged), upTo })) {
    if (id === but) continue;
    await release(tx, id, { reason: SUPERSEDED, unusable: true, now });
  }
}

/**
 * Unserved vouchers of a channel over such sums: unanswered ones, of these the sent ones first, then those with a failed, partial or
 * undecodable answer. Each oldest first.
 */
async function unserved(tx: Db, id: string, sums: Sums): Promise<(Part & { signed: boolean })[]> {
  const waiting = await partsOf(tx, id, ["reserved", "signed", "sent"], sums);
  const [sent, others] = [true, false].map((is) => waiting.filter(({ state }) => (state === "sent") === is));
  const failed: Part[] = [];
  for (const one of await partsOf(tx, id, ["answered"], sums)) if (await isUnserved(tx, one)) failed.push(one);
  return [...(sent ?? []), ...(others ?? []), ...failed].map((one) => ({ ...one, signed: one.state !== "reserved" }));
}

/** The seller shows a voucher of this wallet's own, of at least what it says it was granted. */
function isOwn(row: ChannelsTable, { charged, signed }: ChargedWord): boolean {
  const { payerAuthorizer } = JSON.parse(row.terms) as VoucherPayment["channel"];
  if (signed === null || BigInt(signed.cumulative) < charged) return false;
  return signerOf(signed.signature, voucherHash(chainIdOf(row.network), row.id, signed.cumulative)) === payerAuthorizer;
}

/** Writes the sums that are given: Kysely leaves the column of an undefined one alone. */
const set = (
  tx: Db,
  id: string,
  sums: {
    deposit?: bigint | undefined;
    putIn?: bigint | undefined;
    charged?: bigint | undefined;
    counted?: bigint | undefined;
  },
): Promise<unknown> =>
  tx
    .updateTable("channels")
    .set({
      deposit: sums.deposit?.toString(),
      put_in: sums.putIn?.toString(),
      charged: sums.charged?.toString(),
      counted: sums.counted?.toString(),
    })
    .where("id", "=", id)
    .execute();
