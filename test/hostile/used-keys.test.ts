import { createWalletClient, http } from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { foundry } from "viem/chains";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { devUsd } from "../../src/devnet/contracts/dev-usd.artifact.ts";
import { release } from "../../src/payment/journal.ts";
import { failure } from "../http/servers.ts";
import { isCatalog, isPayment, listAt, openWorld, quoteWith, unpaid, type World } from "./world.ts";

let world: World;
beforeAll(async () => {
  world = await openWorld();
});
afterAll(() => world.stop());

const KEY = "invoice-0815";

describe("T44: a key whose own payment is used", () => {
  test("although it was given up, ends as paid and not served, and counts", async () => {
    const attack = await world.attack((request, honest) =>
      isPayment(request) ? quoteWith(unpaid(world, request), () => undefined) : honest(),
    );
    await failure(attack.buy({ idempotencyKey: KEY }));
    await attack.using(async (db) => {
      const { id } = await db.selectFrom("purchases").select("id").executeTakeFirstOrThrow();
      await release(db, id, { reason: "authorization_expired", unusable: true, now: new Date() });
    });
    const lost = await attack.plunder();
    expect(await failure(attack.buy({ idempotencyKey: KEY }))).toMatchObject({
      code: "paid_not_served",
      money: "moved",
      idempotencyKey: KEY,
    });
    expect((await attack.buyer.spending()).recent).toMatchObject([{ state: "settled", amount: String(lost) }]);
    expect(attack.payments()).toHaveLength(1);
  });

  test("while its seller was asked for another price is not taken for another database's", async () => {
    const { devnet } = world.market;
    const account = privateKeyToAccount(await devnet.bank.fundedKey());
    const thief = createWalletClient({ account, chain: foundry, transport: http(devnet.rpcUrl) });
    let raised = false;
    let redeemed = false;
    const attack = await world.attack(async (request, honest) => {
      if (!raised) return honest();
      if (isPayment(request))
        return quoteWith(
          unpaid(world, request),
          ({ accepts }) => void Object.assign(accepts[0] ?? {}, { amount: "10500" }),
        );
      if (!isCatalog(request)) return honest();
      const [, payment] = attack.payments();
      if (payment !== undefined && !redeemed) {
        redeemed = true;
        const { authorization: a, signature } = payment.payload;
        const hash = await thief.writeContract({
          address: devnet.token,
          abi: devUsd.abi,
          functionName: "transferWithAuthorization",
          args: [a.from, a.to, BigInt(a.value), BigInt(a.validAfter), BigInt(a.validBefore), a.nonce, signature],
          gas: 300_000n,
        });
        await devnet.bank.client.waitForTransactionReceipt({ hash });
      }
      return listAt(honest, "10500");
    });
    await attack.buy({ seller: "attested" });
    raised = true;
    const first = await failure(attack.buy({ seller: "attested", idempotencyKey: KEY }));
    expect(first).toMatchObject({ code: "paid_not_served", money: "moved" });
    expect(redeemed).toBe(true);
    expect(await failure(attack.buy({ seller: "attested", idempotencyKey: KEY }))).toMatchObject({
      code: "paid_not_served",
      money: "moved",
    });
    expect(attack.payments()).toHaveLength(2);
  });
});
