// A buyer in a process of its own that buys, and waits until all later evidence is there. What its orders say befalls it at
// a moment of a landing, or so long after an answer; the library knows nothing of it.
import { once } from "node:events";
import { setTimeout as later } from "node:timers/promises";
import { JOB_HANDLERS } from "../../src/buyer/background/jobs/handlers.ts";
import { openBuyer } from "../../src/buyer/open.ts";
import { configSchema } from "../../src/config/schema.ts";
import { walletFromPrivateKey } from "../../src/payment/wallet.ts";
import { openDatabase } from "../../src/storage/database.ts";
import type { ClockOrders, ClockSaid, Place } from "./orders.ts";
import { buyWith } from "../support/buy.ts";

/** How often it looks whether a job is open, ms. */
const LOOK_MS = 20;

const orders = JSON.parse(process.env.PROOF402_TEST_ORDERS ?? "null") as ClockOrders;
const say = (value: ClockSaid | string): void => void process.stdout.write(`${JSON.stringify(value)}\n`);
const { fate } = orders;

say("ready");
await once(process.stdin, "data");

/** The receipts before the last purchase: what is not among them is its own. */
let earlier: ReadonlySet<string> | null = null;
const strike = (receiptId: string, kind: string, moment: Place["moment"]): void => {
  if (earlier === null || earlier.has(receiptId)) return;
  if (typeof fate?.at !== "object" || fate.at.kind !== kind || fate.at.moment !== moment) return;
  say({ struck: fate.signal });
  process.kill(process.pid, fate.signal);
};

for (const handler of JOB_HANDLERS) {
  const { kind } = handler;
  const look = handler.look.bind(handler);
  handler.look = async (ctx, receipt, job, signal) => {
    strike(receipt.id, kind, "looking");
    const found = await look(ctx, receipt, job, signal);
    if (found.state !== "landed") return found;
    strike(receipt.id, kind, "found");
    return {
      ...found,
      async alongside(tx, at) {
        await found.alongside?.(tx, at);
        strike(receipt.id, kind, "landing");
      },
    };
  };
}

const EVIDENCE: Record<string, string> = {
  "settlement.x402": "settlement",
  "inclusion.merkle": "inclusion",
  "zk.groth16": "proof",
  "replay.onnx": "replay",
};
const config = configSchema.parse(orders.config);
const buyer = await openBuyer({ config, wallet: walletFromPrivateKey(orders.privateKey) });
buyer.onReceipt((receipt) => {
  const newest = receipt.later.at(-1);
  if (newest !== undefined) strike(receipt.id, EVIDENCE[newest.evidence.kind] ?? "", "landed");
});
const model = "supply-route";
let from = performance.now();
for (const key of orders.keys) {
  if (key === orders.keys.at(-1)) earlier = new Set((await buyer.listReceipts({ limit: 1000 })).map(({ id }) => id));
  const input = { features: [1.2, 0.33, 0.8, 0.3, 0.4, 0.2, 0.9] };
  const result = await buyWith(buyer, { model, seller: "prover", input, assurance: "proven", idempotencyKey: key });
  say({ key, receipt: result.receipt.id });
  from = performance.now();
}
if (typeof fate?.at === "number") setTimeout(() => process.kill(process.pid, fate.signal), fate.at);

const db = await openDatabase(config.database);
const open = (): Promise<unknown> => db.selectFrom("jobs").select("id").where("state", "<>", "done").executeTakeFirst();
// A process whose moment is still to come lives on.
while ((await open()) !== undefined || typeof fate?.at === "number") await later(LOOK_MS);
say({ doneMs: performance.now() - from });
await db.destroy();
await buyer.close();
process.exit(0);
