import { createHash } from "node:crypto";
import { CompiledQuery, sql, type Kysely } from "kysely";
import type PgBoss from "pg-boss";
import { PEERS, requirePeers } from "../peers.ts";
import { toldOf } from "./postgres-errors.ts";
import { openPool } from "./postgres-pool.ts";
import type { Tables } from "./tables.ts";

type Db = Kysely<Tables>;

/** A message of pg-boss: a row of `jobs` and the time of its next look. */
export type NewMessage = {
  /** The row and its fence, as `messageKey` writes them. */
  key: string;
  kind: string;
  /** Unix ms. */
  runAt: number;
  data: MessageData;
};
/** The row's id, the number of the fleet's hold on it, and how often it was looked at. */
export type MessageData = { job: number; fence: number; tries: number };
/** A message held by this worker. `taken` counts its holders before. */
export type HeldMessage = { id: string; kind: string; taken: number; data: MessageData };

/** Messages of a database's workers, in a schema of their own beside the buyer's tables. */
export type Messages = {
  /** That schema's name. */
  schema: string;
  /** Sends messages in the caller's transaction. */
  send(tx: Db, messages: readonly NewMessage[]): Promise<void>;
  /** Takes the next due message of a kind, or null. No other worker gets it for `heldSeconds`. */
  take(kind: string): Promise<HeldMessage | null>;
  /** Ends a message in the caller's transaction; false if it is this worker's no more. */
  end(tx: Db, message: HeldMessage): Promise<boolean>;
  /** Drops a message. */
  drop(message: HeldMessage): Promise<void>;
  /** Puts a later message in the place of a held one, if it is still held. */
  putOff(message: HeldMessage, later: NewMessage): Promise<void>;
  close(): Promise<void>;
};

export const messageKey = (job: number, fence: number): string => `${job}.${fence}`;

/** Connections for messages: one for a worker's questions, one for pg-boss's own upkeep. */
const CONNECTIONS = 2;
/** How long one answer is waited for, ms. */
const ANSWER_MS = 10_000;
/** How often pg-boss gives the messages of dead workers to others, and clears away ended ones, seconds. */
const UPKEEP_SECONDS = 5;
const ENDED_KEPT_SECONDS = 600;
const ARCHIVE_KEPT_DAYS = 1;
/** Tries of a message: only its row says how a job ends. */
const NO_LIMIT = 1_000_000_000;

/**
 * Opens pg-boss over the buyer's database, with a queue for each kind. The first worker makes its schema.
 *
 * Throws Proof402Error `peers_missing`, `database_permissions` if the role may make no schema, and the database's others.
 */
export async function openMessages(
  db: Db,
  address: string,
  { kinds, heldSeconds }: { kinds: readonly string[]; heldSeconds: number },
): Promise<Messages> {
  const { default: Boss } = await import("pg-boss").catch((error: unknown) => {
    requirePeers(PEERS.work);
    throw error;
  });
  const schema = await schemaFor(db);
  const pool = await openPool(address, CONNECTIONS, ANSWER_MS);
  const boss = new Boss({
    schema,
    db: { executeSql: (text, values) => pool.query(text, values) },
    schedule: false,
    maintenanceIntervalSeconds: UPKEEP_SECONDS,
    archiveCompletedAfterSeconds: ENDED_KEPT_SECONDS,
    deleteAfterDays: ARCHIVE_KEPT_DAYS,
    retryLimit: NO_LIMIT,
    retryDelay: 0,
    expireInSeconds: heldSeconds,
  });
  // A server that is away is asked again at the next turn.
  boss.on("error", () => undefined);
  const close = async (): Promise<void> => {
    await boss.stop({ graceful: false }).catch(() => undefined);
    await pool.end();
  };
  try {
    await boss.start();
    for (const name of kinds) await boss.createQueue(name, { name, policy: "standard" });
  } catch (error) {
    await close();
    throw toldOf(error);
  }

  /** The message as it is now, if this worker still holds it. */
  const isHeld = async (via: PgBoss.Db, { id, kind, taken }: HeldMessage): Promise<boolean> => {
    const now = await boss.getJobById(kind, id, { db: via, includeArchive: false });
    return now?.state === "active" && now.retryCount === taken;
  };
  const ended = async (via: PgBoss.Db, message: HeldMessage): Promise<boolean> => {
    if (!(await isHeld(via, message))) return false;
    // Its types leave the answer out.
    const answer: unknown = await boss.complete(message.kind, message.id, {}, { db: via });
    return (answer as { affected: number }).affected === 1;
  };
  return {
    schema,
    send: async (tx, messages) => {
      if (messages.length > 0) await boss.insert(messages.map(asSent), { db: within(tx) });
    },
    async take(kind) {
      const [message] = await boss.fetch<MessageData>(kind, { batchSize: 1, includeMetadata: true });
      return message === undefined ? null : { id: message.id, kind, taken: message.retryCount, data: message.data };
    },
    end: (tx, message) => ended(within(tx), message),
    async drop({ kind, id }) {
      await boss.complete(kind, id);
    },
    async putOff(message, later) {
      const client = await pool.connect();
      const via: PgBoss.Db = { executeSql: (text, values) => client.query(text, values) };
      try {
        await client.query("begin");
        if (await ended(via, message)) await boss.insert([asSent(later)], { db: via });
        await client.query("commit");
        client.release();
      } catch (error) {
        // The server ends the transaction with its connection.
        client.release(true);
        throw toldOf(error);
      }
    },
    close,
  };
}

const asSent = ({ key, kind, runAt, data }: NewMessage): PgBoss.JobInsert<MessageData> => ({
  name: kind,
  singletonKey: key,
  startAfter: new Date(runAt).toISOString(),
  data,
});

/** Has pg-boss ask its statements within a transaction of the buyer's. */
const within = (tx: Db): PgBoss.Db => ({
  executeSql: async (text, values) => {
    const { rows } = await tx.executeQuery<Record<string, unknown>>(CompiledQuery.raw(text, values));
    return { rows };
  },
});

/** Two buyers in one database, each with a schema, have workers of their own. pg-boss takes plain names of 50 letters. */
async function schemaFor(db: Db): Promise<string> {
  const { rows } = await sql<{ name: string }>`select relnamespace::regnamespace::text as name from pg_class
    where oid = to_regclass('schema_version')`.execute(db);
  const name = rows[0]?.name ?? "public";
  const plain = /^[a-z_][a-z0-9_]{0,40}$/.test(name)
    ? name
    : createHash("sha256").update(name).digest("hex").slice(0, 24);
  return `proof402_${plain}`;
}

/**
 * Makes waiting messages of these keys due now, also from a process without pg-boss: writes `start_after` of its table `job`.
 * Does nothing if the schema is gone or is not to be written.
 */
export async function hurryMessages(db: Db, schema: string, keys: readonly string[]): Promise<void> {
  const waiting = sql`singleton_key in (${sql.join(keys)}) and state < 'active' and start_after > now()`;
  const table = sql.table(`${schema}.job`);
  try {
    const { rows } = await sql`select 1 from ${table} where ${waiting} limit 1`.execute(db);
    if (rows.length > 0) await sql`update ${table} set start_after = now() where ${waiting}`.execute(db);
  } catch {
    // They are looked at in their own time.
  }
}

/** Keys of the messages that wait or are being worked on. */
export const liveMessages = (schema: string) =>
  sql`select singleton_key from ${sql.table(`${schema}.job`)} where state < 'completed'`;
