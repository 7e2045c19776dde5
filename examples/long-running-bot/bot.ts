import { createHash } from "node:crypto";
import { appendFile } from "node:fs/promises";
import { openBuyer, type Buyer, type BuyResult } from "proof402";

const ROUNDS = Number(process.argv[2] ?? 5);
const ACTIONS = ["increase", "hold", "reduce"] as const;
/** An answer older than this is history: nothing is done on it. */
const MAX_AGE_MS = 600_000;
const PURPOSE = "long-running-bot";

/** The market as it was in a round. A key belongs to one call, so a round that is bought again needs its own input again. */
const feed = (round: number): number[] => [-0.012, -0.034, -0.081, 0.62, 0.74, -0.19, 1.8, 0.2 + round / 100];

/** Stands for your exchange. The receipt's id is the order's id there: you can ask for the order by it later. */
const order = (action: string, round: number, receipt: string): Promise<void> =>
  appendFile("orders.jsonl", `${JSON.stringify({ round, action, receipt })}\n`);

// An error ends the bot. Its supervisor starts it again, and each round's key takes up what was open.
await using buyer = await openBuyer();
for (let round = 1; round <= ROUNDS; round += 1) {
  console.log(`round ${round}: buying`);
  const bought = await buyer.buy(
    "eth-risk",
    { features: feed(round) },
    {
      seller: "honest",
      assurance: "attested",
      wait: "verified",
      // One key, one payment: also for a process that was killed with the payment under way.
      idempotencyKey: `${PURPOSE}-${round}`,
    },
  );
  console.log(`round ${round}: ${bought.paidNow ? "paid" : "was paid before"}, ${bought.verdict}`);
  console.log(`round ${round}: ${await actOnce(buyer, bought, round)}`);
}
const { recent } = await buyer.spending({ limit: 1000 });
const own = recent.filter(({ idempotencyKey }) => idempotencyKey.startsWith(PURPOSE));
console.log(`${ROUNDS} rounds, ${own.length} payments`);

/** Acts on a verified answer, once for each purchase, whichever process gets there first. Says what was done. */
async function actOnce(
  owner: Buyer,
  { verdict, readable, answer, receipt }: BuyResult,
  round: number,
): Promise<string> {
  const action = readable ? ACTIONS[Number(answer["class"])] : undefined;
  if (verdict !== "verified" || action === undefined) return `did nothing: ${verdict}`;
  const before = (await owner.claims(receipt.id)).find(({ purpose }) => purpose === PURPOSE);
  if (before?.state === "done") return `acted before: ${before.outcome}`;
  // The process was killed between claim and end. Only the exchange knows if the order came through, so ask there.
  if (before !== undefined) return `in doubt, not done again: look for order ${receipt.id}`;
  if (Date.now() - Date.parse(receipt.core.response.receivedAt) > MAX_AGE_MS) return "did nothing: the answer is old";
  const json = JSON.stringify({ action });
  const sha256 = createHash("sha256").update(json).digest("hex");
  // The claim is on the disk before the action begins.
  if (!(await owner.claimReceipt(receipt.id, PURPOSE, { arguments: { json, sha256 } }))) return "another process acts";
  console.log(`round ${round}: acting`);
  await order(action, round, receipt.id);
  await owner.endClaim(receipt.id, PURPOSE, { state: "done", outcome: action });
  return `acted: ${action}`;
}
