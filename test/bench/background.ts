import { openBuyer } from "../../src/buyer/open.ts";
import type { Buyer } from "../../src/buyer/types.ts";
import { walletFromPrivateKey } from "../../src/payment/wallet.ts";
import { newestAppraisal } from "../../src/receipts/newest.ts";
import { median, row } from "./measure.ts";
import { INPUT, openMarket } from "./market.ts";

/** Answers whose proofs keep the prover busy while the next answer is bought. */
const QUEUED = 3;

/** What a purchase takes from a seller that proves, beside one that does not, with its prover at rest and at work. */
export async function benchBackground(rounds: number): Promise<string[]> {
  const market = await openMarket();
  const config = { ...market.config, database: `${market.directory}/background.db` };
  const buyer = await openBuyer({ config, wallet: walletFromPrivateKey(market.key) });
  const times: Record<"plain" | "rest" | "work", number[]> = { plain: [], rest: [], work: [] };
  try {
    for (let round = -3; round < rounds; round += 1) {
      const timed = async (name: keyof typeof times, seller: string): Promise<string> => {
        const began = performance.now();
        const id = await buyFrom(buyer, seller);
        if (round >= 0) times[name].push(performance.now() - began);
        return id;
      };
      await allLanded(buyer, [await timed("plain", "attested")]);
      await allLanded(buyer, [await timed("rest", "proving")]);
      const queued: string[] = [];
      for (let at = 0; at < QUEUED; at += 1) queued.push(await buyFrom(buyer, "proving"));
      await allLanded(buyer, [...queued, await timed("work", "proving")]);
    }
    const plain = { name: "without proofs", ms: median(times.plain), target: 1.05 };
    return [
      row("buy from a seller that does not prove", plain.ms),
      row("buy from a seller that proves afterwards", median(times.rest), plain),
      row(`the same while ${QUEUED} earlier answers are being proved`, median(times.work), plain),
    ];
  } finally {
    await buyer.close();
    await market.stop();
  }
}

async function buyFrom(buyer: Buyer, seller: string): Promise<string> {
  const result = await buyer.buy({ model: "eth-risk", input: INPUT, seller, idempotencyKey: crypto.randomUUID() });
  if ("needInput" in result || result.appraisal.assurance !== "attested")
    throw new Error("the purchase was not verified");
  return result.receipt.id;
}

/** Until nothing is awaited any more for these receipts. */
function allLanded(buyer: Buyer, ids: readonly string[]): Promise<unknown> {
  return Promise.all(
    ids.map(
      (id) =>
        new Promise<void>((resolve, reject) => {
          const look = async (): Promise<void> => {
            const { layers } = newestAppraisal(await buyer.getReceipt(id));
            if (Object.values(layers).every(({ status }) => status !== "pending")) {
              unsubscribe();
              resolve();
            }
          };
          const unsubscribe = buyer.onReceipt((receipt) => {
            if (receipt.id === id) look().catch(reject);
          });
          look().catch(reject);
        }),
    ),
  );
}
