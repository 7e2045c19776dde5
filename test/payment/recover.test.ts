import { createTestClient, createWalletClient, encodeFunctionData, http, type Address, type Hex } from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { foundry } from "viem/chains";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { openBank, startAnvil, type Anvil, type Bank } from "../../src/devnet/index.ts";
import { devChannels } from "../../src/devnet/contracts/dev-channels.artifact.ts";
import { keccak256, toHex0x, utf8 } from "../../src/evidence/bytes.ts";
import { channelIdOf, CHANNELS, type ChannelConfig } from "../../src/evidence/channel.ts";
import { openChain, type Chain } from "../../src/chain/chain.ts";
import { readClaims } from "../../src/payment/channel-books.ts";
import { closeChannel, openChannel } from "../../src/payment/channel-owner.ts";
import { surveyChannels } from "../../src/payment/channel-recover.ts";
import { openChannels, planVoucher, readChannel, voucherRefusal } from "../../src/payment/channels.ts";
import { encodeCall } from "../../src/chain/owner/calls.ts";
import type { AssetPolicy } from "../../src/payment/policy.ts";
import { walletFromPrivateKey } from "../../src/payment/wallet.ts";
import { openDatabase, type Db } from "../../src/storage/database.ts";
import { rpcInFront } from "../support/rpc.ts";

const MULTICALL3 = "0xca11bde05977b3631167028862be2a173976ca11";
const CHAIN_ID = 31337;
const NETWORK = `eip155:${CHAIN_ID}`;
const FUNDS = 10_000_000n;
const DEPOSIT = 500_000n;
const SELLER = {
  id: "seller",
  payTo: [`0x${"5a".repeat(20)}`],
  channel: { receiverAuthorizer: `0x${"5b".repeat(20)}`, withdrawDelaySeconds: 900 },
} as const;
/** Where a stranger's collector stands: it brings no money in and does not fail. */
const COLLECTOR: Address = `0x${"c0".repeat(20)}`;

let anvil: Anvil;
let bank: Bank;
let asset: AssetPolicy;
let chain: Chain;
beforeAll(async () => {
  anvil = await startAnvil();
  bank = await openBank(anvil);
  const { address, symbol, decimals, name, version } = bank.token;
  const limit = FUNDS.toString();
  asset = {
    network: NETWORK,
    asset: address,
    symbol,
    decimals,
    usdStable: true,
    domain: { name, version },
    methods: ["voucher"],
    perCall: limit,
    perHour: limit,
    perDay: limit,
    total: limit,
  };
  chain = openChain({ network: NETWORK, rpcUrl: anvil.rpcUrl, confirmations: 0, pollMilliseconds: 20 });
  await createTestClient({ chain: foundry, transport: http(anvil.rpcUrl), mode: "anvil" }).setCode({
    address: COLLECTOR,
    bytecode: "0x00",
  });
});
afterAll(() => anvil.stop());

/** A wallet that has lost its database, and what was done to its channels by their numbers before. */
async function openLost() {
  const wallet = walletFromPrivateKey(await bank.fundedKey());
  await bank.token.mint(wallet.address, FUNDS);
  const db = await openDatabase(":memory:");
  onTestFinished(() => db.destroy());
  const stranger = createWalletClient({
    account: privateKeyToAccount(await bank.fundedKey()),
    chain: foundry,
    transport: http(anvil.rpcUrl),
  });
  const send = async (data: Hex): Promise<void> => {
    const hash = await stranger.sendTransaction({ to: CHANNELS, data });
    expect((await bank.client.waitForTransactionReceipt({ hash })).status).toBe("success");
  };
  const configAt = (index: number): ChannelConfig => ({
    payer: wallet.address,
    payerAuthorizer: wallet.address,
    receiver: SELLER.payTo[0],
    receiverAuthorizer: SELLER.channel.receiverAuthorizer,
    token: asset.asset,
    withdrawDelay: SELLER.channel.withdrawDelaySeconds,
    salt: toHex0x(keccak256(utf8(`proof402 channel ${index}`))),
  });
  const idAt = (index: number): string => channelIdOf(CHAIN_ID, configAt(index));
  const owner = { db, chain, wallet };
  return {
    db,
    owner,
    idAt,
    /** The wallet's own deposit, whoever sends it. */
    async deposit(index: number) {
      const now = Number((await bank.client.getBlock()).timestamp);
      const call = {
        kind: "deposit",
        config: configAt(index),
        channelId: idAt(index),
        amount: DEPOSIT,
        domain: asset.domain,
        validBefore: now + 300,
      } as const;
      const { data } = await encodeCall(call, await wallet.signDeposit(call, CHAIN_ID));
      await send(data);
    },
    /** A stranger puts something in, without any authorization of the wallet's. */
    intrude: (index: number, amount: bigint) =>
      send(
        encodeFunctionData({
          abi: devChannels.abi,
          functionName: "deposit",
          args: [configAt(index), amount, COLLECTOR, "0x"] as never,
        }),
      ),
    async open(more: object = {}) {
      // These tests set the chain's clock forward: the owner's goes with it.
      const now = new Date(Number((await bank.client.getBlock()).timestamp) * 1000);
      return openChannel({ ...owner, seller: SELLER, asset, amount: DEPOSIT, now, ...more });
    },
    async found() {
      const { channels } = await surveyChannels({
        db,
        chainOf: () => chain,
        payer: wallet.address,
        sellers: [SELLER],
        assets: [asset],
        now: new Date(),
      });
      return new Map(channels.map(({ row, seen }) => [row.id, [row.state, seen?.balance]]));
    },
  };
}

const later = async (seconds: number): Promise<void> => {
  await bank.client.request({ method: "evm_increaseTime" as never, params: [seconds] as never });
  await bank.client.request({ method: "evm_mine" as never, params: [] as never });
};

describe("T24: channels that a database has lost", () => {
  test("are found past numbers that were left out, sixteen after the last, and the first one left out is the next", async () => {
    const lost = await openLost();
    for (const index of [1, 4, 20, 37]) await lost.deposit(index);
    expect(await lost.found()).toEqual(new Map([1, 4, 20].map((index) => [lost.idAt(index), ["open", DEPOSIT]])));
    const { channel } = await lost.open({ another: true });
    expect(channel.id).toBe(lost.idAt(0));
    // Now the walk that ended before it begins further on.
    for (const index of [21, 22]) await lost.deposit(index);
    expect((await lost.found()).get(lost.idAt(37))).toEqual(["open", DEPOSIT]);
  });

  test("are told closed where they were taken back, and what lies behind them is found", async () => {
    const lost = await openLost();
    for (const index of [0, 2]) await lost.deposit(index);
    await lost.found();
    const close = () => closeChannel({ ...lost.owner, id: lost.idAt(0) });
    await close();
    await later(901);
    expect((await close()).state).toBe("closed");
    await lost.db.deleteFrom("channels").execute();
    expect(await lost.found()).toEqual(
      new Map([
        [lost.idAt(0), ["closed", 0n]],
        [lost.idAt(2), ["open", DEPOSIT]],
      ]),
    );
    expect((await lost.open({ another: true })).channel.id).toBe(lost.idAt(1));
  });

  test("are the wallet's by its own deposit: what a stranger put in makes none and uses no number", async () => {
    const lost = await openLost();
    await lost.intrude(0, 7n);
    await lost.deposit(1);
    expect(await lost.found()).toEqual(new Map([[lost.idAt(1), ["open", DEPOSIT]]]));
    expect((await lost.open({ another: true })).channel.id).toBe(lost.idAt(0));
    expect((await lost.found()).get(lost.idAt(0))).toEqual(["open", DEPOSIT + 7n]);
  });

  test("are found, and opened, however far a stranger's deposits go on", async () => {
    const lost = await openLost();
    for (let index = 15; index < 1000; index += 16) await lost.intrude(index, 1n);
    await lost.deposit(3);
    expect(await lost.found()).toEqual(new Map([[lost.idAt(3), ["open", DEPOSIT]]]));
    expect((await lost.open({ another: true })).channel.id).toBe(lost.idAt(0));
  });

  test("with one seller are found where the RPC fails for another, which is named", async () => {
    const lost = await openLost();
    await lost.deposit(0);
    const other = { ...SELLER, id: "other", payTo: [`0x${"5d".repeat(20)}`] as const };
    let walks = 0;
    const rpc = await rpcInFront(anvil.rpcUrl, ({ method, params }) => {
      const call = params[0] as { to?: string } | undefined;
      if (method !== "eth_call" || call?.to?.toLowerCase() !== MULTICALL3) return undefined;
      // The walk of the first seller is two calls at once.
      walks += 1;
      return walks <= 2 ? { error: { code: 3, message: "execution reverted" } } : undefined;
    });
    const { channels, unreachable, missed } = await surveyChannels({
      db: lost.db,
      chainOf: () => openChain({ network: NETWORK, rpcUrl: rpc.url, confirmations: 0, pollMilliseconds: 20 }),
      payer: lost.owner.wallet.address,
      sellers: [other, SELLER],
      assets: [asset],
      now: new Date(),
    });
    expect(channels.map(({ row, seen }) => [row.id, seen?.balance])).toEqual([[lost.idAt(0), DEPOSIT]]);
    expect(unreachable).toEqual([]);
    expect(missed).toEqual([{ seller: "other", receiver: other.payTo[0], network: NETWORK, asset: asset.asset }]);
  });

  test("are told missing for what is the matter: an RPC that answers, and has no contract there", async () => {
    const lost = await openLost();
    const rpc = await rpcInFront(anvil.rpcUrl, ({ method }) =>
      ["eth_call", "eth_getCode"].includes(method) ? { result: "0x" } : undefined,
    );
    const { channels, ...told } = await surveyChannels({
      db: lost.db,
      chainOf: () => openChain({ network: NETWORK, rpcUrl: rpc.url, confirmations: 0, pollMilliseconds: 20 }),
      payer: lost.owner.wallet.address,
      sellers: [SELLER],
      assets: [asset],
      now: new Date(),
    });
    expect(channels).toEqual([]);
    expect(told).toEqual({
      unreachable: [],
      faults: [
        {
          network: NETWORK,
          code: "contract_missing",
          message: `There is no contract at ${MULTICALL3} on ${NETWORK}.`,
        },
      ],
      missed: [{ seller: SELLER.id, receiver: SELLER.payTo[0], network: NETWORK, asset: asset.asset }],
    });
  });

  test("and one that was begun is not taken for open by what a stranger put in", async () => {
    const lost = await openLost();
    const { wallet } = lost.owner;
    const broken = { ...wallet, signOwnerCall: () => Promise.reject(new Error("the device was unplugged")) };
    await expect(lost.open({ wallet: broken })).rejects.toThrow("unplugged");
    await lost.intrude(0, 7n);
    expect(await lost.found()).toEqual(new Map([[lost.idAt(0), ["opening", 7n]]]));
    const { channel, sent } = await lost.open();
    expect([channel.id, sent === null]).toEqual([lost.idAt(0), false]);
    expect(await lost.found()).toEqual(new Map([[lost.idAt(0), ["open", DEPOSIT + 7n]]]));
  });
});

describe("T24: a channel whose money was taken back", () => {
  const PRICE = "10000";
  const left = async (db: Db, payer: Address) => (await openChannels(db, SELLER, payer)).map((one) => one.left);
  /** Why a voucher of the price is refused from it, or null. */
  async function refusalOf(db: Db, id: string) {
    const row = await readChannel(db, id);
    if (row === null) throw new Error("it was opened");
    const { network, asset: token, receiver: payTo } = row;
    const terms = { network, asset: token, decimals: 6, amount: PRICE, payTo, maxTimeoutSeconds: 60 };
    const offer = {
      ...terms,
      scheme: "batch-settlement" as const,
      method: "voucher" as const,
      extra: {},
      offerHash: "",
    };
    return voucherRefusal(db, planVoucher(row, offer));
  }
  async function openClosed() {
    const lost = await openLost();
    const { channel } = await lost.open();
    const other = await openDatabase(":memory:");
    onTestFinished(() => other.destroy());
    await other.insertInto("channels").values(channel).execute();
    const close = () => closeChannel({ ...lost.owner, id: channel.id });
    await close();
    await later(901);
    expect((await close()).state).toBe("closed");
    return { ...lost, other, id: channel.id, payer: lost.owner.wallet.address };
  }

  test("grants no more than a stranger puts into it, whatever its deposit was", async () => {
    const purse = await openClosed();
    const { db, id, payer } = purse;
    await purse.intrude(0, 1n);
    expect(await purse.found()).toEqual(new Map([[id, ["open", 1n]]]));
    expect(await left(db, payer)).toEqual([1n]);
    expect(await refusalOf(db, id)).toMatchObject({ code: "channel_exhausted", limit: "1", asked: PRICE });
    // It is used: the owner opens another.
    expect((await purse.open({ another: true })).channel.id).not.toBe(id);
    expect(await left(db, payer)).toEqual([1n, DEPOSIT]);
  });

  test.each(["that noted it", "that lost it"])(
    "keeps no other from being opened for a stranger's base unit in it (in a database %s)",
    async (which) => {
      const purse = await openClosed();
      const { db, id } = purse;
      await purse.intrude(0, 1n);
      await purse.found();
      if (which === "that lost it") await db.deleteFrom("channels").execute();
      const { channel } = await purse.open();
      expect([channel.id, channel.deposit]).toEqual([purse.idAt(1), DEPOSIT.toString()]);
      expect(channel.id).not.toBe(id);
      // Its own money is in the way of a third.
      await expect(purse.open()).rejects.toMatchObject({
        code: "channel_already_open",
        money: "not-moved",
        details: { channel: channel.id },
      });
    },
  );

  test("keeps another from being opened by a hundredth of the wish, and by no less", async () => {
    const purse = await openLost();
    const { channel } = await purse.open();
    const leave = (left: bigint) =>
      purse.db
        .updateTable("channels")
        .set({ charged: String(DEPOSIT - left) })
        .where("id", "=", channel.id)
        .execute();
    await leave(DEPOSIT / 100n);
    await expect(purse.open()).rejects.toMatchObject({ code: "channel_already_open" });
    await leave(DEPOSIT / 100n - 1n);
    expect((await purse.open()).channel.id).toBe(purse.idAt(1));
  });

  test("grants nothing where less is in it than the seller was granted", async () => {
    const purse = await openClosed();
    const { db, id, payer } = purse;
    await db.updateTable("channels").set({ charged: "30000" }).where("id", "=", id).execute();
    await purse.intrude(0, 1n);
    await purse.found();
    expect(await left(db, payer)).toEqual([0n]);
    expect(await refusalOf(db, id)).toMatchObject({ code: "channel_exhausted", limit: "0" });
  });

  test("grants nothing in another database, once that has looked at the chain", async () => {
    const { other, id, payer } = await openClosed();
    await other.updateTable("channels").set({ state: "open" }).execute();
    expect(await left(other, payer)).toEqual([DEPOSIT]);
    await readClaims(other, new Map([[NETWORK, chain]]), new Date());
    expect(await left(other, payer)).toEqual([0n]);
    expect(await refusalOf(other, id)).toMatchObject({ code: "channel_exhausted", limit: "0" });
  });
});
