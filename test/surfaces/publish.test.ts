import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { privateKeyToAccount } from "viem/accounts";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import type { ConfigInput } from "../../src/config/schema.ts";
import { devValidationRegistry } from "../../src/devnet/contracts/dev-validation-registry.artifact.ts";
import { writeDevnet } from "../../src/devnet/index.ts";
import { runCli } from "../support/cli.ts";
import { ETH_FEATURES, openMarket, writeVariant, type Market } from "../support/devnet.ts";
import { infront } from "../support/infront.ts";

let market: Market;
let config: string;
beforeAll(async () => {
  market = await openMarket();
  ({ config } = await writeDevnet(market.devnet, market.directory));
});
afterAll(() => market.stop());

const cli = (...args: string[]) => runCli(["--config", config, ...args]);
async function bought(seller: string, assurance: string): Promise<string> {
  const input = JSON.stringify(ETH_FEATURES);
  const how = ["--seller", seller, "--assurance", assurance, "--wait", "verified", "--json"];
  const { stdout } = await cli("buy", "eth-risk", "--input", input, ...how);
  expect(JSON.parse(stdout), stdout).toHaveProperty("receipt.id");
  return (JSON.parse(stdout) as { receipt: { id: string } }).receipt.id;
}
/** A purchase whose paid request a server before the seller answers with 422. */
async function refusedBy(seller: "honest"): Promise<{ id: string; config: string }> {
  const { origin } = market.devnet.sellers[seller];
  const server = await infront(origin, (_path, request) =>
    Promise.resolve(
      request.headers.has("payment-signature") ? Response.json({ error: "no such row" }, { status: 422 }) : null,
    ),
  );
  onTestFinished(() => server.stop());
  const moved = await writeVariant(config, join(market.directory, "moved.config.json"), (written) => {
    for (const one of written.sellers) if (one.id === seller) one.origin = server.origin;
    // A buyer to whom the seller is elsewhere would judge these receipts otherwise, and hold the seller.
    written.database = "moved.db";
  });
  const input = JSON.stringify(ETH_FEATURES);
  const { stdout } = await runCli([
    "--config",
    moved,
    "buy",
    "eth-risk",
    "--input",
    input,
    "--seller",
    seller,
    "--json",
  ]);
  return { id: /p402_[a-z2-7]{52}/.exec(stdout)?.[0] ?? "none", config: moved };
}
type View = {
  verdict: string;
  transaction: `0x${string}`;
  requestTransaction: `0x${string}`;
  gasUsed: string;
  registry: {
    contract: `0x${string}`;
    requestHash: `0x${string}`;
    response: number;
    responseHash: string;
    tag: string;
  };
};
const sent = (): Promise<number> =>
  market.devnet.bank.client.getTransactionCount({ address: privateKeyToAccount(market.devnet.privateKey).address });

test("a verified receipt is posted with its file's digest, and the registry says so", async () => {
  const id = await bought("honest", "attested");
  const file = join(market.directory, "published.json");
  await cli("receipts", "export", id, file);
  const { digest } = JSON.parse(await readFile(file, "utf8")) as { digest: string };
  const before = await sent();
  const { code, stdout, stderr } = await cli("receipts", "publish", id, "--agent", "7", "--yes", "--json");
  expect(stderr).toContain("for everyone to see");
  expect(code).toBe(0);
  const view = JSON.parse(stdout) as View;
  expect(view).toMatchObject({
    verdict: "verified",
    registry: { response: 100, responseHash: `0x${digest}`, tag: "proof402:attested:simulated", agentId: "7" },
  });
  expect(await sent()).toBe(before + 2);
  const { client } = market.devnet.bank;
  const status = await client.readContract({
    address: view.registry.contract,
    abi: devValidationRegistry.abi,
    functionName: "getValidationStatus",
    args: [view.registry.requestHash],
  });
  expect(status.slice(1, 5)).toEqual([7n, 100, `0x${digest}`, "proof402:attested:simulated"]);
  const gas = await Promise.all(
    [view.transaction, view.requestTransaction].map(
      async (hash) => (await client.getTransactionReceipt({ hash })).gasUsed,
    ),
  );
  expect(view.gasUsed).toBe(String(gas[0]! + gas[1]!));
  const plain = await cli("receipts", "publish", id, "--agent", "7", "--yes");
  expect(plain.stdout).toMatch(
    /^Posted in 0x[0-9a-f]{64}, \d+ gas in all, which cost 0\.\d+ of the chain's own coin\.\nThe registry says: .*response 100 of 100/,
  );
});

test("a failed one is posted as failed", async () => {
  const id = await bought("tampering", "attested");
  const { stdout } = await cli("receipts", "publish", id, "--yes", "--json");
  expect(JSON.parse(stdout)).toMatchObject({ verdict: "failed", registry: { response: 0 } });
});

test("nothing is signed unasked, for an open verdict, without a registry or for what is no agent", async () => {
  const id = await bought("honest", "attested");
  const open = await bought("unattested", "none");
  const refused = await refusedBy("honest");
  const bare = JSON.parse(await readFile(config, "utf8")) as ConfigInput;
  const without = join(market.directory, "bare.config.json");
  await writeFile(without, JSON.stringify({ ...bare, validationRegistry: undefined }));
  const before = await sent();
  const refusals = await Promise.all([
    cli("receipts", "publish", id, "--json"),
    cli("receipts", "publish", open, "--yes", "--json"),
    runCli(["--config", refused.config, "receipts", "publish", refused.id, "--yes", "--json"]),
    runCli(["--config", without, "receipts", "publish", id, "--yes", "--json"]),
    cli("receipts", "publish", id, "--agent", "x", "--yes", "--json"),
    cli("receipts", "publish", `p402_${"a".repeat(52)}`, "--yes", "--json"),
  ]);
  expect(
    refusals.map(({ code, stdout }) => [code, (JSON.parse(stdout) as { error: { code: string } }).error.code]),
  ).toEqual([
    [1, "approval_declined"],
    [1, "verdict_open"],
    [1, "refusal_not_posted"],
    [1, "registry_not_configured"],
    [64, "invalid_input"],
    [1, "receipt_not_found"],
  ]);
  expect(await sent()).toBe(before);
});

test("its old name posts nothing and says the new one", async () => {
  const { code, stderr } = await runCli(["receipts", "anchor", `p402_${"a".repeat(52)}`, "--agent", "7", "--yes"]);
  expect(code).toBe(64);
  expect(stderr).toContain("`receipts anchor` is named `receipts publish`");
});

test("the log's root is published once for its entries, and an audit finds an end that was cut off", async () => {
  const { address } = privateKeyToAccount(market.devnet.privateKey);
  const own = async (file: string, logRoots: ConfigInput["logRoots"]): Promise<string> =>
    writeVariant(config, join(market.directory, file), (written) => (written.logRoots = logRoots));
  const place = { network: "eip155:31337", name: "log" };
  const rooted = await own("roots.config.json", { ...place, publisher: address });
  const run = (...args: string[]) => runCli(["--config", rooted, ...args]);
  await bought("honest", "attested");
  expect((await run("audit")).stdout).toContain("No root of it is on chain: see proof402 log publish.");

  const first = await run("log", "publish", "--yes", "--json");
  const before = await sent();
  const { entries, root } = JSON.parse(first.stdout) as { entries: number; root: string };
  expect((await run("log", "publish", "--yes")).stdout).toBe("The chain has a root over all entries already.\n");
  expect(await sent()).toBe(before);
  expect(JSON.parse((await run("audit", "--json")).stdout)).toMatchObject({ ok: true, root: { entries, root } });

  // Another database in the place of the one that was published.
  const cut = await own("cut.config.json", { ...place, publisher: address });
  const written = JSON.parse(await readFile(cut, "utf8")) as ConfigInput;
  await writeFile(cut, JSON.stringify({ ...written, database: "begun-again.db" }));
  const found = await runCli(["--config", cut, "audit", "--json"]);
  expect([found.code, JSON.parse(found.stdout)]).toMatchObject([1, { ok: false, code: "log_behind_root", seq: 1 }]);
  expect((await runCli(["--config", cut, "audit", "--no-roots"])).code).toBe(0);
  expect(JSON.parse((await runCli(["--config", cut, "log", "publish", "--yes", "--json"])).stdout)).toMatchObject({
    error: { code: "log_broken" },
  });

  const stranger = await own("stranger.config.json", { ...place, publisher: `0x${"11".repeat(20)}` });
  const codeOf = async (file: string) =>
    (JSON.parse((await runCli(["--config", file, "log", "publish", "--json"])).stdout) as { error: { code: string } })
      .error.code;
  expect([await codeOf(stranger), await codeOf(config)]).toEqual(["publisher_differs", "log_roots_not_configured"]);
});
