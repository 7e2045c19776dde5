import { randomBytes } from "node:crypto";
import LibsqlDatabase from "libsql";
import { GENESIS, hashEntry } from "../../src/evidence/log-chain.ts";
import { purchaseNonceOf } from "../../src/evidence/payment-binding.ts";
import { digestOf, firstDigest } from "../../src/receipts/log-digest.ts";
import { LINK_COLUMNS } from "../../src/receipts/log-rows.ts";
import { missingBodies, receiptId } from "../../src/receipts/receipt.ts";
import type { Receipt } from "../../src/receipts/schema.ts";
import { openDatabase } from "../../src/storage/database.ts";
import { appraisal, boundCore } from "../support/receipt-core.ts";

/** Sellers, models and verdicts that the receipts are spread over. */
const SELLERS = 20;
const MODELS = 50;
const VERDICTS = ["verified", "verified", "verified", "pending", "unverified", "failed"] as const;
/** Milliseconds between two purchases: a million take a year. */
const APART = 31_536;
const ROWS_PER_COMMIT = 5000;

type Row = Record<string, string | number | null>;

/**
 * Fills a new database with settled purchases, their receipts, log and running sums, straight into its tables: as a buyer
 * leaves it, but for the evidence, which proves nothing and is `padding` characters longer. An audit finds it whole.
 */
export async function fillDatabase(path: string, count: number, padding = 0): Promise<void> {
  await (await openDatabase(path)).destroy();
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
  const core = boundCore();
  const spent = new Map<string, bigint>();
  let [seq, head] = [0, GENESIS];
  const log = (kind: string, subject: string, digest: string, at: number) => {
    const entry = { seq: seq + 1, kind, receiptId: subject, digest, at, prev: head };
    const { receiptId: receipt_id, ...columns } = entry;
    const place = { seq: entry.seq, prev: head, hash: hashEntry(entry) };
    insert("log", { ...columns, receipt_id, hash: place.hash });
    [seq, head] = [place.seq, place.hash];
    return place;
  };
  const evidence = [...core.evidence, { kind: "padding.of-a-bench", text: "A".repeat(padding) }];
  const start = Date.now() - count * APART;
  for (let index = 0; index < count; index += 1) {
    if (index % ROWS_PER_COMMIT === 0) database.exec(index === 0 ? "begin" : "commit; begin");
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
    const judged = appraisal({ verdict: VERDICTS[index % VERDICTS.length] ?? "failed" });
    const receipt: Receipt = {
      type: "proof402/receipt",
      version: 2,
      id,
      core: bare,
      later: [],
      appraisals: [],
      log: null,
    };
    const place = log("receipt", id, firstDigest(receipt, [], missingBodies(receipt)), at);
    log("appraisal", id, digestOf(judged), at);
    const { offer, payment } = bare;
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
    insert("receipts", {
      id,
      json: JSON.stringify({ ...receipt, appraisals: [judged], log: place }),
      seller_id: seller,
      model,
      verdict: judged.verdict,
      created_at: at,
      payment_nonce: purchaseNonceOf(payment),
    });
    insert("purchases", {
      ...purchase,
      args_digest: "00".repeat(32),
      state: "settled",
      settled_amount: payment.amount,
      valid_after: payment.validAfter,
      valid_before: payment.validBefore,
      authorization_hash: payment.authorizationHash,
      salt: payment.salt ?? null,
      offer: JSON.stringify(offer),
      accepted: JSON.stringify(offer),
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
    insert("spend", { network, asset, span: Number(span), start: Number(start_), used: used.toString() });
  }
  database.exec("commit; pragma wal_checkpoint(truncate)");
  database.close();
}
