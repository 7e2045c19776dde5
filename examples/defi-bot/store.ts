import Libsql from "libsql";

/** A round as the bot remembers it. The plan is kept before anything is bought, so that a restart asks the same again. */
export type Round = {
  day: number;
  assurance: "attested" | "proven";
  features: number[];
  /** The answer that is asked for: 1, and one more for each that was not verified. */
  answer: number;
  /** Null while it is open. */
  outcome: string | null;
};

/** A signed transaction, kept before it is sent: the same bytes can be sent again, and nothing else is ever sent for it. */
export type SignedOrder = { orderId: `0x${string}`; raw: `0x${string}`; hash: `0x${string}`; nonce: number };

const TABLES = `
  create table if not exists meta (key text primary key, value text not null);
  create table if not exists rounds (
    day integer primary key, assurance text not null, features text not null,
    answer integer not null default 1, outcome text
  );
  create table if not exists orders (
    order_id text primary key, raw text not null, hash text not null, nonce integer not null
  );
  create table if not exists counts (name text primary key, value integer not null);
`;

/**
 * The bot's own state: one SQLite file, written through to the disk. A second bot on the same file does not start: the lock
 * is the operating system's, so it is gone with its process, kill -9 included.
 */
export function openStore(path: string) {
  const lock = new Libsql(`${path}.lock`);
  lock.exec("begin exclusive");
  const db = new Libsql(path);
  db.exec("pragma journal_mode=wal; pragma synchronous=full;");
  db.exec(TABLES);
  db.prepare("insert or ignore into meta values ('since', ?)").run(new Date().toISOString());
  const one = (sql: string, ...values: unknown[]): Record<string, unknown> | undefined =>
    db.prepare(sql).get(...values) as Record<string, unknown> | undefined;
  const run = (sql: string, ...values: unknown[]): void => void db.prepare(sql).run(...values);
  const roundOf = (row: Record<string, unknown>): Round => ({
    ...(row as Omit<Round, "features">),
    features: JSON.parse(String(row["features"])) as number[],
  });
  return {
    /** Orders from before this file are none of its own. */
    since: String(one("select value from meta where key = 'since'")?.["value"]),
    /** The first open round, or null. */
    open(): Round | null {
      const row = one("select * from rounds where outcome is null order by day limit 1");
      return row === undefined ? null : roundOf(row);
    },
    lastDay(): number | null {
      return (one("select max(day) as day from rounds")?.["day"] as number | null | undefined) ?? null;
    },
    begin({ day, assurance, features }: Omit<Round, "answer" | "outcome">): Round {
      run("insert into rounds (day, assurance, features) values (?, ?, ?)", day, assurance, JSON.stringify(features));
      return { day, assurance, features, answer: 1, outcome: null };
    },
    nextAnswer: (day: number): void => run("update rounds set answer = answer + 1 where day = ?", day),
    end: (day: number, outcome: string): void => run("update rounds set outcome = ? where day = ?", outcome, day),
    order(orderId: string): SignedOrder | null {
      const row = one("select order_id as orderId, raw, hash, nonce from orders where order_id = ?", orderId);
      return (row as SignedOrder | undefined) ?? null;
    },
    keepOrder({ orderId, raw, hash, nonce }: SignedOrder): void {
      run("insert or replace into orders values (?, ?, ?, ?)", orderId, raw, hash, nonce);
    },
    count: (name: string): void =>
      run("insert into counts values (?, 1) on conflict (name) do update set value = value + 1", name),
    counts(): Record<string, number> {
      const rows = db.prepare("select name, value from counts").all() as { name: string; value: number }[];
      return Object.fromEntries(rows.map(({ name, value }) => [name, value]));
    },
    /** Ended rounds by the first word of their outcome. */
    outcomes(): Record<string, number> {
      const rows = db.prepare("select outcome from rounds where outcome is not null").all() as { outcome: string }[];
      const words = rows.map(({ outcome }) => outcome.split(/[:, ]/)[0] ?? "");
      return Object.fromEntries([...new Set(words)].map((word) => [word, words.filter((w) => w === word).length]));
    },
    close(): void {
      db.close();
      lock.close();
    },
  };
}

export type Store = ReturnType<typeof openStore>;
