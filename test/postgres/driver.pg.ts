import type { Socket } from "node:net";
import { inspect } from "node:util";
import { sql } from "kysely";
import { afterEach, describe, expect, it } from "vitest";
import { Proof402Error } from "../../src/errors.ts";
import { openDatabase, openToRead, type Db } from "../../src/storage/database.ts";
import { writesSeen } from "../../src/storage/dialect.ts";
import { immediate, REACHED } from "../../src/storage/migrations.ts";
import { shownDatabase } from "../../src/storage/postgres-address.ts";
import { outcomeOf } from "../../src/storage/postgres-outcome.ts";
import { databasePlace } from "../support/database-place.ts";
import { openLine } from "../support/tcp-line.ts";

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

const open = async (address: string): Promise<Db> => {
  const db = await openDatabase(address);
  closing.push(() => db.destroy());
  return db;
};

const put = (tx: Db, key: string) => tx.insertInto("meta").values({ key, value: key }).execute();
const keys = async (db: Db): Promise<string[]> =>
  (await db.selectFrom("meta").select("key").where("key", "like", "test%").orderBy("key").execute()).map(
    ({ key }) => key,
  );

const failure = (work: Promise<unknown>): Promise<Error> =>
  work.then(
    () => expect.fail("it did not throw"),
    (error: unknown) => error as Error,
  );

/** Answers in the server's stead (PostgreSQL 55.7: ErrorResponse, ReadyForQuery), then lets all through again. */
function answerWithError(client: Socket, to: Socket): void {
  const fields = Buffer.from("SERROR\0C58030\0Mcould not write\0\0");
  const length = Buffer.alloc(4);
  length.writeUInt32BE(fields.length + 4);
  client.write(Buffer.concat([Buffer.from("E"), length, fields, Buffer.from([0x5a, 0, 0, 0, 5, 0x49])]));
  to.on("data", (bytes) => client.write(bytes));
}

/** A way to the server that is cut at a commit: before the server has it, after, or after it with an error for an answer. */
async function cutAtCommit(address: string, when: "before" | "after" | "error"): Promise<string> {
  const url = new URL(address);
  let armed = true;
  const line = await openLine(Number(url.port), (client, to) => {
    to.on("data", (bytes) => client.write(bytes));
    client.on("data", (bytes) => {
      if (!armed || !bytes.includes("commit\0")) return void to.write(bytes);
      armed = false;
      if (when === "before") client.destroy();
      else if (when === "error")
        to.write(bytes, () => to.removeAllListeners("data").once("data", () => answerWithError(client, to)));
      else to.write(bytes, () => to.removeAllListeners("data").once("data", () => client.destroy()));
    });
  });
  closing.push(() => line.stop());
  url.port = String(line.port);
  return url.href;
}

describe("a commit without an answer", () => {
  it("is written where the server wrote it", async () => {
    const place = await databasePlace(":memory:");
    await open(place);
    const db = await open(await cutAtCommit(place, "after"));
    await immediate(db, (tx) => put(tx, "test one"));
    expect(await keys(db)).toEqual(["test one"]);
  });

  it("is told as not written where the server did not get it, and frees the lock", async () => {
    const place = await databasePlace(":memory:");
    await open(place);
    const db = await open(await cutAtCommit(place, "before"));
    const error = await failure(immediate(db, (tx) => put(tx, "test one")));
    expect(error).toMatchObject({ code: "database_unreachable", message: /nothing of that was written/ });
    await put(db, "test two");
    expect(await keys(db)).toEqual(["test two"]);
  });

  it("holds of a write outside of a transaction, too", async () => {
    const place = await databasePlace(":memory:");
    await open(place);
    const db = await open(await cutAtCommit(place, "after"));
    await put(db, "test one");
    expect(await keys(db)).toEqual(["test one"]);
  });

  it("with an error that says nothing of the transaction is asked for by its mark", async () => {
    const place = await databasePlace(":memory:");
    await open(place);
    const db = await open(await cutAtCommit(place, "error"));
    await immediate(db, (tx) => put(tx, "test one"));
    expect(await keys(db)).toEqual(["test one"]);
  });

  it("stays unknown where the server cannot say", async () => {
    expect(await outcomeOf("1", 1, () => Promise.reject(new Error("away")), "begin", 30)).toBe("unknown");
  });
});

describe("a transaction", () => {
  it("is not told as written after a statement in it failed", async () => {
    const db = await open(":memory:");
    const error = await failure(
      immediate(db, async (tx) => {
        await put(tx, "test one");
        await put(tx, "test one").catch(() => undefined);
      }),
    );
    expect(error.message).toMatch(/transaction is aborted/);
    expect(await keys(db)).toEqual([]);
  });

  it("waits for the one before it, also by another search path to the same tables", async () => {
    const place = await databasePlace(":memory:");
    const first = await open(place);
    const other = new URL(place);
    const schema = other.searchParams.get("options")!.replace("-c search_path=", "");
    other.searchParams.set("options", `-c search_path=nowhere,${schema}`);
    const second = await open(other.href);
    const order: string[] = [];
    let entered: () => void = () => undefined;
    const inside = new Promise<void>((resolve) => (entered = resolve));
    let waiting: Promise<unknown> = Promise.resolve();
    await immediate(first, async (tx) => {
      entered();
      waiting = inside.then(() => immediate(second, () => Promise.resolve(order.push("second"))));
      // Once the other one waits for the lock, this one has held it all the while.
      await expect
        .poll(
          async () =>
            (await sql`select 1 from pg_locks where locktype = 'advisory' and not granted`.execute(first)).rows,
        )
        .not.toEqual([]);
      await put(tx, "test one");
      order.push("first");
    });
    await waiting;
    expect(order).toEqual(["first", "second"]);
  });

  it("that the server ended frees the lock, and takes nothing else with it", async () => {
    const db = await open(":memory:");
    const error = await failure(
      immediate(db, async (tx) => {
        await put(tx, "test one");
        const { rows } = await sql<{ pid: number }>`select pg_backend_pid() as pid`.execute(tx);
        await sql`select pg_terminate_backend(${rows[0]!.pid})`.execute(db);
        await put(tx, "test two");
      }),
    );
    expect(error).toMatchObject({ code: "database_unreachable" });
    await put(db, "test three");
    expect(await keys(db)).toEqual(["test three"]);
  });
});

describe("what is read", () => {
  it("is exact, or an error", async () => {
    const db = await open(":memory:");
    const { rows } = await sql`select ${String(Number.MAX_SAFE_INTEGER)}::bigint as n`.execute(db);
    expect(rows).toEqual([{ n: Number.MAX_SAFE_INTEGER }]);
    expect((await failure(sql`select '9007199254740993'::bigint as n`.execute(db))).message).toMatch(/exactly/);
  });

  it("comes out of JSON with characters that PostgreSQL takes into no text", async () => {
    const db = await open(":memory:");
    const appraisals = [{ assurance: "paid" }, { assurance: "signed" }];
    for (const [id, model] of Object.entries({ nul: "a\0\0b\\\0", half: "\ud800", pair: "😀", plain: "\\u0000" })) {
      const json = JSON.stringify({ model, appraisals });
      await db
        .insertInto("receipts")
        .values({ id, json, seller_id: "s", model: "m", verdict: "verified", created_at: 1, payment_nonce: "" })
        .execute();
    }
    const rows = await db
      .selectFrom("receipts")
      .select(["id", sql.raw(REACHED).as("reached")])
      .orderBy("id")
      .execute();
    expect(rows).toEqual(["half", "nul", "pair", "plain"].map((id) => ({ id, reached: "signed" })));
    const { rows: models } =
      await sql`select json_extract(json, '$.model') as model from receipts where id = 'plain'`.execute(db);
    expect(models).toEqual([{ model: "\\u0000" }]);
    await sql`reindex table receipts`.execute(db);
    await sql`analyze receipts`.execute(db);
  });

  it("tells of another connection's writes", async () => {
    const place = await databasePlace(":memory:");
    const [db, other] = [await open(place), await open(place)];
    const before = await writesSeen(db);
    await put(other, "test one");
    expect(await writesSeen(db)).not.toBe(before);
  });
});

describe("a role", () => {
  it("that may only read reads, and is told so when it writes", async () => {
    const place = await databasePlace(":memory:");
    const owner = await open(place);
    await put(owner, "test one");
    const url = new URL(place);
    const schema = url.searchParams.get("options")!.replace("-c search_path=", "");
    const role = `${schema}_reader`;
    await sql.raw(`create role ${role} login`).execute(owner);
    await sql.raw(`grant usage on schema ${schema} to ${role}`).execute(owner);
    await sql.raw(`grant select on all tables in schema ${schema} to ${role}`).execute(owner);
    url.username = role;
    const { db, schema: version } = await openToRead(url.href);
    closing.push(() => db.destroy());
    expect(version).toBeGreaterThan(0);
    expect(await keys(db)).toEqual(["test one"]);
    const reader = await open(url.href);
    expect(await failure(put(reader, "test two"))).toMatchObject({ code: "database_permissions" });
    expect(await failure(put((await openToRead(place)).db, "test two"))).toMatchObject({
      code: "database_permissions",
    });
  });

  it("has its password in no error", async () => {
    const url = new URL(await databasePlace(":memory:"));
    url.password = "hunter2secret";
    url.pathname = "/no-such-database";
    const refused = await failure(openDatabase(url.href));
    expect(refused).toMatchObject({ code: "database_unusable", message: /no-such-database/ });
    url.port = "1";
    const away = await failure(openDatabase(url.href));
    expect(away).toMatchObject({ code: "database_unreachable" });
    const elsewhere = await failure(openDatabase("postgres://u:hunter2secret@db.example/x"));
    expect(elsewhere).toMatchObject({ code: "config_invalid", message: /how the connection is protected/ });
    for (const spelled of [
      "Postgres://u:hunter2secret@localhost/x",
      " postgres://u:hunter2secret@localhost/x",
      "postgres+ssl://u:hunter2secret@localhost/x",
      "mysql://u:hunter2secret@localhost/x",
      "postgres://u:hunter2secret@localhost/x?host=db.example",
      "postgres://u:hunter2secret@/x?host=/tmp&host=db.example",
      "postgres://u:hunter2secret@db.example/x?sslmode=",
      "postgres://u:hunter2secret@db.example/x?sslmode=verify-full&sslmode=what",
    ]) {
      const error = await failure(openDatabase(spelled));
      expect(error, spelled).toMatchObject({ code: "config_invalid" });
      expect(inspect(error, { depth: 9, showHidden: true })).not.toContain("hunter2");
    }
    const malformed = await failure(openDatabase("postgres://u:hunter2secret@[/x"));
    expect(malformed).toMatchObject({ code: "config_invalid" });
    for (const error of [refused, away, elsewhere, malformed]) {
      expect(Proof402Error.isInstance(error)).toBe(true);
      expect(inspect(error, { depth: 9, showHidden: true })).not.toContain("hunter2");
    }
    expect(shownDatabase("postgres://u:hunter2secret@db:1/x?sslmode=disable&password=hunter2secret")).toBe(
      "postgres://u@db:1/x",
    );
  });
});
