import { afterAll, beforeAll, expect, test } from "vitest";
import type { Buyer } from "../../src/buyer/types.ts";
import { newestAppraisal } from "../../src/receipts/newest.ts";
import { paidAmount } from "../../src/receipts/paid.ts";
import { buyWith } from "../support/buy.ts";
import { eventually } from "../support/eventually.ts";
import { CHAT_MODEL, openGatewayWorld, type GatewayWorld } from "../support/gateway.ts";

let world: GatewayWorld;
let buyer: Buyer;
beforeAll(async () => {
  world = await openGatewayWorld({ idleMs: 4000 });
  buyer = await world.buyer(await world.open(), (config) => {
    for (const seller of config.sellers)
      seller.sharedAuthorization = { shownBy: "token", calls: 20, idleSeconds: 45, marginSeconds: 130 };
  });
}, 120_000);
afterAll(() => world.stop());

test("chats with a gateway go on one permit, stay verified, and what it settles is what it told of them", async () => {
  const ask = (content: string, stream = false) =>
    buyWith(buyer, {
      model: CHAT_MODEL,
      input: { messages: [{ role: "user", content }], ...(stream ? { stream } : {}) },
    });
  const results = [
    await ask("Say hello"),
    await ask("Say goodbye", true),
    await ask("Say something much longer than that"),
  ];
  const payments = results.map(({ receipt }) => receipt.core.payment);
  expect(new Set(payments.map(({ nonce }) => nonce)).size).toBe(1);
  expect(payments.map(({ share }) => share?.first)).toEqual([true, false, false]);
  const [amount = ""] = payments.map((payment) => payment.amount);
  expect((await buyer.spending()).assets[0]).toMatchObject({ reserved: amount });

  const receipts = await eventually(async () => {
    const all = await Promise.all(results.map(({ receipt }) => buyer.getReceipt(receipt.id)));
    for (const one of all) expect(newestAppraisal(one)).toMatchObject({ verdict: "verified" });
    return all;
  });
  const parts = receipts.map((one) => BigInt(paidAmount(one).amount));
  const moved = await world.received();
  expect(parts.reduce((sum, part) => sum + part, 0n)).toBe(moved);
  expect(moved).toBeGreaterThan(0n);
  const { assets, recent } = await buyer.spending();
  expect(assets[0]).toMatchObject({ spent: String(moved), reserved: "0" });
  expect(recent.map(({ reason, shared }) => [reason, shared?.told === shared?.part])).toEqual(
    Array.from({ length: 3 }, () => [null, true]),
  );
  expect((await buyer.sellers()).map(({ hold }) => hold)).toEqual([null]);
});
