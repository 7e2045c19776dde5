import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createActions } from "../../src/buyer/actions.ts";
import type { BuyerContext } from "../../src/buyer/context.ts";
import type { Buyer } from "../../src/buyer/types.ts";
import { guard } from "../../src/guard/function.ts";
import { createReceipt } from "../../src/receipts/receipt.ts";
import { addReceipt } from "../../src/receipts/store.ts";
import { openDatabase } from "../../src/storage/database.ts";
import { immediate } from "../../src/storage/migrations.ts";
import { appraisal, receiptCore } from "../support/receipt-core.ts";
import { interleaved, row, type Line } from "./measure.ts";

const RULES = {
  rules: [
    { check: { argument: "/side" }, equals: { answer: "/side" } },
    { check: { argument: "/amount" }, atMost: { answer: "/most" } },
  ],
};

/** What a guard adds to an action beside the receipt's verification: arguments, rules, and three durable states. */
export async function benchGuard(rounds: number): Promise<Line[]> {
  const folder = await mkdtemp(join(tmpdir(), "proof402-bench-"));
  const database = join(folder, "buyer.db");
  const db = await openDatabase(database);
  const receipt = createReceipt(receiptCore());
  const verified = appraisal({ verdict: "verified", assurance: "attested", simulated: false });
  await immediate(db, (tx) => addReceipt(tx, receipt, verified, new Date()));
  const context = { db, clock: () => new Date(), config: { database } } as unknown as BuyerContext;
  const buyer = {
    actions: createActions(context).actions,
    getReceipt: () => Promise.resolve(receipt),
    verify: () => Promise.resolve(verified),
    inputOf: () => ({}),
    answerOf: () => ({ side: "sell", most: "100.50" }),
  } as unknown as Buyer;
  const act = (args: Record<string, unknown>): string => `sold ${String(args["amount"])}`;
  const required = { buyer, assurance: "attested", maxAge: 1e9, bind: RULES, allowImported: true } as const;
  // Each round acts on its own kind, so that no round counts those before it.
  let kind = 0;
  const args = { side: "sell", amount: "25" };
  const medians = await interleaved(
    {
      guarded: async () => {
        const spends = { kind: `bench-${(kind += 1)}`, times: 1 };
        await guard({ name: "sell", run: act }, { ...required, spends })(args, { receiptId: receipt.id });
      },
      plain: async () => void (await Promise.resolve(act(args))),
    },
    { rounds, warmup: 10 },
  );
  await db.destroy();
  await rm(folder, { recursive: true });
  const added = (medians["guarded"] ?? Number.NaN) - (medians["plain"] ?? Number.NaN);
  return [row("guard per action, beside verification", added, { under: 3 })];
}
