import { join } from "node:path";
import type { Config } from "../../src/config/schema.ts";
import { markAnswered, markSent, markSigned } from "../../src/payment/journal.ts";
import { chooseOffer, readOffers } from "../../src/payment/offers.ts";
import { deriveNonce, planPayment } from "../../src/payment/plan.ts";
import { reserve } from "../../src/payment/reserve.ts";
import { openDatabase } from "../../src/storage/database.ts";
import { median, row, type Line } from "./measure.ts";

/** What policy and journal add to one purchase: the offer judged and planned, and every state up to `answered` written. */
export async function benchJournal(config: Config, directory: string, rounds: number): Promise<Line[]> {
  const db = await openDatabase(join(directory, "journal.db"));
  const [asset] = config.payment.assets;
  const [seller] = config.sellers;
  if (asset === undefined || seller === undefined) throw new Error("the devnet has an asset and sellers");
  const accepts = [
    {
      scheme: "exact",
      network: asset.network,
      asset: asset.asset,
      amount: "1",
      payTo: seller.payTo[0],
      maxTimeoutSeconds: 60,
      extra: asset.domain,
    },
  ];
  const steps = { policy: [] as number[], journal: [] as number[] };
  for (let round = 0; round < rounds + 10; round += 1) {
    const now = new Date();
    const key = crypto.randomUUID();
    const began = performance.now();
    const read = readOffers({ x402Version: 2, accepts });
    if (!read.ok) throw new Error(read.refusal.code);
    const chosen = chooseOffer({ policy: config.payment, payTo: seller.payTo, required: read.required });
    if (!chosen.ok) throw new Error("the offer was refused");
    const { offer, accepted } = chosen.offers[0];
    const nonce = deriveNonce("00".repeat(32), key, 1);
    const payment = planPayment({ offer, payer: seller.payTo[0] ?? "0x", nonce, now, policy: config.payment });
    const planned = performance.now();
    const result = await reserve(db, {
      policy: { ...config.payment, callsPerHour: 1_000_000 },
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
    await markAnswered(db, id, { receiptId: `receipt-${key}`, now });
    const ended = performance.now();
    if (round < 10) continue;
    steps.policy.push(planned - began);
    steps.journal.push(ended - planned);
  }
  await db.destroy();
  const [policy, journal] = [median(steps.policy), median(steps.journal)];
  return [
    row("policy per purchase (judge and plan the offer)", policy),
    row("journal per purchase (four durable states)", journal),
    row("together", policy + journal, { under: 3 }),
  ];
}
