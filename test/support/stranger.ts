import { judgeContext, type JudgeContext } from "../../src/buyer/judge.ts";
import { configSchema } from "../../src/config/schema.ts";
import type { Assurance } from "../../src/receipts/schema.ts";
import { openDatabase } from "../../src/storage/database.ts";
import { createVerificationCache } from "../../src/verify/verification-cache.ts";
import type { Fixture } from "./fixture-receipt.ts";

/** Each proof is checked once for all tests. */
const session = createVerificationCache();

/** A buyer that knows a fixture's seller, bought nothing, and reads no chain. */
export async function strangerTo<T>(
  { policy, evaluateAt }: Fixture,
  { assurance = "proven", reportedSuffices = true }: { assurance?: Assurance; reportedSuffices?: boolean },
  run: (ctx: JudgeContext) => Promise<T>,
): Promise<T> {
  const { origin, provider, payees, facilitators, channel, ...reference } = policy.sellers["fixture"]!;
  const limits = { symbol: "USDC", perCall: "1", perHour: "1", perDay: "1", total: "1" };
  const config = configSchema.parse({
    database: ":memory:",
    networks: [{ network: "eip155:31337", rpcUrl: "http://127.0.0.1:9" }],
    payment: { assets: policy.assets.map((asset) => ({ ...asset, ...limits })) },
    sellers: [{ id: "fixture", provider, origin, payTo: payees, facilitators, channel, assurance, reference }],
    verification: { assurance, reportedSuffices, simulatedRoots: policy.simulatedRoots, developmentSetups: true },
  });
  const db = await openDatabase(":memory:");
  try {
    return await run({ ...judgeContext(config, db), session, clock: () => evaluateAt });
  } finally {
    await db.destroy();
  }
}
