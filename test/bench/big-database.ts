import { randomBytes } from "node:crypto";
import LibsqlDatabase from "libsql";
import { GENESIS, hashEntry } from "../../src/evidence/log-chain.ts";
import { purchaseNonceOf } from "../../src/evidence/payment-binding.ts";
import { digestOf, firstDigest } from "../../src/receipts/log-digest.ts";
import { LINK_COLUMNS } from "../../src/receipts/log-rows.ts";
import { missingBodies, receiptId } from "../../src/receipts/receipt.ts";
import type { Receipt } from "../../src/receipts/schema.ts";
import { openDatabase } from "../../src/storage/database.ts";
import { isPostgres } from "../../src/storage/postgres-address.ts";
import { appraisal, boundCore } from "../support/receipt-core.ts";

/** Sellers, models and verdicts that the receipts are spread over. */
const SELLERS = 20;
const MODELS = 50;
const VERDICTS = ["verified", "verified", "verified", "pending", "unverified", "failed"] as const;
/** Milliseconds between two purchases: a million take a year. */
const APART = 31_536;
const PURCHASES_AT_ONCE = 1000;

type Row = Record<string, string | number | null>;

/** Where rows go, and the end of a group of purchases and of all. */
type Sink = { insert(table: string, row: Row): void; next(): Promise<void>; close(): Promise<void> };

/** A new SQLite file with the tables of a buyer. */
function intoFile(path: string): Sink {
  const database = new LibsqlDatabase(path);
  // What is lost is made again: no disk is waited for.
  for (const pragma of ["synchronous=off", "cache_size=-262144", "wal_autocheckpoint=50000"])
    database.exec(`pragma ${pragma}`);
  const statements = new Map<string, LibsqlDatabase.Statement>();
  const insert = (table: string, row: Row): void => {
    const statement =
      statements.get(table) ??
      database.prepare(
        `insert into ${table} (${Object.keys(row)
          .map((name) => `"${name}"`)
          .join()}) values (${Object.keys(row).fill("?").join()})`,
      );
    statements.set(table, statement);
    statement.run(Object.values(row));
  };
  database.exec("begin");
  return {
    insert,
    next() {
      database.exec("commit; begin");
      return Promise.resolve();
    },
    close() {
      database.exec("commit; pragma wal_checkpoint(truncate)");
      database.close();
      return Promise.resolve();
    },
  };
}

/** An empty PostgreSQL database with the tables of a buyer. */
async function intoServer(url: string): Promise<Sink> {
  const { default: pg } = await import("pg");
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query("set synchronous_commit = off");
  const waiting = new Map<string, Row[]>();
  const next = async (): Promise<void> => {
    for (const [table, rows] of waiting) {
      const columns = Object.keys(rows[0] ?? {})
        .map((name) => `"${name}"`)
        .join();
      await client.query(
        `insert into ${table} (${columns}) select ${columns} from json_populate_recordset(null::${table}, $1::json)`,
        [JSON.stringify(rows)],
      );
    }
    waiting.clear();
  };
  return {
    insert: (table, row) => void (waiting.get(table) ?? waiting.set(table, []).get(table))?.push(row),
    next,
    async close() {
      await next();
      await client.query("vacuum analyze");
      await client.end();
    },
  };
}

/**
 * Fills a new database with settled purchases, their receipts, log and running sums, straight into its tables: as a buyer
 * leaves it, but for the evidence, which proves nothing and is `padding` characters longer. An audit finds it whole. `place` is
 * a file's path or the address of a PostgreSQL database.
 */
export async function fillDatabase(place: string, count: number, padding = 0): Promise<void> {
  await (await openDatabase(place)).destroy();
  const sink = isPostgres(place) ? await intoServer(place) : intoFile(place);
  const core = boundCore();
  const spent = new Map<string, bigint>();
  let [seq, head] = [0, GENESIS];
  const log = (kind: string, subject: string, digest: string, at: number) => {
    const entry = { seq: seq + 1, kind, receiptId: subject, digest, at, prev: head };
    const { receiptId: receipt_id, ...columns } = entry;
    const place = { seq: entry.seq, prev: head, hash: hashEntry(entry) };
    sink.insert("log", { ...columns, receipt_id, hash: place.hash });
    [seq, head] = [place.seq, place.hash];
    return place;
  };
  const appraisals = VERDICTS.map((verdict) => {
    const judged = appraisal({ verdict });
    return [judged, digestOf(judged), JSON.stringify(judged)] as const;
  });
  const [first] = appraisals;
  if (first === undefined) throw new Error("there are verdicts");
  const offerText = JSON.stringify(core.offer);
  const evidence = [...core.evidence, { kind: "padding.of-a-bench", text: "A".repeat(padding) }];
  const start = Date.now() - count * APART;
  for (let index = 0; index < count; index += 1) {
    if (index % PURCHASES_AT_ONCE === 0) await sink.next();
    const at = start + index * APART;
    const nonce = `0x${randomBytes(32).toString("hex")}` as const;
    const seller = `seller-${index % SELLERS}`;
    const model = `model-${index % MODELS}`;
    const bare = {
      ...core,
      seller: { ...core.seller, id: seller },
      request: { ...core.request, model },
      payment: { ...core.payment, nonce },
      evidence,
    };
    const id = receiptId(bare);
    const [judged, judgedDigest, judgedText] = appraisals[index % appraisals.length] ?? first;
    const receipt: Receipt = {
      type: "proof402/receipt",
      version: 2,
      id,
      core: bare,
      later: [],
      appraisals: [],
      log: null,
    };
    const logged = log("receipt", id, firstDigest(receipt, [], missingBodies(receipt)), at);
    log("appraisal", id, judgedDigest, at);
    const { payment } = bare;
    const purchase: Row = {
      id: crypto.randomUUID(),
      receipt_id: id,
      idempotency_key: `key-${index}-${nonce.slice(2, 10)}`,
      attempt: 1,
      seller_id: seller,
      model,
      network: payment.network,
      asset: payment.asset,
      amount: payment.amount,
      payer: payment.payer,
      pay_to: payment.payTo,
      nonce,
    };
    log(
      "purchase",
      String(purchase["id"]),
      digestOf(Object.fromEntries(LINK_COLUMNS.map((name) => [name, purchase[name]]))),
      at,
    );
    sink.insert("receipts", {
      id,
      // The appraisals are the longest part, and few.
      json: `${JSON.stringify({ ...receipt, appraisals: undefined, log: logged }).slice(0, -1)},"appraisals":[${judgedText}]}`,
      seller_id: seller,
      model,
      verdict: judged.verdict,
      created_at: at,
      payment_nonce: purchaseNonceOf(payment),
    });
    sink.insert("purchases", {
      ...purchase,
      args_digest: "00".repeat(32),
      state: "settled",
      settled_amount: payment.amount,
      valid_after: payment.validAfter,
      valid_before: payment.validBefore,
      authorization_hash: payment.authorizationHash,
      salt: payment.salt ?? null,
      offer: offerText,
      accepted: offerText,
      request: "{}",
      created_at: at,
      updated_at: at,
      answered_at: at,
    });
    for (const [account, by] of [
      [`${payment.network}\n${payment.asset}`, BigInt(payment.amount)],
      [`${payment.network} ${seller}\n${payment.asset}`, BigInt(payment.amount)],
      ["\n", 1n],
    ] as const)
      for (const span of [0, 3_600_000, 60_000]) {
        const key = `${account}\n${span}\n${span === 0 ? 0 : Math.floor(at / span) * span}`;
        spent.set(key, (spent.get(key) ?? 0n) + by);
      }
  }
  for (const [key, used] of spent) {
    const [network = "", asset = "", span, start_ = ""] = key.split("\n");
    sink.insert("spend", { network, asset, span: Number(span), start: Number(start_), used: used.toString() });
  }
  await sink.close();
}
