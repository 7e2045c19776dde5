import { join } from "node:path";
import { loadConfig, openBuyer } from "proof402";
import { openMarket } from "./market.ts";
import { reportOn } from "./report.ts";
import { createRouter } from "./routing.ts";
import { SHIPMENTS } from "./shipments.ts";

const say = (line: string): void => console.log(line);

await using market = await openMarket();
let head: string;
{
  await using buyer = await openBuyer({ config: await loadConfig({ path: market.config }) });
  const router = createRouter(buyer, join(market.folder, "bookings.jsonl"), say);
  for (const [at, shipment] of SHIPMENTS.entries()) {
    // A seller goes away between two estimates of one shipment.
    await router.send(shipment, at === 2 ? market.stopSwift : undefined);
  }
  // What the auditor is handed apart from the files: no decision can be cut off behind it.
  ({ hash: head } = await buyer.logHead());
}
await reportOn(market.config, market.folder, head, say);
say(`Files: ${market.folder}`);
