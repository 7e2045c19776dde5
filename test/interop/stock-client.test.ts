import { parseEventLogs, type Hex } from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { afterAll, beforeAll, expect, it } from "vitest";
import { devUsd } from "../../src/devnet/contracts/dev-usd.artifact.ts";
import { startDevnet, type Devnet } from "../../src/devnet/index.ts";
import { ETH_FEATURES } from "../support/devnet.ts";
import { stockBuy, stockFetch } from "./stock-buyer.ts";

let devnet: Devnet;

beforeAll(async () => {
  devnet = await startDevnet();
});
afterAll(() => devnet.stop());

const inferAt = (seller: "honest" | "unattested", model = "eth-risk"): string =>
  `${devnet.sellers[seller].origin}/v2/models/${model}/infer`;

it.each([
  ["honest", 10_000n],
  ["unattested", 3000n],
] as const)("the stock client pays the %s seller its price once and gets the answer", async (name, price) => {
  const payer = privateKeyToAccount(devnet.privateKey).address;
  const { payTo } = devnet.sellers[name];
  const before = await Promise.all([devnet.balanceOf(payer), devnet.balanceOf(payTo)]);
  const bought = await stockBuy(devnet, inferAt(name), ETH_FEATURES.features);
  expect(bought.status).toBe(200);
  expect(JSON.parse(new TextDecoder().decode(bought.received))).toMatchObject({
    model_name: "eth-risk",
    id: "stock-buyer",
    outputs: expect.arrayContaining([expect.objectContaining({ name: "probabilities" })]) as unknown,
  });
  expect(bought.settled).toMatchObject({ success: true, payer, network: "eip155:31337" });

  const hash = bought.settled?.transaction as Hex;
  const receipt = await devnet.bank.client.getTransactionReceipt({ hash });
  expect(receipt.status).toBe("success");
  const transfers = parseEventLogs({ abi: devUsd.abi, eventName: "Transfer", logs: receipt.logs });
  expect(transfers.map((log) => [log.address, log.args.from, log.args.to.toLowerCase(), log.args.value])).toEqual([
    [devnet.token, payer, payTo, price],
  ]);
  const after = await Promise.all([devnet.balanceOf(payer), devnet.balanceOf(payTo)]);
  expect(after).toEqual([(before[0] ?? 0n) - price, (before[1] ?? 0n) + price]);
});

it("eight stock calls at once are each paid and answered", async () => {
  const { payTo } = devnet.sellers.honest;
  const before = await devnet.balanceOf(payTo);
  const bought = await Promise.all(
    Array.from({ length: 8 }, () => stockBuy(devnet, inferAt("honest"), ETH_FEATURES.features)),
  );
  expect(bought.map(({ status }) => status)).toEqual(bought.map(() => 200));
  expect(new Set(bought.map(({ settled }) => settled?.transaction)).size).toBe(8);
  expect(await devnet.balanceOf(payTo)).toBe(before + 80_000n);
});

it("a request the model refuses costs the stock client nothing", async () => {
  const before = await devnet.balanceOf(devnet.sellers.honest.payTo);
  const bought = await stockBuy(devnet, inferAt("honest"), [1, 2, 3]);
  expect(bought.status).toBe(400);
  expect(bought.settled?.success ?? false).toBe(false);
  expect(await devnet.balanceOf(devnet.sellers.honest.payTo)).toBe(before);
});

it("a wallet without money gets no answer", async () => {
  const privateKey = await devnet.bank.fundedKey();
  const bought = await stockBuy(devnet, inferAt("honest"), ETH_FEATURES.features, { privateKey });
  expect(bought.status).toBe(402);
  expect(new TextDecoder().decode(bought.received)).not.toContain("outputs");
});

it("the stock client's own cap holds against the offer", async () => {
  const before = await devnet.balanceOf(devnet.sellers.honest.payTo);
  await expect(stockBuy(devnet, inferAt("honest"), ETH_FEATURES.features, { cap: "9999" })).rejects.toThrow(
    /9999|spend/i,
  );
  expect(await devnet.balanceOf(devnet.sellers.honest.payTo)).toBe(before);
});

it("what is free is answered without payment", async () => {
  const before = await devnet.balanceOf(devnet.sellers.unattested.payTo);
  const response = await stockFetch(devnet)(`${devnet.sellers.unattested.origin}/v2/models/eth-risk`);
  expect(response.status).toBe(200);
  expect(response.headers.get("payment-response")).toBeNull();
  expect(await devnet.balanceOf(devnet.sellers.unattested.payTo)).toBe(before);
});
