import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openBuyer } from "../../src/buyer/open.ts";
import type { Buyer } from "../../src/buyer/types.ts";
import { configSchema } from "../../src/config/schema.ts";
import { appraisalPolicyOf } from "../../src/buyer/context.ts";
import type { Receipt } from "../../src/receipts/schema.ts";
import type { AppraisalPolicy } from "../../src/verify/policy.ts";
import { makeFixture } from "./fixture-receipt.ts";
import { databasePlace } from "./database-place.ts";

/** A buyer without a wallet over a database of its own that holds verified receipts, and the files for its commands. */
export type DecisionWorld = {
  buyer: Buyer;
  /** Genuine receipts, each of a purchase of its own, imported in this order. */
  receipts: Receipt[];
  policy: AppraisalPolicy;
  folder: string;
  config: string;
  database: string;
  /** A trust file of the same pins. */
  trust: string;
  /** Sets what the buyer takes for now. */
  setTime(time: Date): void;
  /** Another buyer over the same database. */
  another(): Promise<Buyer>;
  close(): Promise<void>;
};

export async function openDecisionWorld(count: number): Promise<DecisionWorld> {
  const folder = await mkdtemp(join(tmpdir(), "proof402-decisions-"));
  const fixtures = await Promise.all(Array.from({ length: count }, () => makeFixture({ signed: true })));
  const policies = fixtures.map(({ policy }) => policy);
  const [seller] = policies.map(({ sellers }) => sellers["fixture"]!);
  const [asset] = policies.map(({ assets }) => assets[0]!);
  const database = await databasePlace(join(folder, "proof402.db"));
  const written = {
    database,
    networks: [{ network: asset!.network, rpcUrl: "http://127.0.0.1:9" }],
    payment: {
      assets: [
        {
          ...asset!,
          symbol: "USDC",
          usdStable: true,
          perCall: "10000",
          perHour: "100000",
          perDay: "500000",
          total: "1000000",
        },
      ],
    },
    sellers: [
      {
        id: "fixture",
        provider: "oip",
        origin: seller!.origin,
        payTo: seller!.payees,
        assurance: "attested",
        reference: {
          measurements: policies.flatMap(({ sellers }) => sellers["fixture"]!.measurements),
          models: seller!.models,
        },
      },
    ],
    verification: { simulatedRoots: policies.flatMap(({ simulatedRoots }) => simulatedRoots), reportedSuffices: true },
  };
  const config = configSchema.parse(written);
  const policy = appraisalPolicyOf(config, config.verification.assurance);
  const files = { config: join(folder, "proof402.config.json"), trust: join(folder, "trust.json") };
  await writeFile(files.config, JSON.stringify(written), { mode: 0o600 });
  await writeFile(files.trust, JSON.stringify({ type: "proof402/trust", version: 1, policy }));
  // No receipt is of a later time than its import.
  let now = new Date(Math.max(...fixtures.map(({ receipt }) => Date.parse(receipt.core.response.receivedAt))));
  const open = (): Promise<Buyer> => openBuyer({ config, wallet: null, clock: () => now });
  const buyers = [await open()];
  const [buyer] = buyers as [Buyer];
  for (const { receipt } of fixtures) await buyer.importReceipt(receipt);
  return {
    buyer,
    receipts: fixtures.map(({ receipt }) => receipt),
    policy,
    folder,
    ...files,
    database,
    setTime: (time) => (now = time),
    async another() {
      const made = await open();
      buyers.push(made);
      return made;
    },
    async close() {
      for (const one of buyers) await one.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
