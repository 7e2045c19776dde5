import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach } from "vitest";
import type { BuyOptions, BuyRequest } from "../../src/buyer/types.ts";
import { makeTemplate, openWorld, tell, type Told, type World } from "./money-world.ts";
import { openSimulatedMarket } from "./simulated-market.ts";
import { simulateTime } from "./simulated-time.ts";
import { buyWith } from "./buy.ts";

export const KEY = "the-key-of-this-call";

/** What a test does in a world of its own, which the hooks it registers open and close. */
export type OneWorld = {
  world: () => World;
  /** A call under {@link KEY}, unless it says otherwise. */
  buy: (changes?: Partial<BuyRequest>, options?: BuyOptions) => Promise<Told>;
  /** The authorizations that reached a seller, as they came: to whom, how much, in which header. */
  sent: { seller: string; amount: number; header: string }[];
  /** The attempts under {@link KEY}, oldest first. */
  rows: () => Promise<{ attempt: number; state: string; reason: string | null }[]>;
};

/** Opens a world for each test of a file: a real buyer, a simulated chain, two sellers. It changes the time of the process. */
export function inOneWorld(): OneWorld {
  simulateTime();
  let directory: string;
  let template: string;
  let world: World;
  let close: () => Promise<void>;
  let opened = 0;
  const sent: OneWorld["sent"] = [];
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), "proof402-world-"));
    const market = await openSimulatedMarket();
    template = await makeTemplate(directory, market);
    await market.stop();
  });
  afterAll(() => rm(directory, { recursive: true, force: true }));
  beforeEach(async () => {
    sent.length = 0;
    opened += 1;
    const market = await openSimulatedMarket();
    const here = await openWorld({ directory, market, path: template, name: `${opened}.db` });
    const { onPaid } = here.scene;
    here.scene.onPaid = (paid) => {
      const { sellerId: seller, header, authorization } = paid;
      sent.push({ seller, amount: Number(authorization.value), header });
      return onPaid(paid);
    };
    world = here;
    close = async () => {
      await here.close();
      await market.stop();
    };
  });
  afterEach(() => close());
  return {
    sent,
    world: () => world,
    buy(changes = {}, options = {}) {
      world.command += 1;
      return tell(
        buyWith(world.process.buyer, { model: "m", input: { x: [0] }, idempotencyKey: KEY, ...changes }, options),
      );
    },
    rows: () =>
      world.db
        .selectFrom("purchases")
        .select(["attempt", "state", "reason"])
        .where("idempotency_key", "=", KEY)
        .orderBy("attempt")
        .execute(),
  };
}
