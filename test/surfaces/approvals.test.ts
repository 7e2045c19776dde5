import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadConfig } from "../../src/config/load.ts";
import { serveDashboard } from "../../src/dashboard/serve.ts";
import { writeDevnet } from "../../src/devnet/index.ts";
import { signIn } from "../dashboard/owner.ts";
import { CLI, runCli } from "../support/cli.ts";
import { ETH_FEATURES, openMarket, writeVariant, type Market } from "../support/devnet.ts";

const PRICE = 10_000n;

let market: Market;
let config: string;
beforeAll(async () => {
  market = await openMarket();
  ({ config } = await writeDevnet(market.devnet, market.directory));
  await writeVariant(config, config, ({ payment }) => {
    for (const asset of payment.assets) asset.approveAbove = "1";
  });
});
afterAll(() => market.stop());

const buyArgs = (key: string, path = config): string[] => {
  const call = ["--config", path, "buy", "eth-risk", "--input", JSON.stringify(ETH_FEATURES)];
  return [...call, "--seller", "honest", "--key", key, "--wait", "verified"];
};
const paid = (): Promise<bigint> => market.devnet.balanceOf(market.devnet.sellers.honest.payTo);

/** Begins a call that cannot ask, and says yes in another command. */
async function approved(key: string): Promise<string> {
  const { code, stderr } = await runCli(buyArgs(key));
  expect(code).toBe(1);
  const id = /waits as approval ([0-9a-f]{8})/.exec(stderr)?.[1] ?? "none";
  expect(stderr).toContain(`--key ${key}`);
  const { stdout } = await runCli(["--config", config, "approvals", "approve", id]);
  expect(stdout).toContain("same idempotency key");
  return id;
}

describe("T104: a payment that no person could be asked about", () => {
  test("waits, is listed in people's words, and goes on after a yes, in one of two processes, once", async () => {
    const before = await paid();
    const key = "a-key-for-two-processes";
    const first = await runCli(buyArgs(key));
    expect(first.stderr).toContain("approval_required");
    const listed = await runCli(["--config", config, "approvals"]);
    expect(listed.stdout).toContain('open: 0.01 USDC ($0.01) on eip155:31337 to "honest"');
    expect(listed.stdout).toContain("one inference of eth-risk");
    await approved(key);
    const both = await Promise.all([0, 1].map(() => runCli(buyArgs(key), { apart: true })));
    expect(both.some(({ code }) => code === 0)).toBe(true);
    expect(await paid()).toBe(before + PRICE);
    expect((await runCli(["--config", config, "approvals"])).stdout).toBe("No payment waits for an answer.\n");
  });

  test("T180: goes on after a yes on the owner's page, once", async () => {
    const before = await paid();
    const key = "a-key-of-the-page";
    const { stderr } = await runCli(buyArgs(key));
    const id = /waits as approval ([0-9a-f]{8})/.exec(stderr)?.[1] ?? "none";
    const pages = await serveDashboard({ config: await loadConfig({ path: config }), allowApprovals: true });
    const owner = await signIn(pages.approvalUrl(id));
    const page = await owner.get(`/approvals/${id}`);
    expect(page.text).toContain("0.01 USDC ($0.01) on eip155:31337");
    expect(await paid()).toBe(before);
    const pressed = await Promise.all([1, 2].map(() => owner.press(`/approvals/${id}`, "approved", page)));
    expect(pressed.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([303, 409]);
    expect(await paid()).toBe(before);
    expect((await runCli(buyArgs(key))).code).toBe(0);
    expect(await paid()).toBe(before + PRICE);
    expect((await owner.get(`/approvals/${id}`)).text).toContain("has used the yes. A payment of the call is made");
    // The yes is used up: neither the call nor another one pays by it again.
    expect((await runCli(buyArgs(key))).code).toBe(0);
    expect((await runCli(buyArgs("another-key"))).stderr).toContain("approval_required");
    expect(await paid()).toBe(before + PRICE);
    await pages.close();
  });

  test("is not made where the policy's caps forbid it, whatever was approved", async () => {
    const before = await paid();
    const key = "a-key-over-the-cap";
    await approved(key);
    const tight = await writeVariant(config, join(market.directory, "tight.json"), ({ payment }) => {
      for (const asset of payment.assets) asset.perCall = "9999";
    });
    expect((await runCli(buyArgs(key, tight))).stderr).toContain("over_per_call_cap");
    expect(await paid()).toBe(before);
  });

  test("is made once at most by a call that is killed after it used the yes", async () => {
    const before = await paid();
    const key = "a-key-of-a-killed-call";
    await approved(key);
    const child = spawn(process.execPath, [CLI, ...buyArgs(key)], { stdio: ["ignore", "ignore", "pipe"] });
    child.stderr.on("data", (chunk: Buffer) => {
      if (chunk.toString().includes("[4/7]")) child.kill("SIGKILL");
    });
    await once(child, "exit");
    const again = await runCli(buyArgs(key));
    expect(/approval_required|\[7\/7\]|Nothing was paid in this call/.test(again.stderr + again.stdout)).toBe(true);
    expect((await paid()) - before).toBeLessThanOrEqual(PRICE);
  });
});
