// readme:begin
import { writeFile } from "node:fs/promises";
import { openBuyer, serializeReceipt } from "proof402";

await using buyer = await openBuyer();
const input = { features: [1.02, 0.1, 1.0, 0.9, 0.02, 0.4, 1, 1.0] };
const { receipt, verdict } = await buyer.buy("payroll-check", input, { seller: "honest", wait: "verified" });
// `wx`: a receipt takes no other file's place.
await writeFile("receipt.json", serializeReceipt(receipt), { flag: "wx" });
console.log(`Wrote receipt.json: ${verdict}, ${receipt.id}`);
// readme:end
