import type { Channel, ChannelStorage } from "@x402/evm/batch-settlement/server";
import { sql } from "kysely";
import { openRecords } from "./records.ts";

/** The channels that a node is paid by on one network, with the newest voucher of each. */
export type VoucherChannels = ChannelStorage & {
  /** Notes that money of a token is claimed and has to be paid out. */
  noteClaim(token: string): Promise<void>;
  /** Notes that the claimed money of a token is paid out. */
  notePayout(token: string): Promise<void>;
  /** Whether something claimed may not be paid out yet. */
  awaitsPayout(token: string): Promise<boolean>;
  /** Notes whether a channel's grants were claimed, at this time, ms. */
  noteClaimed(channelId: string, claimed: boolean, at: number): Promise<void>;
  /** The first claim of a channel's grants that failed, ms; null if the last one did not. */
  unclaimedSince(channelId: string): Promise<number | null>;
  close(): Promise<void>;
};

type Tables = {
  /** `channel` is x402's own record, JSON. */
  channels: { network: string; id: string; channel: string };
  payouts: { network: string; token: string };
  unclaimed: { network: string; id: string; since: number };
};

/** Opens the file, or a database in memory. Throws what the driver or the file system throws where it cannot be had. */
export async function openVoucherChannels(network: string, path = ":memory:"): Promise<VoucherChannels> {
  const db = await openRecords<Tables>(path, [
    `create table if not exists channels (network text not null, id text not null, channel text not null,
      primary key (network, id)) strict, without rowid`,
    `create table if not exists payouts (network text not null, token text not null,
      primary key (network, token)) strict, without rowid`,
    `create table if not exists unclaimed (network text not null, id text not null, since integer not null,
      primary key (network, id)) strict, without rowid`,
  ]);
  // A process that ended left its requests: none is under way that a channel would be kept busy by. Of another one that is at
  // work on this file a request may be refused for that, uncharged.
  await sql`update channels set channel = json_remove(channel, '$.pendingRequest') where network = ${network}`.execute(
    db,
  );
  const named = (id: string) => ({ network, id: id.toLowerCase() });
  const payout = (token: string) => ({ network, token: token.toLowerCase() });
  return {
    async get(channelId) {
      const row = await db
        .selectFrom("channels")
        .select("channel")
        .where("network", "=", network)
        .where("id", "=", named(channelId).id)
        .executeTakeFirst();
      return row === undefined ? undefined : read(row);
    },
    async list() {
      const rows = await db
        .selectFrom("channels")
        .select("channel")
        .where("network", "=", network)
        .orderBy("id")
        .execute();
      return rows.map(read);
    },
    updateChannel: (channelId, update) =>
      db.transaction().execute(async (tx) => {
        const { id } = named(channelId);
        const row = await tx
          .selectFrom("channels")
          .select("channel")
          .where("network", "=", network)
          .where("id", "=", id)
          .executeTakeFirst();
        const current = row === undefined ? undefined : read(row);
        const next = update(current);
        if (next === current) return { channel: current, status: "unchanged" };
        if (next === undefined) {
          await tx.deleteFrom("channels").where("network", "=", network).where("id", "=", id).execute();
          return { channel: undefined, status: "deleted" };
        }
        const channel = JSON.stringify(next);
        await tx
          .insertInto("channels")
          .values({ network, id, channel })
          .onConflict((conflict) => conflict.columns(["network", "id"]).doUpdateSet({ channel }))
          .execute();
        return { channel: next, status: "updated" };
      }),
    async noteClaim(token) {
      await db
        .insertInto("payouts")
        .values(payout(token))
        .onConflict((conflict) => conflict.doNothing())
        .execute();
    },
    async notePayout(token) {
      await db.deleteFrom("payouts").where("network", "=", network).where("token", "=", payout(token).token).execute();
    },
    async awaitsPayout(token) {
      const row = await db
        .selectFrom("payouts")
        .select("token")
        .where("network", "=", network)
        .where("token", "=", payout(token).token)
        .executeTakeFirst();
      return row !== undefined;
    },
    async noteClaimed(channelId, claimed, at) {
      if (claimed) {
        await db.deleteFrom("unclaimed").where("network", "=", network).where("id", "=", named(channelId).id).execute();
        return;
      }
      await db
        .insertInto("unclaimed")
        .values({ ...named(channelId), since: at })
        .onConflict((conflict) => conflict.doNothing())
        .execute();
    },
    async unclaimedSince(channelId) {
      const row = await db
        .selectFrom("unclaimed")
        .select("since")
        .where("network", "=", network)
        .where("id", "=", named(channelId).id)
        .executeTakeFirst();
      return row?.since ?? null;
    },
    close: () => db.destroy(),
  };
}

/** The file is the node's own: it reads what it wrote. */
const read = ({ channel }: { channel: string }): Channel => JSON.parse(channel) as Channel;
