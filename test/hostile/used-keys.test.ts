import { createWalletClient, http } from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { foundry } from "viem/chains";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { devUsd } from "../../src/devnet/contracts/dev-usd.artifact.ts";
import { release } from "../../src/payment/journal.ts";
import { failure } from "../http/servers.ts";
import { rpcInFront } from "../support/rpc.ts";
import { isCatalog, isPayment, listAt, openWorld, quoteWith, unpaid, type World } from "./world.ts";

let world: World;
beforeAll(async () => {
  world = await openWorld();
});
afterAll(() => world.stop());

const KEY = "invoice-0815";

describe("T44: a key whose own payment is used", () => {
  test.each([
    ["of its own", KEY],
    ["that an equal call takes up", undefined],
  ])("although it was given up, ends as paid and not served, and counts: a key %s", async (_name, idempotencyKey) => {
    const attack = await world.attack((request, honest) =>
      isPayment(request) ? quoteWith(unpaid(world, request), () => undefined) : honest(),
    );
    const first = await failure(attack.buy({ idempotencyKey }));
    await attack.using(async (db) => {
      const { id } = await db.selectFrom("purchases").select("id").executeTakeFirstOrThrow();
      await release(db, id, { reason: "authorization_expired", unusable: true, now: new Date() });
    });
    const lost = await attack.plunder();
    expect(await failure(attack.buy({ idempotencyKey }))).toMatchObject({
      code: "paid_not_served",
      money: "moved",
      idempotencyKey: first.idempotencyKey,
    });
    expect((await attack.buyer.spending()).recent).toMatchObject([{ state: "settled", amount: String(lost) }]);
    expect(attack.payments()).toHaveLength(1);
  });

  test.each([
    ["of its own", KEY],
    ["drawn in this call", undefined],
  ])("while its seller was asked for another price is not taken for another database's: %s", async (_name, key) => {
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
    await attack.buy({ seller: "honest" });
    raised = true;
    const first = await failure(attack.buy({ seller: "honest", idempotencyKey: key }));
    expect(first).toMatchObject({ code: "paid_not_served", money: "moved" });
    expect(redeemed).toBe(true);
    expect(await failure(attack.buy({ seller: "honest", idempotencyKey: key }))).toMatchObject({
      code: "paid_not_served",
      money: "moved",
      idempotencyKey: first.idempotencyKey,
    });
    expect(attack.payments()).toHaveLength(2);
  });
});

/** Reads many contracts in one call. */
const MULTICALL3 = "0xca11bde05977b3631167028862be2a173976ca11";

describe("T44: a use of a key that one RPC tells of", () => {
  test.each([
    ["alone", false, false],
    ["against the second", true, false],
    ["with a receipt, against the second", true, true],
  ])("%s is no word that money moved, and nothing is signed", async (_name, second, withReceipt) => {
    const { rpcUrl } = world.market.devnet;
    const hash = `0x${"ab".repeat(32)}`;
    let log: Record<string, unknown> = {};
    const lying = await rpcInFront(rpcUrl, ({ method, params }) => {
      const call = (params[0] ?? {}) as { to?: string; data?: string; address?: string | string[]; topics?: string[] };
      if (method === "eth_call" && call.to === MULTICALL3) return { error: { code: -32_000, message: "no" } };
      if (method === "eth_call" && call.data?.startsWith("0xe94a0102")) return { result: `0x${"0".repeat(63)}1` };
      if (method === "eth_getLogs") {
        const [address] = [call.address].flat();
        log = { address, topics: call.topics, data: "0x", logIndex: "0x0", transactionHash: hash };
        return { result: [log] };
      }
      if (method === "eth_getTransactionReceipt" && withReceipt)
        return { result: { transactionHash: hash, status: "0x1", blockNumber: "0x0", blockHash: hash, logs: [log] } };
      return undefined;
    });
    const attack = await world.attack(
      (_request, honest) => honest(),
      ({ networks }) => {
        for (const network of networks)
          Object.assign(network, { rpcUrl: lying.url, ...(second ? { witnessRpcUrl: rpcUrl } : {}) });
      },
    );
    const error = await failure(attack.buy({ idempotencyKey: "invoice-4711" }));
    expect(error).toMatchObject({ code: "paid_elsewhere", money: "may-move" });
    expect(error.message).toMatch(/^An RPC of eip155:\d+ says that .* which is not confirmed/);
    expect(attack.payments()).toEqual([]);
    expect(await attack.plunder()).toBe(0n);
  });
});
