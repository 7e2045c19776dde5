import { sql } from "kysely";
import { openRecords } from "./records.ts";

/** What stands behind answers, kept in order under ids over a restart. */
export type Shelf<Value> = {
  /** Oldest first; older ones than `most` are dropped. */
  load(most: number): Promise<[id: string, value: Value][]>;
  /** A value that is there already gives way and keeps its place. */
  put(id: string, value: Value): Promise<void>;
  drop(ids: readonly string[]): Promise<void>;
};

/** The shelves of one file. */
export type Shelves = { named<Value>(kind: string): Shelf<Value>; close(): Promise<void> };

type Tables = { shelved: { kind: string; id: string; place: number; value: string } };

/** Opens the file, or a database in memory. Throws what the driver or the file system throws where it cannot be had. */
export async function openShelves(path = ":memory:"): Promise<Shelves> {
  const db = await openRecords<Tables>(path, [
    `create table if not exists shelved (kind text not null, id text not null, place integer not null, value text not null,
      primary key (kind, id)) strict, without rowid`,
    "create unique index if not exists shelved_place on shelved (kind, place)",
  ]);
  return {
    named: <Value>(kind: string): Shelf<Value> => ({
      async load(most) {
        await sql`delete from shelved where kind = ${kind} and place <=
          (select place from shelved where kind = ${kind} order by place desc limit 1 offset ${most})`.execute(db);
        const rows = await db
          .selectFrom("shelved")
          .select(["id", "value"])
          .where("kind", "=", kind)
          .orderBy("place")
          .execute();
        // The file is the node's own: it reads what it wrote.
        return rows.map(({ id, value }) => [id, JSON.parse(value) as Value]);
      },
      async put(id, value) {
        await sql`insert into shelved values (${kind}, ${id},
          (select coalesce(max(place), 0) + 1 from shelved where kind = ${kind}), ${JSON.stringify(value)})
          on conflict (kind, id) do update set value = excluded.value`.execute(db);
      },
      async drop(ids) {
        if (ids.length > 0) await db.deleteFrom("shelved").where("kind", "=", kind).where("id", "in", ids).execute();
      },
    }),
    close: () => db.destroy(),
  };
}
