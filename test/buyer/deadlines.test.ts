import { execFileSync } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openBuyer } from "../../src/buyer/open.ts";
import type { Buyer, BuyRequest, BuyResult } from "../../src/buyer/types.ts";
import type { Config } from "../../src/config/schema.ts";
import { walletFromPrivateKey } from "../../src/payment/wallet.ts";
import { newestAppraisal } from "../../src/receipts/newest.ts";
import { openDatabase } from "../../src/storage/database.ts";
import { ETH_FEATURES, openMarket, type Market } from "../support/devnet.ts";
import { eventually } from "../support/eventually.ts";
import { infront } from "../support/infront.ts";
import { buyWith } from "../support/buy.ts";

let market: Market;
const ends: (() => Promise<void>)[] = [];
beforeAll(async () => {
  market = await openMarket({ proving: true });
});
afterAll(async () => {
  for (const end of ends) await end();
  await market.stop();
});

async function buy(buyer: Buyer, request: Partial<BuyRequest> = {}): Promise<BuyResult> {
  const result = await buyWith(buyer, {
    model: "eth-risk",
    input: ETH_FEATURES,
    idempotencyKey: crypto.randomUUID(),
    ...request,
  });
  return result;
}

describe("a proof that does not come", () => {
  /** A buyer of the prover, whose word about proofs is another; it waits a second for them. */
  async function impatient(proofs: () => Response): Promise<Buyer> {
    const served = await infront(market.devnet.sellers.prover!.origin, (path) =>
      Promise.resolve(path.startsWith("/v1/proofs/") ? proofs() : null),
    );
    ends.push(served.stop);
    return market.buyer((config) => {
      config.sellers = config.sellers.filter(({ id }) => id === "prover");
      config.sellers[0]!.origin = served.origin;
      config.verification.proofSeconds = 1;
    });
  }
  const pending = (): Response => Response.json({ state: "pending" });

  test("is waited for until its deadline, and then the receipt is unverified: whoever waits hears it", async () => {
    const buyer = await impatient(pending);
    const { receipt, appraisal } = await buy(buyer, { assurance: "proven" });
    expect(appraisal).toMatchObject({ verdict: "pending", layers: { computation: { code: "awaiting_proof" } } });
    const seen = newestAppraisal(await buyer.getReceipt(receipt.id, { waitSeconds: 120 }));
    expect(seen).toMatchObject({
      verdict: "unverified",
      assurance: "attested",
      layers: { settlement: { status: "pass" }, computation: { status: "skip", code: "proof_not_delivered" } },
    });
    expect(seen.layers.computation.note).toContain("deadline_passed");
    // No lie is shown, but the seller owed it: nothing more is bought from one that keeps what it promised.
    expect((await buyer.sellers())[0]?.hold?.reason).toBe("evidence_withheld: proof (deadline_passed)");
  });

  test("ends the waiting of a purchase, too", async () => {
    const { appraisal } = await buy(await impatient(pending), { assurance: "proven", wait: "verified" });
    expect(appraisal).toMatchObject({
      verdict: "unverified",
      layers: { computation: { code: "proof_not_delivered" } },
    });
  });

  test("because its seller only gives errors is missing with their code", async () => {
    const buyer = await impatient(() => new Response("no", { status: 500 }));
    const { appraisal } = await buy(buyer, { assurance: "proven", wait: "verified" });
    expect(appraisal.verdict).toBe("unverified");
    expect(appraisal.layers.computation).toMatchObject({ status: "skip", code: "proof_not_delivered" });
    expect(appraisal.layers.computation.note).not.toContain("deadline_passed");
  });

  test("leaves what was bought as attested verified", async () => {
    const buyer = await impatient(pending);
    const { receipt } = await buy(buyer);
    await eventually(async () => {
      const { layers } = newestAppraisal(await buyer.getReceipt(receipt.id));
      expect(layers.computation).toMatchObject({ status: "skip", code: "proof_not_delivered" });
    });
    expect(newestAppraisal(await buyer.getReceipt(receipt.id)).verdict).toBe("verified");
  });
});

describe("a re-execution that does not end", () => {
  /** Pins a file that nobody ever writes to: whoever reads it waits. */
  const endless = (config: Config, seconds: number): void => {
    const file = join(market.directory, `${crypto.randomUUID()}.onnx`);
    execFileSync("mkfifo", [file]);
    config.verification.replay = { models: { "eth-risk": file }, every: 1, seconds };
  };

  test("is killed at its limit, and the verdict stands without it", async () => {
    const buyer = await market.buyer((config) => endless(config, 1));
    const { receipt, appraisal } = await buy(buyer, { seller: "honest" });
    expect(appraisal).toMatchObject({ verdict: "pending", layers: { computation: { code: "awaiting_replay" } } });
    const seen = newestAppraisal(await buyer.getReceipt(receipt.id, { waitSeconds: 120 }));
    expect(seen).toMatchObject({
      verdict: "verified",
      replayed: false,
      layers: { computation: { status: "skip", code: "not_replayed" } },
    });
    expect(seen.layers.computation.note).toContain("execution_timeout");
  });

  test("but crashes is tried again, and after its deadline the verdict stands without it", async () => {
    let passed = 0;
    const config = market.config((made) => endless(made, 20));
    const buyer = await openBuyer({
      config,
      wallet: walletFromPrivateKey(market.devnet.privateKey),
      clock: () => new Date(Date.now() + passed),
    });
    ends.push(() => buyer.close());
    const crash = async (before: number): Promise<number> => {
      const pid = await eventually(async () => {
        const [found] = (await executions()).filter((one) => one !== before);
        if (found === undefined) throw new Error("not started");
        return found;
      });
      process.kill(pid, "SIGKILL");
      return pid;
    };
    const { receipt } = await buy(buyer, { seller: "honest" });
    const first = await crash(0);
    const db = await openDatabase(config.database);
    ends.push(() => db.destroy());
    const job = () => db.selectFrom("jobs").selectAll().where("kind", "=", "replay").executeTakeFirstOrThrow();
    await eventually(async () =>
      expect(await job()).toMatchObject({ state: "waiting", last_error: "execution_crashed" }),
    );
    expect(newestAppraisal(await buyer.getReceipt(receipt.id)).verdict).toBe("pending");
    passed = 60_000;
    await crash(first);
    const seen = newestAppraisal(await buyer.getReceipt(receipt.id, { waitSeconds: 120 }));
    expect(seen).toMatchObject({
      verdict: "verified",
      replayed: false,
      layers: { computation: { status: "skip", code: "not_replayed" } },
    });
    expect(seen.layers.computation.note).toContain("execution_crashed");
  });
});

/** The processes of this one that run a model. */
async function executions(): Promise<number[]> {
  const children = (await readFile(`/proc/${process.pid}/task/${process.pid}/children`, "utf8")).split(" ");
  const named = await Promise.all(
    children.map(async (pid) => [pid, await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "")] as const),
  );
  return named.flatMap(([pid, line]) => (line.includes("execution-child") ? [Number(pid)] : []));
}
