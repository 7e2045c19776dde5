import { createTestClient, createWalletClient, http, type Hex } from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { foundry } from "viem/chains";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { openChain } from "../../src/chain/chain.ts";
import { lookUp, sendOwnerCall } from "../../src/chain/owner/send.ts";
import { noteTold } from "../../src/chain/owner/transactions.ts";
import type { Anvil, Bank } from "../../src/devnet/index.ts";
import { Proof402Error } from "../../src/errors.ts";
import { approvePermit2 } from "../../src/payment/allowance.ts";
import { closeChannel } from "../../src/payment/channel-owner.ts";
import { refreshChannel, surveyChannels } from "../../src/payment/channel-recover.ts";
import { readOnChain } from "../../src/payment/channel-state.ts";
import { configOf, openChannels, readChannel } from "../../src/payment/channels.ts";
import type { AssetPolicy } from "../../src/payment/policy.ts";
import { errorText } from "../../src/tools/outcome.ts";
import { DEPOSIT, errorOf, NETWORK, only, openOwners, SELLER, swallowing } from "../support/owners.ts";
import { rpcInFront } from "../support/rpc.ts";

type Owners = Awaited<ReturnType<typeof openOwners>>;
type Opened = Awaited<ReturnType<Owners["openOwner"]>>;
let anvil: Anvil;
let bank: Bank;
let asset: AssetPolicy;
let real: Owners["real"];
let chainNow: Owners["chainNow"];
let openOwner: Owners["openOwner"];
beforeAll(async () => {
  ({ anvil, bank, asset, real, chainNow, openOwner } = await openOwners());
});
afterAll(() => anvil.stop());

const anvilClient = () => createTestClient({ chain: foundry, transport: http(anvil.rpcUrl), mode: "anvil" });
/** Blocks hold a transaction, and this owner's RPC does not say so. */
const hiding = only("eth_getTransactionReceipt", { error: { code: -32005, message: "limit exceeded" } });
const UNDECIDED = { code: "transaction_undecided" };

/** What an owner may do between two runs of a command. */
const LOOKS = {
  "no look": () => Promise.resolve(),
  "`wallet show`": ({ owner }: Opened) => lookUp(owner),
  "`channel list`": async ({ owner, wallet, db }: Opened) =>
    surveyChannels({
      db,
      chainOf: () => owner.chain,
      payer: wallet.address,
      sellers: [SELLER],
      assets: [asset],
      now: await chainNow(),
    }),
};
const looks = Object.keys(LOOKS) as (keyof typeof LOOKS)[];

describe("T41: a wish that was told undecided, and is run again as told", () => {
  test.each(looks)("another channel, after %s, is one deposit, and the next wish is a new one", async (look) => {
    const owner = await openOwner();
    const another = () => owner.wishes.deposit({ another: true });
    const first = await owner.wishes.deposit();
    owner.lieNow(hiding);
    expect(await errorOf(another())).toMatchObject({ ...UNDECIDED, money: "may-move" });
    owner.lieNow(undefined);
    await LOOKS[look](owner);
    const { channel, sent } = await another();
    expect([channel.state, channel.id === first.channel.id]).toEqual(["open", false]);
    expect(sent).toMatchObject({ transaction: (await owner.rows()).at(-1)?.hash, earlier: true });
    expect([await owner.left(), await owner.mined()]).toEqual([2n * DEPOSIT, 2]);
    const third = await another();
    expect([third.channel.id === channel.id, third.sent?.earlier]).toEqual([false, false]);
    expect([await owner.left(), await owner.mined()]).toEqual([3n * DEPOSIT, 3]);
  });

  test.each(looks)("a posting, after %s, is one transaction", async (look) => {
    const owner = await openOwner();
    // The request is decided, its answer is not.
    owner.lieNow(({ method }) =>
      method === "eth_getTransactionReceipt" && owner.raws().length === 2 ? HIDDEN : undefined,
    );
    expect(await errorOf(owner.wishes.anchor())).toMatchObject({ ...UNDECIDED, money: "not-moved" });
    owner.lieNow(undefined);
    await LOOKS[look](owner);
    const { transaction, earlier } = await owner.wishes.anchor();
    expect([transaction, earlier]).toEqual([(await owner.rows()).at(-1)?.hash, true]);
    expect(await owner.mined()).toBe(2);
    expect((await owner.wishes.anchor()).earlier).toBe(false);
    expect(await owner.mined()).toBe(3);
  });

  test.each(looks)(
    "an allowance, after %s, is one transaction, though another program changed it since",
    async (look) => {
      const key = await bank.fundedKey();
      const owner = await openOwner({ key });
      owner.lieNow(hiding);
      expect(await errorOf(owner.wishes.approve())).toMatchObject({ ...UNDECIDED, money: "not-moved" });
      owner.lieNow(undefined);
      await LOOKS[look](owner);
      const other = await openOwner({ wallet: owner.wallet });
      await approvePermit2({ ...other.owner, asset, amount: 4_000_000n });
      expect(await owner.wishes.approve()).toMatchObject({
        sent: { transaction: (await owner.rows())[0]?.hash, earlier: true },
        allowance: 4_000_000n,
      });
      expect(await owner.mined()).toBe(2);
      expect(await owner.wishes.approve()).toMatchObject({ sent: { earlier: false }, allowance: 5_000_000n });
    },
  );

  test("an allowance is told as it is once the owner has set another since", async () => {
    const owner = await openOwner();
    owner.lieNow(hiding);
    expect(await errorOf(owner.wishes.approve())).toMatchObject(UNDECIDED);
    owner.lieNow(undefined);
    await approvePermit2({ ...owner.owner, asset, amount: 0n });
    expect(await owner.wishes.approve()).toMatchObject({ sent: { earlier: false }, allowance: 5_000_000n });
    expect([await owner.allowance(), await owner.mined()]).toEqual([5_000_000n, 3]);
  });

  test.each(looks)("money taken back, after %s, is told with its transaction", async (look) => {
    const owner = await openOwner();
    const before = await anvilClient().snapshot();
    onTestFinished(() => anvilClient().revert({ id: before }));
    const { channel } = await owner.wishes.deposit();
    const close = () => closeChannel({ ...owner.owner, id: channel.id });
    for (const state of ["closing", "closed"]) {
      owner.lieNow(hiding);
      expect(await errorOf(close())).toMatchObject(UNDECIDED);
      owner.lieNow(undefined);
      await LOOKS[look](owner);
      expect(await close()).toMatchObject({ state, transaction: (await owner.rows()).at(-1)?.hash, earlier: true });
      await anvilClient().increaseTime({ seconds: 901 });
      await anvilClient().mine({ blocks: 1 });
    }
    expect([await owner.left(), await owner.mined()]).toEqual([0n, 3]);
    expect(await errorOf(close())).toMatchObject({ code: "channel_empty" });
  });

  test("a call is not made again before its outcome is told, though the command ended in another's error", async () => {
    const { owner, db, mined } = await openOwner();
    const call = { kind: "approve", asset: asset.asset, amount: 3n } as const;
    const { transaction, earlier } = await sendOwnerCall(owner, call);
    expect(await sendOwnerCall(owner, call)).toMatchObject({ transaction, earlier: true });
    expect([earlier, await mined()]).toEqual([false, 1]);
    await noteTold(db, transaction);
    expect((await sendOwnerCall(owner, call)).earlier).toBe(false);
    expect(await mined()).toBe(2);
  });

  test.each(["no look", "`wallet show`"] as const)("and failed, after %s, is told as failed once", async (look) => {
    const key = await bank.fundedKey();
    const owner = await openOwner({ key, lie: swallowing });
    const { details } = await errorOf(owner.wishes.approve());
    owner.lieNow(undefined);
    await sendNothing(key);
    await LOOKS[look](owner);
    const error = await errorOf(owner.wishes.approve());
    expect(error).toMatchObject({ code: "transaction_failed", money: "not-moved" });
    expect([error.message, owner.raws().length]).toEqual([expect.stringContaining(String(details["transaction"])), 1]);
    await owner.wishes.approve();
    expect([await owner.allowance(), await owner.mined()]).toEqual([5_000_000n, 2]);
  });
});

describe("T41: a transaction behind one of a lower nonce that was lost", () => {
  /** One of each kind, which waits for its turn. */
  async function openStuck(kind: "approve" | "deposit" | "anchor") {
    const key = await bank.fundedKey();
    const owner = await openOwner({ key });
    owner.lieNow(({ method, params }) =>
      method === "eth_getTransactionCount" && params[1] === "pending"
        ? { result: "0x1" }
        : swallowing({ id: 0, method, params }, () => Promise.resolve(null)),
    );
    const { details } = await errorOf(owner.wishes[kind]());
    owner.lieNow(undefined);
    return { ...owner, key, stands: String(details["transaction"]) };
  }

  test("is never passed over by another about the same allowance: each is told that it stands, and how it goes on", async () => {
    const owner = await openStuck("approve");
    for (const amount of [5_000_000n, 0n, 1_000_000n]) {
      const error = await errorOf(approvePermit2({ ...owner.owner, asset, amount }));
      expect(error).toMatchObject({
        ...UNDECIDED,
        money: "not-moved",
        details: { transaction: owner.stands, nonce: 1 },
      });
      expect(errorText(error)).toMatch(
        /stands: .* with every nonce from 0 to 0, and shows none\..*Send transactions with those nonces/,
      );
    }
    expect([await owner.mined(), (await owner.rows()).length]).toEqual([0, 1]);
    // As told.
    await sendNothing(owner.key);
    expect((await owner.wishes.approve()).sent).toMatchObject({ transaction: owner.stands, earlier: true });
    await approvePermit2({ ...owner.owner, asset, amount: 1_000_000n });
    expect([await owner.allowance(), await owner.mined()]).toEqual([1_000_000n, 3]);
  });

  test("holds up what is about the same channel or verdict, and nothing else", async () => {
    const stuck = await openStuck("deposit");
    const [row] = await stuck.db.selectFrom("channels").selectAll().execute();
    for (const work of [
      () => stuck.wishes.deposit(),
      () => stuck.wishes.deposit({ another: true }),
      () => closeChannel({ ...stuck.owner, id: row?.id ?? "" }),
    ])
      expect(await errorOf(work())).toMatchObject({
        ...UNDECIDED,
        money: "may-move",
        details: { transaction: stuck.stands },
      });
    expect(await stuck.mined()).toBe(0);
    await stuck.wishes.approve();
    expect((await stuck.wishes.deposit()).sent?.transaction).toBe(stuck.stands);
    expect([await stuck.left(), await stuck.mined()]).toEqual([DEPOSIT, 2]);
    const posting = await openStuck("anchor");
    expect((await errorOf(posting.wishes.anchor())).details).toMatchObject({ transaction: posting.stands });
    expect(await posting.mined()).toBe(0);
  });
});

describe("T41: what is noted of a channel while another command asks its money back", () => {
  /** Vouchers may be signed from these. */
  const payable = async ({ db, wallet }: Opened): Promise<number> =>
    (await openChannels(db, SELLER, wallet.address)).length;
  const askedBack = async ({ db }: Opened, id: string): Promise<boolean> => {
    const row = await readChannel(db, id);
    return row !== null && (await readOnChain(real, configOf(row))).withdrawal !== null;
  };

  test.each(["yes", "no"] as const)(
    "a close that waited at its question, answered %s, changes nothing",
    async (answer) => {
      const owner = await openOwner();
      const { channel } = await owner.wishes.deposit();
      const question = gate();
      const asked = gate();
      const confirm = async (): Promise<void> => {
        asked.resolve();
        await question.promise;
      };
      const first = errorOf(closeChannel({ ...owner.owner, confirm, id: channel.id }));
      await asked.promise;
      // Nobody has agreed yet.
      expect(await payable(owner)).toBe(1);
      expect((await closeChannel({ ...owner.owner, id: channel.id })).state).toBe("closing");
      if (answer === "yes") question.resolve();
      else question.reject(declined());
      expect(await first).toMatchObject(
        answer === "yes" ? { ...UNDECIDED, money: "not-moved" } : { code: "approval_declined" },
      );
      expect([await askedBack(owner, channel.id), await payable(owner), await owner.mined()]).toEqual([true, 0, 2]);
      expect(await errorOf(closeChannel({ ...owner.owner, id: channel.id }))).toMatchObject({
        code: "withdrawal_waiting",
      });
    },
  );

  test("a close that is declined leaves the channel as it is", async () => {
    const owner = await openOwner();
    const { channel } = await owner.wishes.deposit();
    const confirm = () => Promise.reject(new Error("no"));
    await expect(closeChannel({ ...owner.owner, confirm, id: channel.id })).rejects.toThrow("no");
    expect([await payable(owner), await owner.mined()]).toEqual([1, 1]);
  });

  test("a look that began before the close and ends after it is older news", async () => {
    const owner = await openOwner();
    const { channel } = await owner.wishes.deposit();
    const [read, closed] = [gate(), gate()];
    const slow = await rpcInFront(anvil.rpcUrl, async ({ method }, honest) => {
      if (method !== "eth_call") return undefined;
      const result = await honest();
      read.resolve();
      await closed.promise;
      return { result };
    });
    const chain = openChain({ network: NETWORK, rpcUrl: slow.url, confirmations: 0, pollMilliseconds: 20 });
    const look = refreshChannel(owner.db, chain, channel, new Date());
    await read.promise;
    await closeChannel({ ...owner.owner, id: channel.id });
    closed.resolve();
    expect((await look).state).toBe("closing");
    expect([await askedBack(owner, channel.id), await payable(owner)]).toEqual([true, 0]);
  });

  test("a look by an RPC that lags behind the close is older news", async () => {
    const owner = await openOwner();
    const { channel } = await owner.wishes.deposit();
    const block = `0x${(await bank.client.getBlockNumber()).toString(16)}`;
    await closeChannel({ ...owner.owner, id: channel.id });
    const behind = await bank.client.request({ method: "eth_getBlockByNumber", params: [block as Hex, false] });
    owner.lieNow(({ method }) => (method === "eth_getBlockByNumber" ? { result: behind } : undefined));
    expect((await refreshChannel(owner.db, owner.owner.chain, channel, new Date())).seen.withdrawal).toBeNull();
    expect([await askedBack(owner, channel.id), await payable(owner)]).toEqual([true, 0]);
  });

  test("a close whose transaction can never be in a block leaves the channel open", async () => {
    const key = await bank.fundedKey();
    const owner = await openOwner({ key });
    const { channel } = await owner.wishes.deposit();
    const close = () => closeChannel({ ...owner.owner, id: channel.id });
    owner.lieNow(swallowing);
    expect(await errorOf(close())).toMatchObject({ ...UNDECIDED, money: "not-moved" });
    expect(await payable(owner)).toBe(0);
    owner.lieNow(undefined);
    await sendNothing(key);
    expect(await errorOf(close())).toMatchObject({ code: "transaction_failed", money: "not-moved" });
    expect([await askedBack(owner, channel.id), await payable(owner)]).toEqual([false, 1]);
  });
});

describe("T41: the words for an undecided transaction", () => {
  const told = {
    approve: "No money moved. Run",
    deposit: "Money may still move by what was signed; no spending cap counts it.",
    anchor: "No money moved. Run",
  };
  const effect = {
    approve: "may still change what Permit2 may move, and moves no money",
    deposit: "may still put its money into the channel",
    anchor: "may still write to the registry, and moves no money",
  };
  test.each(["approve", "deposit", "anchor"] as const)("say what is true of it (%s)", async (kind) => {
    const owner = await openOwner({ lie: swallowing });
    const text = errorText(await errorOf(owner.wishes[kind]()));
    expect(text).toContain(told[kind]);
    expect(text).toContain(effect[kind]);
    expect(text).toMatch(/Its gas may cost up to 0\.\d+ coins\./);
    expect(text).not.toMatch(/authorization of this call|counts as spent/);
  });
});

const HIDDEN = { error: { code: -32005, message: "limit exceeded" } };

const declined = (): Proof402Error => new Proof402Error("approval_declined", "Nothing was signed.", { next: "-" });

/** A promise and what settles it. */
function gate(): { promise: Promise<void>; resolve: () => void; reject: (cause: Error) => void } {
  let [resolve, reject] = [() => {}, (_cause: Error) => {}];
  const promise = new Promise<void>((yes, no) => ([resolve, reject] = [yes, no]));
  return { promise, resolve, reject };
}

/** Another program of the wallet takes its next nonce. */
async function sendNothing(key: Hex): Promise<void> {
  const account = privateKeyToAccount(key);
  const other = createWalletClient({ account, chain: foundry, transport: http(anvil.rpcUrl) });
  const hash = await other.sendTransaction({ to: account.address, value: 0n });
  await bank.client.waitForTransactionReceipt({ hash });
}
