import { sql } from "kysely";
import { getContractAddress, type Hex } from "viem";
import { afterAll, beforeAll, beforeEach, expect, onTestFinished, test } from "vitest";
import { openChain, type Chain } from "../../src/chain/chain.ts";
import { compareWithRoot } from "../../src/chain/log-roots/compare.ts";
import { DEPLOYER, LOG_ROOTS, SALT } from "../../src/chain/log-roots/contract.ts";
import { publishedRoot } from "../../src/chain/log-roots/published.ts";
import { logRoots } from "../../src/chain/log-roots/log-roots.artifact.ts";
import { publishRoot } from "../../src/chain/owner/publish-root.ts";
import { openBank, startAnvil, type Anvil, type Bank } from "../../src/devnet/index.ts";
import { walletFromPrivateKey, type Wallet } from "../../src/payment/wallet.ts";
import { appendEntry } from "../../src/receipts/log-entry.ts";
import { rootOfLog } from "../../src/receipts/log-root.ts";
import { openDatabase, type Db } from "../../src/storage/database.ts";
import { immediate } from "../../src/storage/migrations.ts";

let anvil: Anvil;
let bank: Bank;
let chain: Chain;
let wallet: Wallet;
let db: Db;
let log: { publisher: Hex; name: string };
let names = 0;
beforeAll(async () => {
  anvil = await startAnvil();
  bank = await openBank(anvil);
  chain = openChain({ network: "eip155:31337", rpcUrl: anvil.rpcUrl, confirmations: 0, pollMilliseconds: 20 });
  wallet = walletFromPrivateKey(await bank.fundedKey());
});
afterAll(() => anvil.stop());
beforeEach(async () => {
  db = await openDatabase(":memory:");
  names += 1;
  log = { publisher: wallet.address, name: `log-${names}` };
  await grow(5);
});

const grow = (count: number): Promise<unknown> =>
  immediate(db, async (tx) => {
    for (let at = 0; at < count; at += 1)
      await appendEntry(tx, { kind: "hold", subject: `seller-${at}`, value: null, at: new Date() });
  });
const publish = async (entries: number) =>
  publishRoot({ db, chain, wallet }, { name: log.name, ...(await rootOfLog(db, entries)) });

test("the contract's address is that of its code, by EIP-1014", () => {
  const made = getContractAddress({
    opcode: "CREATE2",
    from: DEPLOYER,
    salt: SALT,
    bytecode: logRoots.bytecode,
  });
  expect(made.toLowerCase()).toBe(LOG_ROOTS);
});

test("a published root is kept beside a log that grows, under its publisher and its name", async () => {
  expect(await compareWithRoot(db, chain, log)).toEqual({ root: null, problem: null });
  const first = await publish(5);
  expect(first.kept).toMatchObject(await rootOfLog(db, 5));
  await grow(3);
  const { kept } = await publish(8);
  expect(kept.entries).toBe(8);
  await grow(2);
  expect(await compareWithRoot(db, chain, log)).toEqual({ root: kept, problem: null });
  expect(await publishedRoot(chain, { ...log, name: "another" })).toBeNull();
  const stranger = walletFromPrivateKey(await bank.fundedKey());
  expect(await publishedRoot(chain, { ...log, publisher: stranger.address })).toBeNull();
});

test("an end that was cut off, or written again, is found though the log is whole by itself", async () => {
  await publish(5);
  await sql`delete from log where seq > 3`.execute(db);
  await sql`update sqlite_sequence set seq = 3 where name = 'log'`.execute(db);
  expect((await compareWithRoot(db, chain, log)).problem).toMatchObject({ seq: 4, code: "log_behind_root" });
  await grow(4);
  expect((await compareWithRoot(db, chain, log)).problem).toMatchObject({ code: "log_unlike_root" });
});

test("no root over a broken log is made", async () => {
  await sql`update log set digest = ${"11".repeat(32)} where seq = 4`.execute(db);
  await expect(rootOfLog(db, 5)).rejects.toMatchObject({ code: "log_broken" });
});

test("the chain takes no root over fewer entries, and a command that sends one is told so", async () => {
  await publish(5);
  await expect(publish(4)).rejects.toMatchObject({ code: "transaction_failed", money: "not-moved" });
  expect((await compareWithRoot(db, chain, log)).root?.entries).toBe(5);
});

test("a command that ended before it told of its root is answered with it, and sends no other", async () => {
  const sent = await publish(5);
  await sql`update owner_transactions set told_at = null`.execute(db);
  const again = await publish(5);
  expect(again.published).toMatchObject({ transaction: sent.published.transaction, earlier: true });
});

test("a root that one RPC tells falsely hides nothing from the other's", async () => {
  await publish(5);
  const elsewhere = await startAnvil();
  onTestFinished(() => elsewhere.stop());
  await (await openBank(elsewhere)).fund(wallet.address);
  const lying = openChain({
    network: "eip155:31337",
    rpcUrl: elsewhere.rpcUrl,
    confirmations: 0,
    pollMilliseconds: 20,
  });
  await sql`delete from log`.execute(db);
  await sql`delete from sqlite_sequence where name = 'log'`.execute(db);
  await grow(6);
  const forger = await openDatabase(":memory:");
  const forged = { name: log.name, ...(await rootOfLog(db, 6)) };
  await publishRoot({ db: forger, chain: lying, wallet }, forged);
  for (const [one, witness] of [
    [chain, lying],
    [lying, chain],
  ] as const)
    expect((await compareWithRoot(db, { ...one, witness }, log)).problem).toMatchObject({ code: "log_unlike_root" });
  expect(await compareWithRoot(forger, lying, { ...log, name: "none" })).toEqual({ root: null, problem: null });
});

test("a chain that hides what this database published is told as one that hides", async () => {
  await publish(5);
  const hiding: Chain = {
    ...chain,
    read: (work, limits) => chain.read((client) => work({ ...client, getCode }), limits),
  };
  const getCode = (): Promise<Hex> => Promise.resolve("0x");
  expect((await compareWithRoot(db, hiding, log)).problem).toMatchObject({ code: "log_root_hidden" });
  await expect(
    publishRoot({ db, chain: hiding, wallet }, { name: "new", entries: 1, root: "00".repeat(32) }),
  ).rejects.toMatchObject({ code: "log_roots_missing" });
});
