import {
  createWalletClient,
  decodeFunctionResult,
  encodeFunctionResult,
  http,
  multicall3Abi,
  parseTransaction,
  toFunctionSelector,
  type Hex,
} from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { foundry } from "viem/chains";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Anvil, Bank } from "../../src/devnet/index.ts";
import { Proof402Error } from "../../src/errors.ts";
import { keccak256, fromHex0x, toHex0x } from "../../src/evidence/bytes.ts";
import { approvePermit2 } from "../../src/payment/allowance.ts";
import { openChain, type Chain } from "../../src/chain/chain.ts";
import { openClient } from "../../src/chain/client.ts";
import { closeChannel, openChannel } from "../../src/payment/channel-owner.ts";
import { CHANNELS } from "../../src/evidence/channel.ts";
import type { AssetPolicy } from "../../src/payment/policy.ts";
import type { Wallet } from "../../src/payment/wallet.ts";
import { DEPOSIT, errorOf, only, NETWORK, openOwners, SELLER, swallowing, type Liar } from "../support/owners.ts";
import { rpcInFront, type RpcCall } from "../support/rpc.ts";

type Owners = Awaited<ReturnType<typeof openOwners>>;

let anvil: Anvil;
let bank: Bank;
let asset: AssetPolicy;
let chainNow: () => Promise<Date>;
let openOwner: Owners["openOwner"];
beforeAll(async () => {
  ({ anvil, bank, asset, chainNow, openOwner } = await openOwners());
});
afterAll(() => anvil.stop());

/** As many zeros. */
const nothingOf = (answer: Hex): Hex => `0x${"00".repeat(answer.length / 2 - 1)}`;
const KINDS = ["approve", "deposit", "anchor"] as const;

describe("T41: an owner's transaction whose answer is lost", () => {
  test.each(KINDS)("%s is made once, and its outcome is told from the chain", async (kind) => {
    const owner = await openOwner({
      async lie({ method }, honest) {
        if (method !== "eth_sendRawTransaction") return undefined;
        await honest();
        return { status: 502, body: "bad gateway" };
      },
    });
    await owner.wishes[kind]();
    expect(await owner.mined()).toBe(owner.raws().length);
    expect((await owner.rows()).map(({ state }) => state)).toEqual(owner.raws().map(() => "done"));
    expect(await owner.left()).toBe(kind === "deposit" ? DEPOSIT : 0n);
  });

  test.each(KINDS)(
    "%s that never reached a block is sent again as it was signed, and no other is signed",
    async (kind) => {
      const owner = await openOwner({ lie: swallowing });
      const error = await errorOf(owner.wishes[kind]());
      const [raw] = owner.raws();
      const hash = toHex0x(keccak256(fromHex0x(raw ?? "0x")));
      const money = kind === "deposit" ? "may-move" : "not-moved";
      expect(error).toMatchObject({ code: "transaction_undecided", money, details: { transaction: hash } });
      expect(error.message).toContain(hash);
      expect((await errorOf(owner.wishes[kind]())).details).toMatchObject({ transaction: hash });
      // Nor is one for another wish: it would have to take the same place.
      expect((await errorOf(owner.wishes[kind === "approve" ? "deposit" : "approve"]())).details).toMatchObject({
        transaction: hash,
      });
      expect(owner.raws()).toEqual([raw]);
      owner.lieNow(undefined);
      await owner.wishes[kind]();
      const { status } = await bank.client.getTransactionReceipt({ hash });
      expect([status, owner.raws()[0], await owner.mined()]).toEqual(["success", raw, owner.raws().length]);
      expect(owner.raws().length).toBe(kind === "anchor" ? 2 : 1);
      expect(await owner.left()).toBe(kind === "deposit" ? DEPOSIT : 0n);
    },
  );

  test("was noted, bytes and all, before it left", async () => {
    const noted: unknown[] = [];
    const owner = await openOwner({
      async lie({ method, params }) {
        if (method === "eth_sendRawTransaction") noted.push([params[0], (await owner.rows()).map(({ raw }) => raw)]);
        return undefined;
      },
    });
    await owner.wishes.approve();
    const [raw] = owner.raws();
    expect(noted).toEqual([[raw, [raw]]]);
  });

  test("is not told as done, nor as failed, while its receipt does not come", async () => {
    const owner = await openOwner({
      lie: only("eth_getTransactionReceipt", { error: { code: -32005, message: "limit exceeded" } }),
    });
    expect(await errorOf(owner.wishes.deposit())).toMatchObject({ code: "transaction_undecided", money: "may-move" });
    expect(await owner.left()).toBe(DEPOSIT);
    owner.lieNow(undefined);
    const { channel, sent } = await owner.wishes.deposit();
    expect([channel.state, sent?.transaction]).toEqual(["open", (await owner.rows())[0]?.hash]);
    expect([await owner.left(), await owner.mined()]).toEqual([DEPOSIT, 1]);
  });

  test("is not told as failed where the chain shows its nonce used before it shows its receipt", async () => {
    let kept = 3;
    const owner = await openOwner({
      async lie({ method }, honest) {
        if (method !== "eth_getTransactionReceipt" || (await honest()) === null || kept === 0) return undefined;
        kept -= 1;
        return { result: null };
      },
    });
    await owner.wishes.approve();
    expect([kept, (await owner.rows()).map(({ state }) => state)]).toEqual([0, ["done"]]);
  });

  test("wished for by two commands at once is made once", async () => {
    const owner = await openOwner();
    await Promise.allSettled([owner.wishes.deposit(), owner.wishes.deposit(), owner.wishes.deposit()]);
    expect([await owner.mined(), await owner.left()]).toEqual([1, DEPOSIT]);
  });

  test("a second deposit for one wish is refused by the chain, whatever the RPC says of the first", async () => {
    const owner = await openOwner();
    await owner.wishes.deposit();
    // The database is gone, and the RPC shows a channel that nothing was put into and an authorization never used.
    const liar = await openOwner({
      wallet: owner.wallet,
      async lie({ method, params }, honest) {
        const { to, data = "" } = (params[0] ?? {}) as { to?: string; data?: string };
        if (method !== "eth_call" || (to?.toLowerCase() === asset.asset && !data.startsWith("0xe94a0102")))
          return undefined;
        const answer = (await honest()) as Hex;
        if (!data.startsWith("0x82ad56cb")) return { result: nothingOf(answer) };
        const many = { abi: multicall3Abi, functionName: "aggregate3" } as const;
        const results = decodeFunctionResult({ ...many, data: answer });
        const nothing = results.map(({ returnData }) => ({
          success: true,
          returnData: nothingOf(returnData),
        }));
        return { result: encodeFunctionResult({ ...many, result: nothing }) };
      },
    });
    const { code } = await errorOf(liar.wishes.deposit());
    expect([code, await owner.left()]).toEqual(["transaction_failed", DEPOSIT]);
  });
});

describe("T42: an RPC that would make the owner pay", () => {
  const hex = (value: bigint): string => `0x${value.toString(16)}`;
  const absurd: [string, Liar][] = [
    ["the tip", only("eth_maxPriorityFeePerGas", { result: hex(10n ** 16n) })],
    ["the gas", only("eth_estimateGas", { result: hex(10n ** 9n) })],
    [
      "the base fee",
      async ({ method }, honest) =>
        method === "eth_getBlockByNumber"
          ? { result: { ...((await honest()) as object), baseFeePerGas: hex(10n ** 15n) } }
          : undefined,
    ],
  ];
  test.each(KINDS.flatMap((kind) => absurd.map(([what, lie]) => [what, kind, lie] as const)))(
    "by absurd fees (%s of %s) is refused by the cap, and nothing is signed",
    async (_what, kind, lie) => {
      const owner = await openOwner({ lie });
      const before = await bank.client.getBalance({ address: owner.wallet.address });
      expect(await errorOf(owner.wishes[kind]())).toMatchObject({ code: "gas_cost_too_high", money: "not-moved" });
      expect([owner.raws(), await owner.rows(), await owner.left()]).toEqual([[], [], 0n]);
      expect(await bank.client.getBalance({ address: owner.wallet.address })).toBe(before);
    },
  );

  test("pays at most what was asked for, and the cap is the configuration's", async () => {
    const owner = await openOwner();
    const asked: bigint[] = [];
    const before = await bank.client.getBalance({ address: owner.wallet.address });
    const { sent } = await approvePermit2({
      ...owner.owner,
      asset,
      amount: 1n,
      confirm: (atMost) => Promise.resolve(void asked.push(atMost)),
    });
    const cost = before - (await bank.client.getBalance({ address: owner.wallet.address }));
    expect([sent?.cost, asked.length]).toEqual([cost, 1]);
    expect(cost).toBeLessThanOrEqual(asked[0] ?? 0n);
    const chain = openChain({
      network: NETWORK,
      rpcUrl: anvil.rpcUrl,
      confirmations: 0,
      pollMilliseconds: 20,
      maxGasCost: "0.000001",
    });
    expect(await errorOf(approvePermit2({ ...owner.owner, chain, asset, amount: 2n }))).toMatchObject({
      code: "gas_cost_too_high",
      details: { limit: "0.000001" },
    });
  });

  test("declined by the owner, signs nothing and notes no channel", async () => {
    const owner = await openOwner();
    const confirm = () =>
      Promise.reject(new Proof402Error("approval_declined", "Nothing was signed.", { next: "Nothing to do." }));
    const wallet: Wallet = {
      ...owner.wallet,
      signDeposit: () => Promise.reject(new Error("it was not to be signed")),
      signOwnerCall: () => Promise.reject(new Error("it was not to be signed")),
    };
    for (const work of [
      approvePermit2({ ...owner.owner, wallet, confirm, asset, amount: 1n }),
      openChannel({ ...owner.owner, wallet, confirm, seller: SELLER, asset, amount: DEPOSIT, now: await chainNow() }),
    ])
      expect(await errorOf(work)).toMatchObject({ code: "approval_declined" });
    expect(await owner.db.selectFrom("channels").selectAll().execute()).toEqual([]);
  });
});

describe("T43: an RPC that lies about the account", () => {
  test("by another chain's id does not get a transaction for that chain", async () => {
    const owner = await openOwner({ lie: only("eth_chainId", { result: "0x1" }) });
    // Not even where nothing looks at the id.
    const { url } = await rpcInFront(anvil.rpcUrl, only("eth_chainId", { result: "0x1" }));
    const client = await openClient({ url, timeoutMs: 10_000, retries: 1 });
    const chain: Chain = { ...owner.owner.chain, read: (work) => work(client) };
    const noted = { ...owner.owner, chain };
    await approvePermit2({ ...noted, asset, amount: 1n });
    await openChannel({ ...noted, seller: SELLER, asset, amount: DEPOSIT, now: await chainNow() });
    const signed = (await owner.rows()).map(({ raw }) => parseTransaction(raw).chainId);
    expect([signed, await owner.mined(), await owner.left()]).toEqual([[31337, 31337], 2, DEPOSIT]);
  });

  test("by too high a nonce holds that transaction up, and no other", async () => {
    const owner = await openOwner({ lie: only("eth_getTransactionCount", { result: "0x9" }) });
    expect(await errorOf(owner.wishes.deposit())).toMatchObject({ code: "transaction_undecided", money: "may-move" });
    owner.lieNow(undefined);
    // The same wish is never signed twice.
    expect(await errorOf(owner.wishes.deposit())).toMatchObject({ code: "transaction_undecided" });
    await owner.wishes.approve();
    expect([await owner.mined(), await owner.left()]).toEqual([1, 0n]);
    expect((await owner.rows()).map(({ state }) => state)).toEqual(["undecided", "done"]);
  });

  test("by too low a nonce gets nothing done twice: the next command makes it good", async () => {
    const owner = await openOwner();
    await owner.wishes.approve();
    owner.lieNow(({ method, params }) =>
      method === "eth_getTransactionCount" && params[1] === "pending" ? { result: "0x0" } : undefined,
    );
    expect(await errorOf(owner.wishes.deposit())).toMatchObject({ code: "transaction_failed", money: "may-move" });
    expect((await owner.rows()).at(-1)?.state).toBe("replaced");
    owner.lieNow(undefined);
    await owner.wishes.deposit();
    expect([await owner.mined(), await owner.left()]).toEqual([2, DEPOSIT]);
  });

  test("by an empty balance of coin or token is refused before anything is signed, and a full one changes nothing", async () => {
    const poor = await openOwner({ lie: only("eth_getBalance", { result: "0x0" }) });
    expect(await errorOf(poor.wishes.approve())).toMatchObject({ code: "gas_missing", money: "not-moved" });
    expect([poor.raws(), await poor.rows()]).toEqual([[], []]);
    const penniless = await openOwner();
    const deposit = openChannel({
      ...penniless.owner,
      seller: SELLER,
      asset: { ...asset, total: "99000000" },
      amount: 20_000_000n,
      now: await chainNow(),
    });
    expect(await errorOf(deposit)).toMatchObject({ code: "insufficient_funds", money: "not-moved" });
    expect([penniless.raws(), await penniless.left()]).toEqual([[], 0n]);
  });

  test("a withdrawal is asked for and taken once, whatever is lost on the way", async () => {
    const owner = await openOwner();
    const { channel } = await owner.wishes.deposit();
    const close = () => closeChannel({ ...owner.owner, id: channel.id });
    owner.lieNow(swallowing);
    expect(await errorOf(close())).toMatchObject({ code: "transaction_undecided" });
    expect(await errorOf(close())).toMatchObject({ code: "transaction_undecided" });
    expect(owner.raws().length).toBe(2);
    owner.lieNow(undefined);
    expect((await close()).state).toBe("closing");
    expect(await errorOf(close())).toMatchObject({ code: "withdrawal_waiting" });
    await bank.client.request({ method: "evm_increaseTime" as never, params: [901] as never });
    await bank.client.request({ method: "evm_mine" as never, params: [] as never });
    owner.lieNow(swallowing);
    expect(await errorOf(close())).toMatchObject({ code: "transaction_undecided" });
    owner.lieNow(undefined);
    expect((await close()).state).toBe("closed");
    expect([await owner.mined(), await owner.left()]).toEqual([3, 0n]);
    expect(await errorOf(close())).toMatchObject({ code: "channel_empty" });
  });
});

describe("T43: an RPC that is shown a deposit's authorization", () => {
  /** The authorization, once it is signed, and the input of a request that shows it. */
  async function openShown() {
    let signature: Hex | null = null;
    const owner = await openOwner();
    const wallet: Wallet = {
      ...owner.wallet,
      async signDeposit(...call) {
        signature = await owner.wallet.signDeposit(...call);
        return signature;
      },
    };
    const open = async () =>
      openChannel({ ...owner.owner, wallet, seller: SELLER, asset, amount: DEPOSIT, now: await chainNow() });
    const shown = (call: RpcCall): Hex | null => {
      if (signature === null || !JSON.stringify(call).includes(signature.slice(2))) return null;
      const [first] = call.params as [Hex | { data: Hex }];
      return typeof first === "string" ? (parseTransaction(first).data ?? null) : first.data;
    };
    const thief = createWalletClient({
      account: privateKeyToAccount(await bank.fundedKey()),
      chain: foundry,
      transport: http(anvil.rpcUrl),
    });
    /** Makes the deposit with it, in the owner's place. */
    const frontRun = async (data: Hex): Promise<void> => {
      const hash = await thief.sendTransaction({ to: CHANNELS, data });
      await bank.client.waitForTransactionReceipt({ hash });
    };
    return { ...owner, open, shown, frontRun };
  }

  test("sees it with the transaction only, which the journal has by then", async () => {
    const owner = await openShown();
    const seen: unknown[] = [];
    owner.lieNow(async (call) => {
      if (owner.shown(call) !== null) seen.push([call.method, (await owner.rows()).map(({ raw }) => raw)]);
      return undefined;
    });
    await owner.open();
    expect(seen).toEqual([["eth_sendRawTransaction", owner.raws()]]);
  });

  test("and uses it first and passes the transaction on, does not hide where the money is", async () => {
    const owner = await openShown();
    owner.lieNow(async (call) => {
      const data = owner.shown(call);
      if (data !== null) await owner.frontRun(data);
      return undefined;
    });
    expect(await owner.open()).toMatchObject({ channel: { state: "open" }, sent: null });
    expect(await errorOf(owner.open())).toMatchObject({ code: "channel_already_open", money: "not-moved" });
    expect([await owner.left(), (await owner.rows()).map(({ state }) => state)]).toEqual([DEPOSIT, ["reverted"]]);
  });

  test("and uses it and answers with an error, is not believed that nothing moved", async () => {
    const owner = await openShown();
    let used = 0;
    owner.lieNow(async (call) => {
      const data = owner.shown(call);
      if (data === null) return undefined;
      if (used++ === 0) await owner.frontRun(data);
      return { error: { code: 3, message: "execution reverted" } };
    });
    expect(await errorOf(owner.open())).toMatchObject({ code: "transaction_undecided", money: "may-move" });
    expect(await owner.left()).toBe(DEPOSIT);
    owner.lieNow(undefined);
    expect(await owner.open()).toMatchObject({ channel: { state: "open" }, sent: null });
    expect([await owner.left(), (await owner.rows()).map(({ state }) => state)]).toEqual([DEPOSIT, ["reverted"]]);
  });

  test("and shows a block that turned it down, gets no word that the money is safe", async () => {
    const owner = await openShown();
    let kept: Hex | null = null;
    owner.lieNow(async (call) => {
      kept ??= owner.shown(call);
      if (kept === null) return undefined;
      if (call.method === "eth_sendRawTransaction") return { result: `0x${"ab".repeat(32)}` };
      if (call.method !== "eth_getTransactionReceipt") return undefined;
      const { hash, number } = await bank.client.getBlock();
      return {
        result: {
          ...(await bank.client.request({ method: "eth_getTransactionReceipt", params: [await anyTransaction()] })),
          transactionHash: call.params[0],
          blockHash: hash,
          blockNumber: `0x${number.toString(16)}`,
          status: "0x0",
        },
      };
    });
    const error = await errorOf(owner.open());
    expect(error).toMatchObject({ code: "transaction_failed", money: "may-move" });
    expect(error.message).toContain("others can make the deposit until");
    expect(await owner.left()).toBe(0n);
    await owner.frontRun(kept ?? "0x");
    owner.lieNow(undefined);
    expect(await owner.open()).toMatchObject({ channel: { state: "open" }, sent: null });
    expect([await owner.left(), await owner.mined()]).toEqual([DEPOSIT, 0]);
  });
});

/** The hash of a transaction that is in a block. */
async function anyTransaction(): Promise<Hex> {
  const hash = (await bank.client.getBlock({ blockNumber: 1n })).transactions[0];
  if (hash === undefined) throw new Error("the bank's first block holds a transaction");
  return hash;
}

describe("T24: an RPC's clock and a deposit", () => {
  const ahead =
    (seconds: number): Liar =>
    async ({ method }, honest) => {
      if (method !== "eth_getBlockByNumber") return undefined;
      const block = (await honest()) as { timestamp: Hex };
      return { result: { ...block, timestamp: `0x${(Number(block.timestamp) + seconds).toString(16)}` } };
    };

  test.each([1_800, 315_360_000, 10_000_000_000_000])(
    "%s s ahead of ours: no authorization is signed that would live as long as the RPC says",
    async (seconds) => {
      const owner = await openOwner({ lie: ahead(seconds) });
      const error = await errorOf(owner.wishes.deposit());
      expect(error.code).toBe("clock_disagrees");
      expect([owner.raws(), await owner.rows(), await owner.left()]).toEqual([[], [], 0n]);
      expect(await owner.db.selectFrom("channels").selectAll().execute()).toEqual([]);
    },
  );

  test("a little ahead of ours: the deposit is made", async () => {
    const owner = await openOwner({ lie: ahead(600) });
    expect((await owner.wishes.deposit()).channel.state).toBe("open");
    expect(await owner.left()).toBe(DEPOSIT);
  });

  test("a withdrawal's time that no contract can hold is no answer", async () => {
    const owner = await openOwner();
    const { channel } = await owner.wishes.deposit();
    const selector = toFunctionSelector("pendingWithdrawals(bytes32)");
    owner.lieNow(({ method, params }) => {
      const call = params[0] as { data?: string } | undefined;
      if (method !== "eth_call" || call?.data?.startsWith(selector) !== true) return undefined;
      return { result: `0x${[1n, 2n ** 50n].map((word) => word.toString(16).padStart(64, "0")).join("")}` };
    });
    expect((await errorOf(closeChannel({ ...owner.owner, id: channel.id }))).code).toBe("chain_answer_unusable");
  });
});

describe("T37: an RPC that names no chain, or another, to an owner's command", () => {
  test.each(["0x20000000000007a69", "0x", "0xzz", "-0x7a69", 31337])(
    "%j: nothing is signed or sent",
    async (result) => {
      const owner = await openOwner({ lie: ({ method }) => (method === "eth_chainId" ? { result } : undefined) });
      for (const name of ["approve", "deposit"] as const) {
        const error = await errorOf(owner.wishes[name]());
        expect([error.code, error.money]).toEqual(["wrong_chain", undefined]);
      }
      expect([owner.raws(), await owner.rows(), await owner.left()]).toEqual([[], [], 0n]);
    },
  );
});
