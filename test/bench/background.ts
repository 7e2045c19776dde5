import { openBuyer } from "../../src/buyer/open.ts";
import type { Buyer } from "../../src/buyer/types.ts";
import { walletFromPrivateKey } from "../../src/payment/wallet.ts";
import { newestAppraisal } from "../../src/receipts/newest.ts";
import { median, row, type Line } from "./measure.ts";
import { buyPlainly, INPUT, openMarket, stockFetch } from "./market.ts";

/** Answers whose proofs keep the prover busy while the next answer is bought. */
const QUEUED = 3;

/** What a purchase takes from a seller that proves, beside one that does not, with its prover at rest and at work. */
export async function benchBackground(rounds: number): Promise<Line[]> {
  const market = await openMarket();
  const config = { ...market.config, database: `${market.directory}/background.db` };
  const buyer = await openBuyer({ config, wallet: walletFromPrivateKey(market.key) });
  const others = stockFetch(market);
  const prover = config.sellers.find(({ id }) => id === "prover");
  if (prover === undefined) throw new Error("the devnet has a seller that proves");
  const times: Record<"plain" | "rest" | "work", number[]> = { plain: [], rest: [], work: [] };
  try {
    for (let round = -3; round < rounds; round += 1) {
      const timed = async (name: keyof typeof times, seller: string): Promise<string> => {
        const began = performance.now();
        const id = await buyFrom(buyer, seller);
        if (round >= 0) times[name].push(performance.now() - began);
        return id;
      };
      const arms = [
        () => timed("plain", "honest"),
        () => timed("rest", "prover"),
        async () => {
          // Somebody else's answers, whose proofs nobody here waits for or checks.
          for (let at = 0; at < QUEUED; at += 1) await buyPlainly(others, prover.origin ?? "");
          return timed("work", "prover");
        },
      ];
      // What one arm leaves warm or busy is the next one's advantage or burden: each follows each.
      const turn = Math.abs(round) % arms.length;
      for (const run of [...arms.slice(turn), ...arms.slice(0, turn)]) await landed(buyer, await run());
    }
    const plain = { name: "without proofs", ms: median(times.plain), target: 1.05 };
    return [
      row("buy from a seller that does not prove", plain.ms),
      row("buy from a seller that proves afterwards", median(times.rest), { base: plain }),
      row(`the same while ${QUEUED} answers of others are being proved`, median(times.work), { base: plain }),
    ];
  } finally {
    await buyer.close();
    await market.stop();
  }
}

async function buyFrom(buyer: Buyer, seller: string): Promise<string> {
  const result = await buyer.buy("eth-risk", INPUT, { seller, idempotencyKey: crypto.randomUUID() });
  if (result.appraisal.assurance !== "attested") throw new Error("the purchase was not verified");
  return result.receipt.id;
}

/** Until nothing is awaited any more for this receipt. */
function landed(buyer: Buyer, id: string): Promise<void> {
  return new Promise((resolve, reject) => {
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
  });
}
