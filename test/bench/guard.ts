import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createActions } from "../../src/buyer/actions.ts";
import type { BuyerContext } from "../../src/buyer/context.ts";
import type { Buyer } from "../../src/buyer/types.ts";
import { guard } from "../../src/guard/function.ts";
import { createReceipt } from "../../src/receipts/receipt.ts";
import { addReceipt } from "../../src/receipts/store.ts";
import { openDatabase, type Db } from "../../src/storage/database.ts";
import { immediate } from "../../src/storage/migrations.ts";
import { appraisal, receiptCore } from "../support/receipt-core.ts";
import { interleaved, row, type Line } from "./measure.ts";

const RULES = {
  rules: [
    { check: { argument: "/side" }, equals: { answer: "/side" } },
    { check: { argument: "/amount" }, atMost: { answer: "/most" } },
  ],
};

/** Actions on the record before the first measured one: a bot's of some weeks. */
const EARLIER = 5000;
const WARMUP = 10;

/** What a guard adds to an action beside the receipt's verification: arguments, rules, and three states on the disk. */
export async function benchGuard(rounds: number): Promise<Line[]> {
  const folder = await mkdtemp(join(tmpdir(), "proof402-bench-"));
  const database = join(folder, "buyer.db");
  const db = await openDatabase(database);
  const verified = appraisal({ verdict: "verified", assurance: "attested", simulated: false });
  const receipts = Array.from({ length: rounds + WARMUP }, (_one, at) => createReceipt(receiptCore(`bench ${at}`)));
  await immediate(db, async (tx) => {
    for (const receipt of receipts) await addReceipt(tx, receipt, verified, new Date());
    await addEarlier(tx);
  });
  const context = { db, clock: () => new Date(), config: { database } } as unknown as BuyerContext;
  let at = -1;
  const buyer = {
    actions: createActions(context).actions,
    getReceipt: () => Promise.resolve(receipts[at]),
    verify: () => Promise.resolve(verified),
    inputOf: () => ({}),
    answerOf: () => ({ side: "sell", most: "100.50" }),
  } as unknown as Buyer;
  const act = (args: Record<string, unknown>): string => `sold ${String(args["amount"])}`;
  const args = { side: "sell", amount: "25" };
  const sell = guard(
    { name: "sell", run: act },
    { buyer, assurance: "attested", maxAge: 1e9, bind: RULES, allowImported: true },
  );
  const medians = await interleaved(
    {
      // Each round acts on a purchase of its own.
      guarded: async () => void (await sell(args, { receiptId: receipts[(at += 1)]?.id ?? "" })),
      plain: async () => void (await Promise.resolve(act(args))),
      // The least that it takes to have one row on the disk here: the guard writes ahead at least once.
      "one row": () =>
        immediate(
          db,
          async (tx) =>
            void (await tx
              .insertInto("meta")
              .values({ key: `bench ${at}`, value: "" })
              .execute()),
        ),
    },
    { rounds, warmup: WARMUP },
  );
  await db.destroy();
  await rm(folder, { recursive: true });
  const [guarded = Number.NaN, plain = Number.NaN, oneRow = Number.NaN] = ["guarded", "plain", "one row"].map(
    (name) => medians[name],
  );
  return [
    row("guard per action, beside verification", guarded - plain, { under: 3 }),
    row("one row written through to this disk", oneRow),
  ];
}

async function addEarlier(tx: Db): Promise<void> {
  const claims = Array.from({ length: EARLIER }, (_one, at) => ({
    receipt_id: `p402_earlier_${at}`,
    purpose: "guard",
    at,
    purchase: `earlier ${at}`,
    state: "done" as const,
    arguments: '{"amount":"25","side":"sell"}',
    tool: "sell",
    idempotency_key: `earlier ${at}`,
    outcome: "sold 25",
  }));
  while (claims.length > 0) await tx.insertInto("receipt_claims").values(claims.splice(0, 500)).execute();
}
