// Bundled as CommonJS and run: every export of the library is in it.
import { readFileSync } from "node:fs";
import * as library from "proof402";
import { trustSchema, verifyReceipt } from "proof402/verify";

async function run() {
  const [receipt, trust] = process.argv.slice(2).map((file) => readFileSync(file, "utf8"));
  const buyer = await library.openBuyer();
  const { verdict } = await buyer.verify(JSON.parse(receipt));
  await buyer.close();
  const { appraisal } = await verifyReceipt(receipt, trustSchema.parse(JSON.parse(trust)).policy);
  console.log(`CommonJS bundle: ${verdict} by a buyer, ${appraisal.verdict} by a trust file`);
  if (verdict !== "verified" || appraisal.verdict !== "verified") process.exitCode = 1;
}
void run();
