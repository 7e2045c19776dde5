import type { Db } from "../storage/database.ts";

/** Writes a lease under a key in the place of the one before. `until` in Unix ms. */
export const putLease = (tx: Db, key: string, lease: { owner: string; until: number }): Promise<unknown> =>
  tx
    .insertInto("call_leases")
    .values({ idempotency_key: key, ...lease })
    .onConflict((conflict) => conflict.column("idempotency_key").doUpdateSet(lease))
    .execute();
