import { readFile } from "node:fs/promises";
import { configSchema, formatUnits, loadConfig, openBuyer } from "proof402";

/** The seller's entry, as `proof402 node reference` printed it. */
const entry: unknown = JSON.parse(await readFile("mine.json", "utf8"));
const config = configSchema.parse({ ...(await loadConfig()), sellers: [entry] });
await using buyer = await openBuyer({ config });
const input = { features: [0.55, 0.4, 0.05, 0.35, 0.8, 0.9, 0.6, 0.7] };
const bounds = { seller: "mine", assurance: "signed", wait: "verified" } as const;
const { receipt, appraisal } = await buyer.buy("eth-risk", input, bounds);
const { amount, payTo } = receipt.core.payment;
console.log(`Paid ${formatUnits(BigInt(amount), 6)} to ${payTo}`);
console.log(`The answer is ${appraisal.verdict} at ${appraisal.assurance}.`);
