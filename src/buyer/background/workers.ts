import { randomUUID } from "node:crypto";
import { sql, type Selectable } from "kysely";
import type { Db } from "../../storage/database.ts";
import { isOnPostgres, serverTime } from "../../storage/dialect.ts";
import { hurryMessages, messageKey } from "../../storage/messages.ts";
import type { JobsTable } from "../../storage/tables.ts";
import { isDead, newOwner } from "../lease-owner.ts";
import { putLease } from "../put-lease.ts";

/** How long a worker counts as there after its last sign of life, ms. */
const THERE_MS = 15_000;
/** How long a look for workers holds good, ms. */
const LOOK_MS = 2000;
/** Before the name of a worker among the leases of calls. */
const WORKER = "proof402 work ";
/** Before the schema of its messages, as the owner of a job that the workers have. */
const FLEET = "workers:";

/** The owner of the jobs that a database's workers have among them. */
export const fleetOwner = (schema: string): string => `${FLEET}${schema}`;

/** Signs of life of ended workers are cleared away after this time, ms. */
const KEPT_MS = 3_600_000;

/** Shows all processes of a database that a worker is there, while it says `alive`, until `leave`. */
export async function announceWorker(db: Db): Promise<{ alive(): Promise<void>; leave(): Promise<void> }> {
  const [name, owner] = [`${WORKER}${randomUUID()}`, newOwner()];
  let saidAt = -Infinity;
  const alive = async (): Promise<void> => {
    if (performance.now() - saidAt < THERE_MS / 3) return;
    await putLease(db, name, { owner, until: (await serverTime(db)) + THERE_MS });
    saidAt = performance.now();
  };
  await db
    .deleteFrom("call_leases")
    .where(isWorker)
    .where("until", "<", (await serverTime(db)) - KEPT_MS)
    .execute();
  await alive();
  return {
    alive,
    async leave() {
      // A sign that cannot be taken back runs out.
      await db
        .deleteFrom("call_leases")
        .where("idempotency_key", "=", name)
        .execute()
        .catch(() => undefined);
    },
  };
}

/** Names of calls hold no space. */
const isWorker = sql<boolean>`idempotency_key >= ${WORKER} and idempotency_key < ${`${WORKER}~`}`;

/** Counts the workers of a database, without those seen dead on this machine. */
export async function countWorkers(db: Db): Promise<number> {
  const leases = await db
    .selectFrom("call_leases")
    .select("owner")
    .where(isWorker)
    .where("until", ">", await serverTime(db))
    .execute();
  return leases.filter(({ owner }) => !isDead(owner)).length;
}

/** How long a job is left to the workers that are there, ms. One that none takes is anybody's then. */
export const LEFT_MS = 5000;

/**
 * Tells whether workers are there, so that a buyer leaves its jobs to them for a while. Frees their jobs once none is there.
 * Only a server's database has workers.
 */
export function seesWorkers(db: Db): (nowMs: number) => Promise<boolean> {
  if (!isOnPostgres(db)) return () => Promise.resolve(false);
  let seen = { at: -Infinity, any: false };
  return async (nowMs) => {
    if (performance.now() - seen.at <= LOOK_MS) return seen.any;
    seen = { at: performance.now(), any: (await countWorkers(db)) > 0 };
    if (!seen.any) await freeFromWorkers(db, nowMs);
    return seen.any;
  };
}

/** Frees the workers' jobs. A living worker cannot end one afterwards: its next holder has a new fence. */
async function freeFromWorkers(db: Db, nowMs: number): Promise<void> {
  const theirs = sql<boolean>`owner like ${`${FLEET}%`} and state <> 'done' and leased_until > ${nowMs}`;
  const any = await db.selectFrom("jobs").select("id").where(theirs).limit(1).executeTakeFirst();
  if (any !== undefined) await db.updateTable("jobs").set({ leased_until: 0 }).where(theirs).execute();
}

/** Has workers look at their jobs among these now. */
export async function hurryWorkers(
  db: Db,
  jobs: readonly Pick<Selectable<JobsTable>, "id" | "attempts" | "owner">[],
): Promise<void> {
  const theirs = jobs.filter(({ owner }) => owner.startsWith(FLEET));
  const schema = theirs[0]?.owner.slice(FLEET.length);
  if (schema === undefined) return;
  await hurryMessages(
    db,
    schema,
    theirs.map(({ id, attempts }) => messageKey(id, attempts)),
  );
}
