import { Proof402Error } from "../errors.ts";
import type { Db } from "../storage/database.ts";
import { immediate } from "../storage/migrations.ts";
import { isDead, newOwner } from "./lease-owner.ts";
import { putLease } from "./put-lease.ts";

/** How long a channel is another process's after its last sign of life, ms. One that is seen dead on this machine loses it at once. */
const LEASE_MS = 15_000;
/** A lease with less left than this is not used before it is taken once more, ms: a process that froze may have lost it. */
const MARGIN_MS = LEASE_MS / 3;
/** How often other processes' channels are tried, and for how long a channel is left to them, ms. */
const POLL_MS = 100;
const LEFT_MS = 3 * POLL_MS;
/** How often leases are looked after, how long one stays without use, and how long a wish for one counts, ms. */
const CARE_MS = 250;
const IDLE_MS = 500;
const WISH_MS = 3 * CARE_MS;

/** The key of a channel's lease. Calls' leases are in the same table, and no call's key begins with a tab. */
const keyOf = (channelId: string): string => `\tchannel ${channelId}`;
const WISH = "\tchannel wanted ";

/** Leases of payment channels, as one process holds them for its calls. */
export type ChannelLeases = {
  /**
   * Runs work with the first free one of some channels; `idsOf` names them in groups, the preferred first, and is asked again
   * after each wait. `fits` says of a channel just handed over whether it is one of them still. One purchase of a channel
   * runs at a time, in this process or another: each voucher is over the sum of all before it, so two made at once would be
   * over the same sum, and the seller would take one. Calls of different channels wait for nothing. This spares a seller and
   * a caller trouble; the journal alone bounds the money, even if a lease is lost.
   *
   * Throws Proof402Error `aborted` when `signal` ends the wait, and what `idsOf`, `fits` and `work` throw.
   */
  withOne<T>(
    which: { idsOf: () => Promise<readonly (readonly string[])[]>; fits: (id: string) => Promise<boolean> },
    signal: AbortSignal | undefined,
    work: (id: string) => Promise<T>,
  ): Promise<T>;
  /** Those of some channels that a call is at work with, in any process. */
  atWork(ids: readonly string[]): Promise<Set<string>>;
  /** Gives every channel back. */
  close(): Promise<void>;
};

/** A channel of this process: `until` by the leases' clock, `idleSince` by this process's own, ms. `leaves`: another one wants it. */
type Lease = { owner: string; until: number; busy: boolean; idleSince: number; leaves: boolean };
type Waiting = { ids: readonly string[]; take: (id: string | null) => void };

/** The leases of one process: it keeps a channel between its calls, so that one after another costs no write. */
export function createChannelLeases({ db, clock }: { db: Db; clock: () => Date }): ChannelLeases {
  const held = new Map<string, Lease>();
  const left = new Map<string, number>();
  const line: Waiting[] = [];
  const self = newOwner();
  let triedAt = -Infinity;
  let wishes = false;
  let care: NodeJS.Timeout | null = null;
  let caring: Promise<void> = Promise.resolve();

  const isOurs = (id: string): boolean => {
    const lease = held.get(id);
    return lease !== undefined && (lease.busy || lease.until - clock().getTime() > MARGIN_MS);
  };

  /** Takes the first of these channels that no process has. Null where there is none: then other processes can read the wish. */
  const takeFree = async (ids: readonly string[], count: number): Promise<string | null> => {
    const owner = newOwner();
    const found = await immediate(
      db,
      async (tx) => {
        const now = clock().getTime();
        const rows = await tx
          .selectFrom("call_leases")
          .select(["idempotency_key", "owner", "until"])
          .where("idempotency_key", "in", ids.map(keyOf))
          .execute();
        const isFree = (id: string): boolean => {
          const row = rows.find((one) => one.idempotency_key === keyOf(id));
          return row === undefined || row.until <= now || row.owner === held.get(id)?.owner || isDead(row.owner);
        };
        const id = ids.find((one) => !isOurs(one) && isFree(one));
        const lease = { owner, until: now + LEASE_MS };
        if (id !== undefined) await putLease(tx, keyOf(id), lease);
        else await wish(tx, ids[Math.floor(Math.random() * ids.length)] ?? "", count, now);
        return id === undefined ? null : { id, until: lease.until };
      },
      "process",
    );
    if (found === null) return null;
    held.set(found.id, { owner, until: found.until, busy: true, idleSince: 0, leaves: false });
    return found.id;
  };

  /** Says that this process waits for a channel, and how many it has. */
  const wish = async (tx: Db, id: string, count: number, now: number): Promise<void> => {
    wishes = true;
    await tx
      .deleteFrom("call_leases")
      .where("idempotency_key", "like", `${WISH}%`)
      .where((is) => is.or([is("until", "<=", now), is("owner", "=", self)]))
      .execute();
    await putLease(tx, `${WISH}${id} ${count} ${self}`, { owner: self, until: now + WISH_MS });
  };

  /** Takes a channel of the first group that has a free one, this process's own idle ones first. */
  const take = async (groups: readonly (readonly string[])[]): Promise<string | null> => {
    const tries = performance.now() - triedAt >= POLL_MS;
    const most = groups.flat().length;
    for (const ids of groups) {
      const idle = ids.find((id) => held.get(id)?.busy === false && isOurs(id));
      const lease = idle === undefined ? undefined : held.get(idle);
      if (idle !== undefined && lease !== undefined) {
        lease.busy = true;
        return idle;
      }
      const now = performance.now();
      const others = ids.filter((id) => !isOurs(id) && (left.get(id) ?? 0) <= now);
      if (others.length === 0 || !tries) continue;
      // Who can use no other channel asks for it as one that has none.
      const taken = await takeFree(others, most === 1 ? 0 : held.size);
      if (taken !== null) {
        care ??= setInterval(() => void (caring = caring.then(lookAfter)), CARE_MS).unref();
        return taken;
      }
      triedAt = performance.now();
    }
    return null;
  };

  const giveUp = (id: string): void => {
    const lease = held.get(id);
    if (lease === undefined) return;
    if (lease.leaves || lease.until - clock().getTime() <= MARGIN_MS) {
      if (lease.leaves) left.set(id, performance.now() + LEFT_MS);
      caring = caring.then(() => release([id]));
      lease.busy = false;
      lease.until = 0;
      return;
    }
    const next = line.findIndex(({ ids }) => ids.includes(id));
    if (next !== -1) {
      line.splice(next, 1)[0]?.take(id);
      return;
    }
    lease.busy = false;
    lease.idleSince = performance.now();
  };

  /** Gives leases that are not in use back. */
  const release = async (ids: readonly string[]): Promise<void> => {
    const owners = ids.flatMap((id) => {
      const lease = held.get(id);
      if (lease === undefined || lease.busy) return [];
      held.delete(id);
      return [lease.owner];
    });
    // A lease that cannot be given up runs out.
    const ended = wishes && held.size === 0;
    if (owners.length > 0 || ended) {
      wishes &&= !ended;
      await immediate(
        db,
        (tx) =>
          tx
            .deleteFrom("call_leases")
            .where("owner", "in", [...owners, ...(ended ? [self] : [])])
            .execute(),
        "process",
      ).catch(() => undefined);
    }
    if (held.size > 0 || care === null) return;
    clearInterval(care);
    care = null;
  };

  const lookAfter = async (): Promise<void> => {
    const now = performance.now();
    const time = clock().getTime();
    await release([...held].flatMap(([id, lease]) => (!lease.busy && now - lease.idleSince > IDLE_MS ? [id] : [])));
    const ageing = [...held.values()].filter(({ until }) => until - time < LEASE_MS - MARGIN_MS);
    if (ageing.length > 0) {
      const until = time + LEASE_MS;
      const owners = ageing.map(({ owner }) => owner);
      const extend = (tx: Db): Promise<{ owner: string }[]> =>
        tx.updateTable("call_leases").set({ until }).where("owner", "in", owners).returning("owner").execute();
      const kept = await immediate(db, extend, "process").catch(() => []);
      for (const lease of ageing) if (kept.some(({ owner }) => owner === lease.owner)) lease.until = until;
    }
    if (held.size > 0) await heedWishes(time).catch(() => undefined);
  };

  /** Marks channels that other processes wait for: one that has none gets any, another one until both have as many. */
  const heedWishes = async (time: number): Promise<void> => {
    const rows = await db
      .selectFrom("call_leases")
      .select(["idempotency_key", "owner"])
      .where("idempotency_key", "like", `${WISH}%`)
      .where("until", ">", time)
      .where("owner", "!=", self)
      .execute();
    for (const { idempotency_key: key, owner } of rows) {
      const [id = "", count = ""] = key.slice(WISH.length).split(" ");
      const lease = held.get(id);
      if (lease === undefined || isDead(owner) || (count !== "0" && Number(count) + 1 >= held.size)) continue;
      lease.leaves = true;
      if (!lease.busy) giveUp(id);
    }
  };

  /** Waits until a channel of this process is handed over, or others' channels may be tried again: null then. */
  const turn = (ids: readonly string[], signal: AbortSignal | undefined): Promise<string | null> =>
    new Promise((resolve, reject) => {
      const leave = (): void => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", stop);
        const at = line.indexOf(waiting);
        if (at !== -1) line.splice(at, 1);
      };
      const stop = (): void => {
        leave();
        reject(aborted());
      };
      const waiting: Waiting = {
        ids,
        take(id) {
          leave();
          resolve(id);
        },
      };
      // One after another, so that a long line asks the database no more often than a short one.
      const timer = setTimeout(() => waiting.take(null), POLL_MS * line.push(waiting));
      if (signal?.aborted === true) stop();
      else signal?.addEventListener("abort", stop, { once: true });
    });

  return {
    async withOne({ idsOf, fits }, signal, work) {
      let id: string | null = null;
      try {
        // It may have too little left by now.
        while (id === null || !(await fits(id))) {
          if (id !== null) giveUp(id);
          id = null;
          const groups = await idsOf();
          id = await take(groups);
          if (id !== null) break;
          id = await turn(groups.flat(), signal);
        }
        return await work(id);
      } finally {
        if (id !== null) giveUp(id);
      }
    },
    async atWork(ids) {
      const rows = await db
        .selectFrom("call_leases")
        .select(["idempotency_key", "owner"])
        .where("idempotency_key", "in", ids.map(keyOf))
        .where("until", ">", clock().getTime())
        .execute();
      const isAtWork = (id: string): boolean =>
        held.get(id)?.busy ?? rows.some(({ idempotency_key: key, owner }) => key === keyOf(id) && !isDead(owner));
      return new Set(ids.filter(isAtWork));
    },
    async close() {
      for (const lease of held.values()) lease.busy = false;
      await caring;
      await release([...held.keys()]);
    },
  };
}

const aborted = (): Proof402Error =>
  new Proof402Error("aborted", "All channels are in use; waiting for one was aborted.", {
    next: "Call again with the same idempotency key. The owner can open more: proof402 channel open --parts.",
  });
