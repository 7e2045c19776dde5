import { spawn } from "node:child_process";
import { once } from "node:events";
import { afterAll, beforeAll, expect, test } from "vitest";
import { placeOfIds } from "../../src/buyer/lease-owner.ts";
import { newestAppraisal } from "../../src/receipts/newest.ts";
import { eventually } from "../support/eventually.ts";
import { rpcInFront } from "../support/rpc.ts";
import { isPayment, openWorld, type World } from "../hostile/world.ts";

let world: World;
beforeAll(async () => {
  world = await openWorld();
});
afterAll(() => world.stop());

const HOUR = 3_600_000;

/** A purchase whose chain is down from its payment on, and whose buyer is closed. */
async function buyWithoutChain() {
  const chain = { down: false };
  const rpc = await rpcInFront(world.market.devnet.rpcUrl, () => (chain.down ? { status: 503 } : undefined));
  const attack = await world.attack(
    (request, honest) => {
      if (isPayment(request)) chain.down = true;
      return honest();
    },
    (config) => config.networks.forEach((network) => (network.rpcUrl = rpc.url)),
  );
  const { receipt } = await attack.buy();
  await attack.buyer.close();
  return { chain, attack, receipt };
}

test("waiting looks for evidence at once that a dead process was looking for, and again before a long back-off ends", async () => {
  const { chain, attack, receipt } = await buyWithoutChain();
  const child = spawn(process.execPath, ["-e", ""]);
  await once(child, "exit");
  // As a process leaves it that was killed at its twelfth look.
  await attack.using((db) =>
    db
      .updateTable("jobs")
      .set({ attempts: 12, run_at: 0, leased_until: Date.now() + HOUR, owner: `${placeOfIds}:${child.pid}:gone` })
      .where("kind", "=", "settlement")
      .execute(),
  );
  const later = await attack.reopen();
  const waiting = later.getReceipt(receipt.id, { waitSeconds: 40 });
  // A look that finds nothing: by its own back-off the next one would be a minute later.
  await eventually(async () => {
    const job = await attack.using((db) =>
      db.selectFrom("jobs").selectAll().where("kind", "=", "settlement").executeTakeFirstOrThrow(),
    );
    expect(job.attempts).toBeGreaterThan(12);
    expect(job.run_at - Date.now()).toBeGreaterThan(0);
  });
  chain.down = false;
  expect(newestAppraisal(await waiting).verdict).toBe("verified");
});

test("who waits gets a verdict by its own policy, whoever found the evidence", async () => {
  const { rpcUrl } = world.market.devnet;
  const { attack, receipt } = await buyWithoutChain();
  const other = await attack.reopen((config) => {
    config.verification = { ...config.verification, clockSkewSeconds: 7 };
    for (const network of config.networks) network.rpcUrl = rpcUrl;
  });
  await other.getReceipt(receipt.id, { waitSeconds: 100 });
  await other.close();
  const own = await attack.reopen();
  const { appraisals } = await own.getReceipt(receipt.id, { waitSeconds: 100 });
  const [first, ...later] = appraisals.map(({ policyHash }) => policyHash);
  expect(later.filter((one) => one !== first)).not.toEqual([]);
  expect(appraisals.at(-1)).toMatchObject({ verdict: "verified", policyHash: first });
});
