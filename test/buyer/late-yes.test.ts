import { afterAll, beforeAll, expect, test } from "vitest";
import { openDatabase } from "../../src/storage/database.ts";
import type { Config } from "../../src/config/schema.ts";
import { newestAppraisal } from "../../src/receipts/newest.ts";
import { failure } from "../http/servers.ts";
import {
  isPayment,
  isPurchase,
  isCatalog,
  listAt,
  openWorld,
  PRICE,
  quoteWith,
  unpaid,
  type Attack,
  type World,
} from "../hostile/world.ts";
import { ETH_FEATURES } from "../support/devnet.ts";
import { buyWith } from "../support/buy.ts";

let world: World;
beforeAll(async () => {
  world = await openWorld();
});
afterAll(() => world.stop());

const CALL = { model: "eth-risk", input: ETH_FEATURES };

/** Asks a person for every payment, in one asset. */
const asking = (config: Config): void => {
  config.payment.assets = config.payment.assets.slice(0, 1);
  for (const asset of config.payment.assets) asset.approveAbove = "1";
};
const attestations = ({ seen }: Attack): number => seen.filter(({ path }) => path.includes("attestation")).length;

test("T34: an attestation that aged while a person thought is fetched again before anything is paid", async () => {
  const attack = await world.attack(
    (_request, honest) => honest(),
    (config) => {
      asking(config);
      config.verification.maxAttestationAgeSeconds = 30;
    },
  );
  let ahead = 0;
  const buyer = await attack.reopen(undefined, { clock: () => new Date(Date.now() + ahead) });
  const paidAt: number[] = [];
  const bought = await buyWith(buyer, CALL, {
    wait: "verified",
    approve: () => {
      ahead = 20_000;
      paidAt.push(attestations(attack));
      return Promise.resolve("approved");
    },
  });
  expect(newestAppraisal(bought.receipt).verdict).toBe("verified");
  expect([paidAt, attestations(attack)]).toEqual([[1], 2]);
  expect(attack.payments()).toHaveLength(1);
});

test("T34: a seller put on hold while a person thought is not paid", async () => {
  const attack = await world.attack((_request, honest) => honest(), asking);
  const approve = async (): Promise<"approved"> => {
    const db = await openDatabase(attack.config.database);
    const hold = { seller_id: "honest", receipt_id: "", reason: "evidence_withheld: by another process" };
    await db
      .insertInto("seller_holds")
      .values({ ...hold, at: Date.now(), released_at: null })
      .execute();
    await db.destroy();
    return "approved";
  };
  expect(await failure(attack.buy({}, { approve }))).toMatchObject({ code: "seller_on_hold", money: "not-moved" });
  expect(attack.payments()).toEqual([]);
  expect(await attack.plunder()).toBe(0n);
});

test("T34: a quote that aged while a person thought is asked for again, and a yes to the old price is none to the new", async () => {
  let price = PRICE;
  const attack = await world.attack(
    async (request, honest) => {
      if (isCatalog(request)) return listAt(honest, String(PRICE * 2n));
      if (!isPurchase(request) || isPayment(request)) return honest();
      return quoteWith(
        unpaid(world, request),
        ({ accepts }) => void Object.assign(accepts[0] ?? {}, { amount: String(price) }),
      );
    },
    (config) => {
      asking(config);
      config.market.quoteSeconds = 10;
    },
  );
  let ahead = 0;
  const buyer = await attack.reopen(undefined, { clock: () => new Date(Date.now() + ahead) });
  const asked: string[] = [];
  const error = await failure(
    buyWith(buyer, CALL, {
      approve: ({ amount }) => {
        asked.push(amount);
        ahead += 20_000;
        price = PRICE * 2n;
        return Promise.resolve(asked.length === 1 ? "approved" : "declined");
      },
    }),
  );
  expect(error).toMatchObject({ code: "approval_declined", money: "not-moved" });
  expect(asked).toEqual([String(PRICE), String(PRICE * 2n)]);
  expect(attack.payments()).toEqual([]);
});
