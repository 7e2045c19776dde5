import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { writeDevnet } from "../../src/devnet/index.ts";
import type { ConfigInput } from "../../src/config/schema.ts";
import { CLI, runCli } from "../support/cli.ts";
import { openMarket, type Market } from "../support/devnet.ts";
import { rpcInFront, type Lie, type RpcCall } from "../support/rpc.ts";

const FUNDS = 10_000_000n;
/** What the commands print, as far as it is looked at by name. */
type View = { id: string; undecided: { transaction: string }[] };
let market: Market;
let written: string;
beforeAll(async () => {
  market = await openMarket();
  ({ config: written } = await writeDevnet(market.devnet, market.directory));
});
afterAll(() => market.stop());

/** An owner's command line with a wallet of its own, behind an RPC that may lie. */
async function openOwner() {
  const key = generatePrivateKey();
  const { address } = privateKeyToAccount(key);
  const { bank } = market.devnet;
  await bank.fund(address);
  await bank.token.mint(address, FUNDS);
  let lie: (call: RpcCall) => Lie | undefined = () => undefined;
  const rpc = await rpcInFront(market.devnet.rpcUrl, (call) => lie(call));
  const directory = await mkdtemp(join(market.directory, "owner-"));
  const input = JSON.parse(await readFile(written, "utf8")) as ConfigInput;
  for (const network of input.networks) network.rpcUrl = rpc.url;
  input.wallet = { privateKeyFile: "buyer.key" };
  input.database = "owner.db";
  input.sellers = input.sellers.filter(({ id }) => id === "honest");
  const config = join(directory, "proof402.config.json");
  await writeFile(config, JSON.stringify(input));
  await writeFile(join(directory, "buyer.key"), key, { mode: 0o600 });
  return {
    cli: (...args: string[]) => runCli(["--config", config, ...args]),
    async json(...args: string[]) {
      const { stdout } = await runCli(["--config", config, "--json", ...args]);
      return JSON.parse(stdout) as View;
    },
    /** Runs a command and kills it with kill -9 at the first request of this method, which the node never sees. */
    async killedAt(method: string, ...args: string[]): Promise<string | null> {
      const child = spawn(process.execPath, [CLI, "--config", config, ...args], {
        env: { PATH: process.env["PATH"], HOME: "/nonexistent" },
        stdio: "ignore",
      });
      lie = (call) => {
        if (call.method !== method) return undefined;
        child.kill("SIGKILL");
        return "silence";
      };
      const signal = await new Promise<string | null>((resolve) => child.on("close", (_code, by) => resolve(by)));
      lie = () => undefined;
      return signal;
    },
    forget: () =>
      Promise.all(["", "-wal", "-shm"].map((end) => rm(join(directory, `owner.db${end}`), { force: true }))),
    left: async (): Promise<bigint> => FUNDS - (await market.devnet.balanceOf(address)),
    mined: () => bank.client.getTransactionCount({ address }),
  };
}

const OPEN = ["channel", "open", "--seller", "honest", "--asset", "USDC", "--amount", "0.5", "--yes"];
const APPROVE = ["wallet", "approve", "--asset", "USDC", "--amount", "5", "--yes"];
const later = async (seconds: number): Promise<void> => {
  const { client } = market.devnet.bank;
  // Back at its end: no command of a later test opens a channel on a chain whose clock is ahead of this machine's.
  const before = await client.request({ method: "evm_snapshot" as never });
  onTestFinished(async () => {
    await client.request({ method: "evm_revert" as never, params: [before] as never });
  });
  await client.request({ method: "evm_increaseTime" as never, params: [seconds] as never });
  await client.request({ method: "evm_mine" as never, params: [] as never });
};

describe("the question before one of the owner's transactions", () => {
  test.each([
    ["approve", APPROVE],
    ["open", OPEN],
  ])("names the most that the gas may cost, and what is printed names what it did (%s)", async (_name, args) => {
    const owner = await openOwner();
    const unasked = await owner.cli(...args.filter((one) => one !== "--yes"));
    const [, atMost = ""] =
      /The gas may cost up to (0\.\d+) of the own coin of eip155:31337\./.exec(unasked.stderr) ?? [];
    expect([unasked.code, Number(atMost) > 0, await owner.mined()]).toEqual([1, true, 0]);
    expect(unasked.stderr).toContain("approval_declined");
    const { stdout } = await owner.cli(...args);
    const [, cost = ""] = /gas, which cost (0\.\d+) of the chain's own coin/.exec(stdout) ?? [];
    expect([Number(cost) > 0, Number(cost) <= Number(atMost)]).toEqual([true, true]);
  });
});

describe("a command killed with kill -9", () => {
  test.each(["eth_estimateGas", "eth_sendRawTransaction", "eth_getTransactionReceipt"])(
    "at %s, and run again, opens one channel",
    async (method) => {
      const owner = await openOwner();
      expect(await owner.killedAt(method, ...OPEN)).toBe("SIGKILL");
      const { id } = await owner.json(...OPEN);
      expect(id).toMatch(/^0x[0-9a-f]{64}$/);
      expect([await owner.left(), await owner.mined()]).toEqual([500_000n, 1]);
      // Another one is only opened where it is asked for.
      expect(await owner.json(...OPEN)).toMatchObject({ error: { code: "channel_already_open", money: "not-moved" } });
      expect(await owner.json(...OPEN, "--another")).toMatchObject({
        id: expect.not.stringContaining(id),
      });
      expect(await owner.left()).toBe(1_000_000n);
    },
  );

  test("leaves its transaction where `wallet show` shows it, until it is decided", async () => {
    const owner = await openOwner();
    await owner.killedAt("eth_sendRawTransaction", ...APPROVE);
    const { undecided } = await owner.json("wallet");
    expect(undecided).toMatchObject([{ kind: "approve", network: "eip155:31337", nonce: 0 }]);
    expect((await owner.cli("wallet")).stdout).toContain(
      `Undecided on eip155:31337: approve ${undecided[0]?.transaction}`,
    );
    expect(await owner.json(...APPROVE)).toMatchObject({
      transaction: undecided[0]?.transaction,
      earlier: true,
      allowance: "5000000",
    });
    expect(await owner.json("wallet")).toMatchObject({ undecided: [] });
    expect(await owner.mined()).toBe(1);
  });
});

// These set the chain's clock forward.
describe("a channel", () => {
  test.each(["eth_estimateGas", "eth_sendRawTransaction"])(
    "whose close was killed at %s closes all the same, and its money comes back",
    async (method) => {
      const owner = await openOwner();
      const { id } = await owner.json(...OPEN);
      await owner.killedAt(method, "channel", "close", id, "--yes");
      expect(await owner.json("channel", "close", id, "--yes")).toMatchObject({ state: "closing" });
      expect(await owner.json("channel", "close", id, "--yes")).toMatchObject({
        error: { code: "withdrawal_waiting" },
      });
      const { stdout } = await owner.cli("wallet");
      expect(stdout).toMatch(
        /closing: 0\.5 USDC \(\$0\.50\) put in, .* 0\.5 USDC \(\$0\.50\) asked back, to be taken after \d{4}-/,
      );
      await later(901);
      await owner.killedAt(method, "channel", "close", id, "--yes");
      expect(await owner.json("channel", "close", id, "--yes")).toMatchObject({ state: "closed" });
      expect([await owner.left(), await owner.mined()]).toEqual([0n, 3]);
      expect((await owner.cli("channel", "list")).stdout).toMatch(
        /closed: 0\.5 USDC \(\$0\.50\) put in, 0 USDC \(\$0\.00\) granted, .* 0 USDC \(\$0\.00\) left/,
      );
    },
  );

  const lost = [
    ["list", ["channel", "list"], (id: string) => ({ channels: [{ id, state: "open" }] })],
    ["open", OPEN, () => ({ error: { code: "channel_already_open" } })],
  ] as const;
  test.each(lost)("whose database was lost is found by channel %s", async (_name, command, found) => {
    const owner = await openOwner();
    const { id } = await owner.json(...OPEN);
    await owner.forget();
    expect(await owner.json(...command)).toMatchObject(found(id));
    expect(await owner.json("channel", "close", id, "--yes")).toMatchObject({ state: "closing" });
    await later(901);
    await owner.forget();
    expect(await owner.json("channel", "close", id, "--yes")).toMatchObject({ state: "closed" });
    expect(await owner.left()).toBe(0n);
    // Its number is used up: the next one is another channel.
    await owner.forget();
    const next = await owner.json(...OPEN);
    expect(next.id).toMatch(/^0x[0-9a-f]{64}$/);
    expect(next.id).not.toBe(id);
    expect((await owner.cli("channel", "list")).stdout).toMatch(
      /closed: 0 USDC \(\$0\.00\) put in and not taken back, /,
    );
  });
});
