import { join } from "node:path";
import { privateKeyToAccount } from "viem/accounts";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openBuyer } from "../../src/buyer/open.ts";
import { configSchema } from "../../src/config/schema.ts";
import { Proof402Error } from "../../src/errors.ts";
import { walletFromAccount, walletFromPrivateKey, type Wallet } from "../../src/payment/wallet.ts";
import type { Warning } from "../../src/buyer/types.ts";
import { callTool } from "../../src/tools/call.ts";
import { spending } from "../../src/tools/spending.ts";
import { openPurse } from "../hostile/purse.ts";
import { ETH_FEATURES, openMarket, type Market } from "../support/devnet.ts";
import { infront } from "../support/infront.ts";
import { buyWith } from "../support/buy.ts";
import { databasePlace } from "../support/database-place.ts";
import { shownDatabase } from "../../src/storage/postgres-address.ts";

let market: Market;
beforeAll(async () => {
  market = await openMarket();
});
afterAll(() => market.stop());

const ONE_CALL = { model: "eth-risk", input: ETH_FEATURES, seller: "honest", idempotencyKey: "invoice-4711" };
type Orders = ReturnType<Awaited<ReturnType<typeof openPurse>>["orders"]>;
const walletOf = ({ privateKey }: Orders): Wallet => walletFromPrivateKey(privateKey);

describe("T44: two databases of one wallet", () => {
  it("pay for one idempotency key once: both make the same nonce of it, and the chain takes one", async () => {
    const purse = await openPurse(market);
    const orders = purse.orders({});
    const one = await purse.open();
    await buyWith(one, ONE_CALL);
    await one.close();
    const database = join(market.directory, `second-${crypto.randomUUID()}.db`);
    const two = await openBuyer({
      config: configSchema.parse({ ...orders.config, database }),
      wallet: walletFromAccount(privateKeyToAccount(orders.privateKey)),
    });
    const error: unknown = await buyWith(two, ONE_CALL).then(
      () => null,
      (thrown: unknown) => thrown,
    );
    await two.close();
    expect(Proof402Error.isInstance(error) && error.money).not.toBe("not-moved");
    const { left, nonces } = await purse.chain();
    expect(left).toBe(10_000n);
    const [entry] = await purse.journal();
    expect(nonces).toEqual([entry?.nonce]);
  });

  it("are each warned of the other, since each counts its own spending against the caps", async () => {
    const purse = await openPurse(market, (config) => {
      config.wallet = { databasesFolder: join(market.directory, "databases") };
    });
    const orders = purse.orders({});
    const database = await databasePlace(join(market.directory, `second-${crypto.randomUUID()}.db`));
    const open = async (config: typeof orders.config): Promise<readonly Warning[]> => {
      const buyer = await openBuyer({ config: configSchema.parse(config), wallet: walletOf(orders) });
      const { warnings } = await buyer.spending();
      await buyer.close();
      return warnings;
    };
    expect(await open(orders.config)).toEqual([]);
    expect(await open({ ...orders.config, database })).toMatchObject([{ code: "second_database" }]);
    const [warning] = await open(orders.config);
    expect(warning?.message).toContain(shownDatabase(database));
  });

  it("are warned of where the wallet's account gives no secret, by the buyer and by the tool `spending`", async () => {
    const purse = await openPurse(market);
    const { config, privateKey } = purse.orders({});
    const account = privateKeyToAccount(privateKey);
    const signTypedData = (): Promise<never> => Promise.reject(new Error("unknown data"));
    const buyer = await openBuyer({
      config: configSchema.parse(config),
      wallet: walletFromAccount({ ...account, signTypedData }),
    });
    expect(buyer.warnings).toMatchObject([{ code: "nonces_of_database" }]);
    const outcome = await callTool(spending, { buyer }, {});
    expect(outcome).toMatchObject({ status: "ok", data: { warnings: [{ code: "nonces_of_database" }] } });
    expect(outcome.status === "ok" && outcome.text).toContain("Use no second database with this wallet");
    await buyer.close();
    const known = await purse.open();
    expect(known.warnings).toEqual([]);
    await known.close();
  });
});

it("a purchase begun under a database's own secret is sent again as it was signed", async () => {
  const { honest } = market.devnet.sellers;
  let asked = 0;
  let open = false;
  // The second request of a call carries the payment.
  const front = await infront(honest.origin, (path) => {
    if (path.endsWith("/infer")) asked += 1;
    return Promise.resolve(open || asked < 2 ? null : new Response(null, { status: 402 }));
  });
  const purse = await openPurse(market, (config) => {
    for (const seller of config.sellers) if (seller.id === "honest") seller.origin = front.origin;
  });
  const orders = purse.orders({});
  const before = await openBuyer({
    config: configSchema.parse(orders.config),
    wallet: { ...walletOf(orders), deriveSecret: () => Promise.resolve(null) },
  });
  await expect(buyWith(before, ONE_CALL)).rejects.toMatchObject({ money: "may-move" });
  await before.close();
  open = true;
  const after = await purse.open();
  await buyWith(after, ONE_CALL);
  await after.close();
  await front.stop();
  const journal = await purse.journal();
  expect(journal).toHaveLength(1);
  expect(await purse.chain()).toEqual({ left: 10_000n, nonces: [journal[0]?.nonce] });
});
