// A buyer of the bench in a process of its own. Reads its orders, buys once, says `ready`, and buys when it is told to.
import { once } from "node:events";
import { createInterface } from "node:readline";
import { openBuyer } from "../../src/buyer/open.ts";
import type { Config } from "../../src/config/schema.ts";
import { Proof402Error } from "../../src/errors.ts";
import { walletFromPrivateKey } from "../../src/payment/wallet.ts";
import { INPUT } from "./market.ts";

/** `count` purchases, of which `atOnce` are under way at a time. */
export type Orders = { config: Config; key: `0x${string}`; count: number; atOnce: number };
/** How long each purchase took, and what CPU all of them, ms. */
export type Report = { times: number[]; cpuMs: number };

const lines = createInterface(process.stdin);
const [text] = (await once(lines, "line")) as [string];
const { config, key, count, atOnce } = JSON.parse(text) as Orders;
const buyer = await openBuyer({ config, wallet: walletFromPrivateKey(key) });
const times: number[] = [];

async function purchase(): Promise<void> {
  const [, ...others] = INPUT.features;
  const began = performance.now();
  try {
    // An equal call would be taken for this one.
    const input = { features: [Math.random() / 10, ...others] };
    const { appraisal } = await buyer.buy("eth-risk", input, { seller: "honest" });
    if (appraisal.assurance !== "attested") throw new Error("the purchase was not verified");
    times.push(performance.now() - began);
  } catch (error) {
    // The budget ends in the middle.
    if (!Proof402Error.isInstance(error) || error.code !== "over_total_cap") throw error;
  }
}

await purchase();
times.pop();
process.stdout.write("ready\n");
await once(lines, "line");
const before = process.cpuUsage();
let left = count;
await Promise.all(
  Array.from({ length: atOnce }, async () => {
    while (left > 0) {
      left -= 1;
      await purchase();
    }
  }),
);
const { user, system } = process.cpuUsage(before);
const report: Report = { times, cpuMs: (user + system) / 1000 };
process.stdout.write(`${JSON.stringify(report)}\n`);
await buyer.close();
process.exit(0);
