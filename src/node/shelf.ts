import { sql } from "kysely";
import type * as z from "zod";
import { openRecords } from "./records.ts";

/** What stands behind answers, kept in order under ids over a restart. */
export type Shelf<Value> = {
  /** Everything, oldest first. A row that cannot be read is set aside. */
  load(): Promise<[id: string, value: Value][]>;
  /** A value that is there already gives way and keeps its place. */
  put(id: string, value: Value): Promise<void>;
  drop(ids: readonly string[]): Promise<void>;
  /** Keeps a row in the file and out of the shelf. */
  setAside(id: string): Promise<void>;
};

/** The shelves of one file. */
export type Shelves = {
  named<Value>(kind: string, schema: z.ZodType<Value>): Shelf<Value>;
  close(): Promise<void>;
};

type Tables = { shelved: { kind: string; id: string; place: number; value: string } };

/**
 * Opens the file, or a database in memory, and names each row that is set aside. Throws what the driver or the file system
 * throws where it cannot be had.
 */
export async function openShelves(
  path = ":memory:",
  aside: (row: { kind: string; id: string }) => void = () => undefined,
): Promise<Shelves> {
  const db = await openRecords<Tables>(path, [
    `create table if not exists shelved (kind text not null, id text not null, place integer not null, value text not null,
      primary key (kind, id)) strict, without rowid`,
    "create unique index if not exists shelved_place on shelved (kind, place)",
  ]);
  const named = <Value>(kind: string, schema: z.ZodType<Value>): Shelf<Value> => {
    const setAside = async (id: string): Promise<void> => {
      aside({ kind, id });
      const unreadable = `unreadable ${kind}`;
      await sql`update or replace shelved set kind = ${unreadable},
        place = (select coalesce(max(place), 0) + 1 from shelved where kind = ${unreadable})
        where kind = ${kind} and id = ${id}`.execute(db);
    };
    return {
      async load() {
        const rows = await db
          .selectFrom("shelved")
          .select(["id", "value"])
          .where("kind", "=", kind)
          .orderBy("place")
          .execute();
        const read: [string, Value][] = [];
        for (const { id, value } of rows) {
          const found = schema.safeParse(jsonOf(value));
          if (found.success) read.push([id, found.data]);
          else await setAside(id);
        }
        return read;
      },
      async put(id, value) {
        await sql`insert into shelved values (${kind}, ${id},
          (select coalesce(max(place), 0) + 1 from shelved where kind = ${kind}), ${JSON.stringify(value)})
          on conflict (kind, id) do update set value = excluded.value`.execute(db);
      },
      async drop(ids) {
        if (ids.length > 0) await db.deleteFrom("shelved").where("kind", "=", kind).where("id", "in", ids).execute();
      },
      setAside,
    };
  };
  return { named, close: () => db.destroy() };
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
