import { once } from "node:events";
import { createServer, type AddressInfo } from "node:net";
import { join } from "node:path";
import { createPublicClient, createTestClient, http } from "viem";
import { foundry } from "viem/chains";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { startAnvil } from "../../src/devnet/index.ts";
import { descendants, firstLine, isAlive, listens } from "./processes.ts";
import { eventually } from "../support/eventually.ts";
import { bundled } from "../support/bundled.ts";

const owner = bundled(join(import.meta.dirname, "chain-owner.ts"));

beforeAll(() => owner.make());
afterAll(() => owner.remove());

const client = (rpcUrl: string) => createPublicClient({ chain: foundry, transport: http(rpcUrl), cacheTime: 0 });
/** Among our own processes; esbuild and vitest have some of their own. */
const anvils = async (): Promise<string[]> => (await descendants()).filter((one) => one.includes("anvil"));

describe("a chain", () => {
  it("answers as soon as it has started, and is gone as soon as it has stopped", async () => {
    const before = await anvils();
    const anvil = await startAnvil();
    expect(await client(anvil.rpcUrl).getChainId()).toBe(31_337);
    expect(anvil.chainId).toBe(31_337);
    // Its keeper and itself.
    expect(await anvils()).toHaveLength(before.length + 2);
    await anvil.stop();
    expect(await anvils()).toEqual(before);
    expect(await listens(anvil.rpcUrl)).toBe(false);
    await anvil.stop();
  });

  it("is its own beside others that start at the same time", async () => {
    const chains = await Promise.all([1, 2, 3].map(() => startAnvil()));
    onTestFinished(async () => void (await Promise.all(chains.map((chain) => chain.stop()))));
    expect(new Set(chains.map(({ rpcUrl }) => rpcUrl)).size).toBe(3);
    const [first, ...others] = chains.map(({ rpcUrl }) => rpcUrl);
    await createTestClient({ mode: "anvil", chain: foundry, transport: http(first) }).mine({ blocks: 5 });
    expect(await client(first ?? "").getBlockNumber()).toBe(5n);
    for (const rpcUrl of others) expect(await client(rpcUrl).getBlockNumber()).toBe(0n);
  });

  it("mines at an interval where one is given", async () => {
    const anvil = await startAnvil({ blockSeconds: 1 });
    onTestFinished(() => anvil.stop());
    await eventually(async () => expect(await client(anvil.rpcUrl).getBlockNumber()).toBeGreaterThan(0n));
  });

  it("does not take another chain on its port for itself", async () => {
    const first = await startAnvil();
    onTestFinished(() => first.stop());
    const before = await anvils();
    const port = Number(new URL(first.rpcUrl).port);
    await expect(startAnvil({ port })).rejects.toMatchObject({
      code: "port_taken",
      money: undefined,
      details: { port },
    });
    expect(await client(first.rpcUrl).getChainId()).toBe(31_337);
    expect(await anvils()).toEqual(before);
  });

  it("does not start on a port that something else holds", async () => {
    const server = createServer((socket) => socket.destroy()).listen(0, "127.0.0.1");
    onTestFinished(() => void server.close());
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    await expect(startAnvil({ port })).rejects.toMatchObject({ code: "port_taken" });
  });

  it("says what anvil said when it cannot start", async () => {
    await expect(startAnvil({ port: 70_000 })).rejects.toMatchObject({
      code: "anvil_failed",
      details: { complaint: expect.stringContaining("70000") as string },
    });
  });
});

describe("a chain whose owner dies", () => {
  it.each(["SIGKILL", "SIGTERM", "SIGINT", "SIGHUP"] as const)("dies with it, by %s too", async (signal) => {
    const { child, line: rpcUrl } = await firstLine(owner.file);
    expect(await listens(rpcUrl)).toBe(true);
    const family = (await descendants(child.pid)).map((one) => Number.parseInt(one, 10));
    // The keeper and anvil itself.
    expect(family).toHaveLength(2);
    child.kill(signal);
    await once(child, "exit");
    for (const pid of family) await eventually(async () => expect(await isAlive(pid)).toBe(false));
    expect(await listens(rpcUrl)).toBe(false);
  });
});
