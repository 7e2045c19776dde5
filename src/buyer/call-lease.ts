import { Proof402Error } from "../errors.ts";
import { sha256, toHex, utf8 } from "../evidence/bytes.ts";
import { immediate } from "../storage/migrations.ts";
import { openBell } from "../storage/notices.ts";
import type { BuyerContext } from "./context.ts";
import { isDead, newOwner } from "./lease-owner.ts";
import { putLease } from "./put-lease.ts";

/** How long a call is another's after its last sign of life, ms. A process seen dead on this machine loses it at once. */
const LEASE_MS = 15_000;
const HEARTBEAT_MS = LEASE_MS / 3;
/** How often the holder's progress is looked for, ms. While a server tells of its end, only the holder's death takes a look. */
const POLL_MS = 100;
const RARE_MS = 1000;

/**
 * Runs work while no other process runs any under the same key. A logical call is such a key: one
 * that comes second waits for the first to end, and then finds its result in the journal instead of sending the same payment
 * beside it. This spares a seller and a caller trouble; only the journal ensures a single
 * payment, even if a lease is lost.
 *
 * Throws Proof402Error `aborted` when `signal` ends the wait, and what `work` throws.
 */
export async function withLock<T>(
  ctx: BuyerContext,
  key: string,
  signal: AbortSignal | undefined,
  work: () => Promise<T>,
): Promise<T> {
  const owner = newOwner();
  if (!(await take(ctx, key, owner))) await waitFor(ctx, key, owner, signal);
  const heartbeat = setInterval(() => void extend(ctx, key, owner).catch(() => undefined), HEARTBEAT_MS);
  heartbeat.unref();
  try {
    return await work();
  } finally {
    clearInterval(heartbeat);
    // A lease that cannot be given up runs out: that must not cost what the work brought.
    await giveUp(ctx, key, owner).catch(() => undefined);
  }
}

const take = (ctx: BuyerContext, key: string, owner: string): Promise<boolean> =>
  immediate(
    ctx.db,
    async (tx) => {
      const now = ctx.clock().getTime();
      const held = await tx
        .selectFrom("call_leases")
        .select(["owner", "until"])
        .where("idempotency_key", "=", key)
        .executeTakeFirst();
      if (held !== undefined && held.until > now && !isDead(held.owner)) return false;
      await putLease(tx, key, { owner, until: now + LEASE_MS });
      return true;
    },
    "process",
  );

const extend = (ctx: BuyerContext, key: string, owner: string): Promise<unknown> =>
  immediate(
    ctx.db,
    (tx) =>
      tx
        .updateTable("call_leases")
        .set({ until: ctx.clock().getTime() + LEASE_MS })
        .where("idempotency_key", "=", key)
        .where("owner", "=", owner)
        .execute(),
    "process",
  );

const giveUp = (ctx: BuyerContext, key: string, owner: string): Promise<unknown> =>
  immediate(
    ctx.db,
    (tx) => tx.deleteFrom("call_leases").where("idempotency_key", "=", key).where("owner", "=", owner).execute(),
    "process",
  );

/** Waits until another's lease ends, and takes it. */
async function waitFor(ctx: BuyerContext, key: string, owner: string, signal: AbortSignal | undefined): Promise<void> {
  const name = `call_leases ${toHex(sha256(utf8(key)))}`;
  const bell = openBell(ctx.db, (notice) => notice === name);
  try {
    // Once more at first: it may have ended before the bell hung.
    while (!(await take(ctx, key, owner))) {
      if (signal?.aborted !== true) await bell.wait({ ms: POLL_MS, rareMs: RARE_MS, signal });
      if (signal?.aborted === true)
        throw new Proof402Error("aborted", "Another process is making this call; waiting for it was aborted.", {
          next: "Call again with the same idempotency key to get its result.",
        });
    }
  } finally {
    bell.close();
  }
}
