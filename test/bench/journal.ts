import { join } from "node:path";
import type { Config } from "../../src/config/schema.ts";
import type { Address } from "../../src/evidence/bytes.ts";
import type { Authorization } from "../../src/evidence/methods/method.ts";
import type { PaymentPolicy } from "../../src/payment/policy.ts";
import { markAnswered, markSent, markSigned } from "../../src/payment/journal.ts";
import { chooseOffer, readOffers } from "../../src/payment/offers.ts";
import { deriveNonce, planPayment } from "../../src/payment/plan.ts";
import { reserve } from "../../src/payment/reserve.ts";
import { openDatabase, type Db } from "../../src/storage/database.ts";
import { immediate } from "../../src/storage/migrations.ts";
import { median, row, type Line } from "./measure.ts";

type Seller = { id: string; payTo: readonly Address[]; origin?: string | undefined };

/**
 * Writes a purchase of one base unit as far as its answer: the offer judged and planned, and every state written. `answered`
 * runs with the last one, in its transaction. Gives the times of both, ms.
 */
export async function writePurchase(
  db: Db,
  policy: PaymentPolicy,
  seller: Seller,
  answered: (tx: Db, payment: Authorization) => Promise<string>,
): Promise<{ policy: number; journal: number }> {
  const [asset] = policy.assets;
  if (asset === undefined) throw new Error("the policy has an asset");
  const { network, domain: extra } = asset;
  const [payTo] = seller.payTo;
  const offered = { scheme: "exact", network, asset: asset.asset, amount: "1", payTo, maxTimeoutSeconds: 60, extra };
  const now = new Date();
  const key = crypto.randomUUID();
  const began = performance.now();
  const read = readOffers({ x402Version: 2, accepts: [offered] });
  if (!read.ok) throw new Error(read.refusal.code);
  const chosen = chooseOffer({ policy, payTo: [...seller.payTo], required: read.required });
  if (!chosen.ok) throw new Error("the offer was refused");
  const { offer, accepted } = chosen.offers[0];
  const nonce = deriveNonce("00".repeat(32), key, 1);
  const payment = planPayment({ offer, payer: payTo ?? "0x", nonce, now, policy });
  const planned = performance.now();
  const result = await reserve(db, {
    policy: { ...policy, callsPerHour: 1_000_000 },
    now,
    idempotencyKey: key,
    attempt: 1,
    argsDigest: key,
    sellerId: seller.id,
    model: "eth-risk",
    offer,
    accepted,
    payment,
    request: { method: "POST", url: seller.origin ?? "", path: "/", headers: {}, body: "e30=", nonce: "00" },
  });
  if (result.kind !== "reserved") throw new Error(result.kind);
  const { id } = result.purchase;
  await markSigned(db, id, { now });
  await markSent(db, id, { now });
  await immediate(db, async (tx) => markAnswered(tx, id, { receiptId: await answered(tx, payment), now }));
  return { policy: planned - began, journal: performance.now() - planned };
}

/** What policy and journal add to one purchase: the offer judged and planned, and every state up to `answered` written. */
export async function benchJournal(config: Config, directory: string, rounds: number): Promise<Line[]> {
  const db = await openDatabase(join(directory, "journal.db"));
  const [seller] = config.sellers;
  if (seller === undefined) throw new Error("the devnet has sellers");
  const steps = { policy: [] as number[], journal: [] as number[] };
  for (let round = 0; round < rounds + 10; round += 1) {
    const times = await writePurchase(db, config.payment, seller, () => Promise.resolve(`receipt-${round}`));
    if (round < 10) continue;
    steps.policy.push(times.policy);
    steps.journal.push(times.journal);
  }
  await db.destroy();
  const [policy, journal] = [median(steps.policy), median(steps.journal)];
  return [
    row("policy per purchase (judge and plan the offer)", policy),
    row("journal per purchase (four durable states)", journal),
    row("together", policy + journal, { under: 3 }),
  ];
}
