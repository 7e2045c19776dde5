import { execFileSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import { chmodSync, copyFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Kysely, sql } from "kysely";
import Libsql from "libsql";
import { describe, expect, it } from "vitest";
import { openDatabase, type Db } from "../../src/storage/database.ts";
import { immediate, migrate, SCHEMA_VERSION, schemaVersion } from "../../src/storage/migrations.ts";
import { patientSqlite } from "../../src/storage/sqlite.ts";
import type { Tables } from "../../src/storage/tables.ts";
import { temporaryDirectory } from "../payment/fixtures.ts";

const put = (db: Db, key: string = randomUUID()): Promise<unknown> =>
  db.insertInto("meta").values({ key, value: "x" }).execute();
const keys = async (db: Db): Promise<string[]> =>
  (await db.selectFrom("meta").select("key").orderBy("key").execute()).map((row) => row.key);

describe("the file", () => {
  it("survives power loss commit by commit, and only its owner may read it", async () => {
    const path = join(temporaryDirectory(), "new.db");
    const db = await openDatabase(path);
    await put(db);
    const pragma = async (name: string) =>
      Object.values((await sql.raw<Record<string, unknown>>(`pragma ${name}`).execute(db)).rows[0] ?? {})[0];
    expect(await pragma("journal_mode")).toBe("wal");
    expect(await pragma("synchronous")).toBe(2);
    for (const file of [path, `${path}-wal`]) expect((statSync(file).mode & 0o077).toString(8)).toBe("0");
    await db.destroy();
  });

  it("survives power loss also after a transaction that does not wait for the disk found it locked", async () => {
    const path = join(temporaryDirectory(), "locked.db");
    const [db, other] = [await openDatabase(path), await openDatabase(path)];
    await sql.raw("pragma busy_timeout = 0").execute(db);
    const tries = () =>
      [1, 2, 3].map(() => expect(immediate(db, (tx) => put(tx), "process")).rejects.toThrow("locked"));
    await immediate(other, () => Promise.all(tries()));
    await put(db);
    const { rows } = await sql.raw<Record<string, unknown>>("pragma synchronous").execute(db);
    expect(Object.values(rows[0] ?? {})).toEqual([2]);
    await Promise.all([db.destroy(), other.destroy()]);
  });

  it("waits for the disk at each commit but those that need not survive power loss, in any order", async () => {
    const db = await openDatabase(join(temporaryDirectory(), "modes.db"));
    const modes: unknown[] = [];
    const look = async (tx: Db) => {
      await put(tx);
      const { rows } = await sql.raw<Record<string, unknown>>("pragma synchronous").execute(tx);
      modes.push(...Object.values(rows[0] ?? {}));
    };
    for (const survives of ["process", "process", "power loss", "process"] as const)
      await immediate(db, look, survives);
    await db.transaction().execute(look);
    await immediate(db, look, "process");
    await put(db);
    await look(db);
    expect(modes).toEqual([1, 1, 2, 1, 2, 1, 2]);
    await db.destroy();
  });

  it("is whole by itself once it was closed, and so is a copy of it", async () => {
    const path = join(temporaryDirectory(), "one.db");
    const [db, other] = [await openDatabase(path), await openDatabase(path)];
    for (let count = 0; count < 20; count += 1) await put(count % 2 === 0 ? db : other);
    await Promise.all([db.destroy(), other.destroy()]);
    const copy = join(temporaryDirectory(), "copy.db");
    copyFileSync(path, copy);
    const restored = await openDatabase(copy);
    expect(await keys(restored)).toHaveLength(20);
    await restored.destroy();
  });

  it("is made with the folder that it is to be in", async () => {
    const path = join(temporaryDirectory(), "data/buyer/new.db");
    await (await openDatabase(path)).destroy();
    expect((statSync(join(path, "..")).mode & 0o077).toString(8)).toBe("0");
  });

  it("is brought to the schema once, whoever of many comes first", async () => {
    const path = join(temporaryDirectory(), "new.db");
    const handles = await Promise.all(Array.from({ length: 8 }, () => openDatabase(path)));
    await Promise.all(handles.map((db) => put(db)));
    for (const db of handles) expect(await keys(db)).toHaveLength(8);
    await Promise.all(handles.map((db) => db.destroy()));
  });

  it("has one schema and no row, whether it was brought there step by step or, as a later one of a process, at once", async () => {
    const made = [];
    for (const stops of [[1, SCHEMA_VERSION - 1], [], []]) {
      const path = join(temporaryDirectory(), "new.db");
      if (stops.length > 0) {
        const database = new Libsql(path);
        const old = new Kysely<Tables>({ dialect: patientSqlite(database) });
        for (const version of stops) await migrate(old, version);
        await old.destroy();
      }
      const db = await openDatabase(path);
      const { rows } = await sql<{ name: string; sql: string | null }>`select * from sqlite_master`.execute(db);
      const tables = rows.flatMap(({ name, sql: made }) => (made?.startsWith("CREATE TABLE") === true ? [name] : []));
      const counts = await Promise.all(
        tables.map(async (name) => (await sql`select * from ${sql.table(name)}`.execute(db)).rows.length),
      );
      const version = await schemaVersion(db);
      await db.destroy();
      made.push({ version, counts, rows: rows.map((row) => ({ ...row, rootpage: 0 })) });
    }
    expect(made[0]).toMatchObject({ version: SCHEMA_VERSION, counts: made[0]!.counts.map(() => 0) });
    expect(made[0]!.counts.length).toBeGreaterThan(15);
    expect(made[1]).toEqual(made[0]);
    expect(made[2]).toEqual(made[0]);
  });

  it("opened twice in one process loses nothing when another process comes and goes", async () => {
    const path = join(temporaryDirectory(), "twice.db");
    const [one, two] = [await openDatabase(path), await openDatabase(path)];
    await put(one, "before");
    const other = `import Libsql from "libsql";
      const db = new Libsql(process.argv[1]);
      db.prepare("insert into meta values ('theirs', 'x')").run();
      db.close();`;
    execFileSync(process.execPath, ["--input-type=module", "-e", other, path]);
    await put(one, "after");
    await Promise.all([one.destroy(), two.destroy()]);
    const again = await openDatabase(path);
    expect(await keys(again)).toEqual(["after", "before", "theirs"]);
    await again.destroy();
  });

  it("of a newer program is refused and left alone", async () => {
    const path = join(temporaryDirectory(), "new.db");
    const db = await openDatabase(path);
    await sql`pragma user_version = 999`.execute(db);
    await db.destroy();
    await expect(openDatabase(path)).rejects.toMatchObject({ code: "database_too_new" });
  });

  it("that is no database is an error", async () => {
    const path = join(temporaryDirectory(), "text.db");
    writeFileSync(path, "this is not a database, and long enough to be looked at as one. ".repeat(20));
    await expect(openDatabase(path)).rejects.toThrow(/not a database/);
  });
});

describe("T45: a database that others can change", () => {
  it("is refused, as is its log, or a folder that everyone may write to", async () => {
    const folder = temporaryDirectory();
    const path = join(folder, "open.db");
    const db = await openDatabase(path);
    await put(db);
    const refused = { code: "database_permissions", next: expect.stringContaining("chmod") as string };
    for (const file of [path, `${path}-wal`]) {
      chmodSync(file, 0o620);
      await expect(openDatabase(path)).rejects.toMatchObject(refused);
      chmodSync(file, 0o640);
    }
    chmodSync(folder, 0o777);
    await expect(openDatabase(path)).rejects.toMatchObject(refused);
    chmodSync(folder, 0o700);
    await db.destroy();
    await (await openDatabase(path)).destroy();
  });
});

describe("an immediate transaction", () => {
  it("commits all or nothing", async () => {
    const db = await openDatabase(":memory:");
    const failed = immediate(db, async (tx) => {
      await put(tx, "lost");
      throw new Error("after the write");
    });
    await expect(failed).rejects.toThrow("after the write");
    await immediate(db, (tx) => put(tx, "kept"));
    expect(await keys(db)).toEqual(["kept"]);
    await db.destroy();
  });

  it("joins the one it is called in", async () => {
    const db = await openDatabase(":memory:");
    await immediate(db, async (tx) => {
      await put(tx, "outer");
      await immediate(tx, (inner) => put(inner, "inner"));
    });
    const failed = immediate(db, async (tx) => {
      await immediate(tx, (inner) => put(inner, "undone"));
      throw new Error("outer fails");
    });
    await expect(failed).rejects.toThrow("outer fails");
    expect(await keys(db)).toEqual(["inner", "outer"]);
    await db.destroy();
  });

  it("waits for another connection of the same process without stopping it", async () => {
    const path = join(temporaryDirectory(), "shared.db");
    const [one, two] = await Promise.all([openDatabase(path), openDatabase(path)]);
    let finish: () => void = () => undefined;
    const held = new Promise<void>((resolve) => (finish = resolve));
    let holds: () => void = () => undefined;
    const holding = new Promise<void>((resolve) => (holds = resolve));
    const order: string[] = [];
    const first = immediate(one, async (tx) => {
      await put(tx, "first");
      holds();
      await held;
      order.push("first");
    });
    await holding;
    const second = immediate(two, (tx) => put(tx, "second")).then(() => order.push("second"));
    const single = put(two, "single").then(() => order.push("single"));
    // Readers see what was committed before, and wait for nobody.
    const reader = await openDatabase(path);
    expect(await keys(reader)).toEqual([]);
    await reader.destroy();
    finish();
    await Promise.all([first, second, single]);
    expect(order[0]).toBe("first");
    expect(await keys(two)).toEqual(["first", "second", "single"]);
    await Promise.all([one.destroy(), two.destroy()]);
  });

  it("loses no update among many that read before they write", async () => {
    const path = join(temporaryDirectory(), "counter.db");
    const handles = await Promise.all([openDatabase(path), openDatabase(path), openDatabase(path)]);
    await handles[0].insertInto("meta").values({ key: "counter", value: "0" }).execute();
    const add = (db: Db) =>
      immediate(db, async (tx) => {
        const { value } = await tx
          .selectFrom("meta")
          .select("value")
          .where("key", "=", "counter")
          .executeTakeFirstOrThrow();
        await tx
          .updateTable("meta")
          .set({ value: String(Number(value) + 1) })
          .where("key", "=", "counter")
          .execute();
      });
    await Promise.all(Array.from({ length: 60 }, (_, index) => add(handles[index % 3] ?? handles[0])));
    const { value } = await handles[0]
      .selectFrom("meta")
      .select("value")
      .where("key", "=", "counter")
      .executeTakeFirstOrThrow();
    expect(value).toBe("60");
    await Promise.all(handles.map((db) => db.destroy()));
  });
});
