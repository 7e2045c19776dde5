import { chmod, cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import * as z from "zod";
import { findingSchema, type Finding } from "../../src/cli/doctor/check.ts";
import { CHECKS } from "../../src/cli/doctor/checks.ts";
import type { ConfigInput } from "../../src/config/schema.ts";
import { writeDevnet } from "../../src/devnet/index.ts";
import { openDatabase } from "../../src/storage/database.ts";
import { ROOT } from "../house/sources.ts";
import { runCli } from "../support/cli.ts";
import { openMarket, type Market, writeVariant } from "../support/devnet.ts";
import { rpcInFront } from "../support/rpc.ts";

let market: Market;
let config: string;

beforeAll(async () => {
  market = await openMarket();
  ({ config } = await writeDevnet(market.devnet, market.directory));
});
afterAll(() => market.stop());

/** A copy of the configuration with a change, in a folder of its own beside a copy of the key. */
async function changed(change: (config: ConfigInput) => void): Promise<string> {
  const folder = await mkdtemp(join(market.directory, "case-"));
  const path = await writeVariant(config, join(folder, "proof402.config.json"), change);
  await writeFile(join(folder, "buyer.key"), `${market.devnet.privateKey}\n`, { mode: 0o600 });
  return path;
}

type Env = Record<string, string>;
type Examined = { code: number; findings: Finding[]; stderr: string };

async function examine(path: string | null, env: Env = {}): Promise<Examined> {
  const args = [...(path === null ? [] : ["--config", path]), "doctor", "--json"];
  const { code, stdout, stderr } = await runCli(args, { env });
  return { code, findings: read(stdout), stderr };
}

const read = (stdout: string): Finding[] => z.array(findingSchema).parse(JSON.parse(stdout));

const of = ({ findings }: Examined, check: string): Finding[] => findings.filter((one) => one.check === check);

const unwell = ({ findings }: Examined): string[] =>
  findings.filter(({ status }) => status === "warning" || status === "problem").map(({ check }) => check);

test("all is well: each check has its line, and nothing is signed, sent or written", async () => {
  const rpc = await rpcInFront(market.devnet.rpcUrl, () => undefined);
  const path = await changed((own) => {
    for (const one of own.networks) one.rpcUrl = rpc.url;
  });
  const before = await readdir(dirname(path));
  const seen = await examine(path);
  expect(unwell(seen)).toEqual([]);
  expect(seen.code).toBe(0);
  expect([...new Set(seen.findings.map(({ check }) => check))]).toEqual([
    "configuration",
    ...CHECKS.map(({ name }) => name),
  ]);
  expect(of(seen, "key")[0]?.says).toContain(market.devnet.wallet.address);
  expect(of(seen, "rpc")[0]?.says).toMatch(/^Answers in \d+ ms .* head \d+ is \d+ s old\.$/);
  expect(of(seen, "balance")[0]?.says).toMatch(
    /holds 100 USDC \(\$100\.00\).* smallest listed price is 0\.0\d+ USDC \(\$0\.0\d+\)/,
  );
  expect(of(seen, "seller").find(({ subject }) => subject === "honest")?.says).toMatch(
    /Attested by simulated hardware\. Models within the caps: .*eth-risk 0\.01 USDC \(\$0\.01\)/,
  );
  expect(
    rpc.calls.filter(({ method }) => !/^eth_(?:chainId|getBlockByNumber|call|getCode|getBalance)$/.test(method)),
  ).toEqual([]);
  expect(await readdir(dirname(path))).toEqual(before);
});

test("a database that is there stays byte for byte, and a seller on hold is named with the way out", async () => {
  const path = await changed(() => undefined);
  const file = join(dirname(path), "proof402.db");
  const db = await openDatabase(file);
  const held = {
    seller_id: "honest",
    receipt_id: "",
    reason: "money_unserved: kept",
    at: Date.now(),
    released_at: null,
  };
  await db.insertInto("seller_holds").values(held).execute();
  await db.destroy();
  const bytes = await readFile(file);
  const seen = await examine(path);
  expect(of(seen, "database")).toMatchObject([
    { subject: file, status: "ok", says: expect.stringMatching(/schema \d+/) },
  ]);
  expect(of(seen, "seller").find(({ subject }) => subject === "honest")).toMatchObject({
    status: "warning",
    says: expect.stringContaining("ON HOLD: money_unserved: kept"),
    next: expect.stringContaining("proof402 sellers release honest"),
  });
  expect((await readFile(file)).equals(bytes)).toBe(true);
});

test("a file that is no database, and another database of the wallet, are named", async () => {
  const path = await changed(() => undefined);
  const [file, other] = ["proof402.db", "other.db"].map((name) => join(dirname(path), name)) as [string, string];
  await writeFile(file, "no database at all, though of some length".repeat(100), { mode: 0o600 });
  expect(of(await examine(path), "database")).toMatchObject([{ subject: file, status: "problem" }]);
  await rm(file);
  for (const database of [other, file])
    expect((await runCli(["--config", path, "spending"], { env: { PROOF402_DATABASE: database } })).code).toBe(0);
  const seen = await examine(path);
  expect(of(seen, "database")).toMatchObject([{ status: "ok" }, { subject: other, status: "warning" }]);
  expect(seen.code).toBe(0);
});

test("an RPC that is down is one line, and sellers are looked at all the same", async () => {
  const path = await changed((own) => {
    for (const one of own.networks) one.rpcUrl = "http://127.0.0.1:1";
  });
  const seen = await examine(path);
  expect(of(seen, "rpc")).toMatchObject([
    { subject: "eip155:31337", status: "warning", next: expect.stringContaining("rpcUrl") },
  ]);
  expect(unwell(seen)).toEqual(["rpc"]);
  expect(of(seen, "balance").every(({ status }) => status === "skipped")).toBe(true);
  // A payment by EIP-3009 goes out without a look at the chain; others do not.
  expect(seen.code).toBe(0);
  const needing = await changed((own) => {
    for (const one of own.networks) one.rpcUrl = "http://127.0.0.1:1";
    for (const one of own.payment.assets) one.methods = ["permit2"];
  });
  const stopped = await examine(needing);
  expect([stopped.code, of(stopped, "rpc")[0]?.status]).toEqual([1, "problem"]);
});

test("an RPC and a seller that say nothing delay no other line, and stderr shows what is waited for", async () => {
  const silent = createServer(() => undefined);
  await new Promise<void>((listening) => silent.listen(0, "127.0.0.1", listening));
  onTestFinished(() => {
    silent.closeAllConnections();
    silent.close();
  });
  const url = `http://127.0.0.1:${(silent.address() as AddressInfo).port}`;
  const path = await changed((own) => {
    for (const one of own.networks) one.rpcUrl = url;
    for (const one of own.sellers) if (one.id === "honest") one.origin = url;
  });
  const seen = await examine(path);
  expect(seen.stderr).toMatch(/^Waiting for: .*rpc/m);
  expect(of(seen, "rpc")[0]?.status).toBe("warning");
  expect(of(seen, "seller").filter(({ status }) => status !== "ok")).toMatchObject([{ subject: "honest" }]);
  expect(of(seen, "seller").find(({ subject }) => subject === "honest")?.says).toMatch(/gave no answer in \d+ s/);
});

test("an RPC of another chain stops purchases", async () => {
  const rpc = await rpcInFront(market.devnet.rpcUrl, ({ method }) =>
    method === "eth_chainId" ? { result: "0x1" } : undefined,
  );
  const path = await changed((own) => {
    for (const one of own.networks) one.rpcUrl = rpc.url;
  });
  const seen = await examine(path);
  expect(seen.code).toBe(1);
  expect(of(seen, "rpc")).toMatchObject([{ status: "problem", says: expect.stringContaining("serves chain 1") }]);
});

test("one seller that is down is a warning, and none that serves a problem", async () => {
  const one = await examine(
    await changed((own) => {
      for (const seller of own.sellers) if (seller.id === "honest") seller.origin = "http://127.0.0.1:1";
    }),
  );
  expect([one.code, unwell(one)]).toEqual([0, ["seller"]]);
  const all = await examine(
    await changed((own) => {
      for (const [at, seller] of own.sellers.entries()) seller.origin = `http://127.0.0.1:${at + 1}`;
    }),
  );
  expect(all.code).toBe(1);
  expect(of(all, "market")).toMatchObject([{ status: "problem" }]);
});

test("a key that others may read is a problem, with the command that mends it", async () => {
  const path = await changed(() => undefined);
  const file = join(dirname(path), "buyer.key");
  await chmod(file, 0o644);
  const seen = await examine(path);
  expect(seen.code).toBe(1);
  expect(of(seen, "key")).toMatchObject([
    { subject: file, status: "problem", next: expect.stringContaining("chmod 600") },
  ]);
  expect(JSON.stringify(seen.findings)).not.toContain(market.devnet.privateKey.slice(2));
});

test("an empty wallet is a problem, and the line says where to send what", async () => {
  const env = { PROOF402_PRIVATE_KEY: `0x${"17".repeat(32)}` };
  const seen = await examine(await changed(() => undefined), env);
  expect(seen.code).toBe(1);
  expect(of(seen, "balance").slice(0, 1)).toMatchObject([
    { status: "problem", next: expect.stringMatching(/^Send USDC on eip155:31337 to 0x[0-9a-f]{40}\.$/) },
  ]);
});

test("prices over the cap name the cap, and nothing can be bought", async () => {
  const seen = await examine(
    await changed((own) => {
      for (const one of own.payment.assets) one.perCall = "1";
    }),
  );
  expect(seen.code).toBe(1);
  expect(of(seen, "seller")[0]).toMatchObject({
    status: "warning",
    says: expect.stringContaining("is over the cap per call (perCall): 0.000001 USDC"),
  });
  expect(of(seen, "market")).toMatchObject([{ status: "problem" }]);
});

test("Permit2's missing allowance and gas come with the command to give it", async () => {
  const seen = await examine(
    await changed((own) => {
      for (const one of own.payment.assets) one.methods = ["permit2", "voucher"];
    }),
  );
  expect(of(seen, "allowance").slice(0, 1)).toMatchObject([
    { status: "warning", next: expect.stringMatching(/proof402 wallet approve --asset USDC --amount 0\.0\d+ /) },
  ]);
  expect(of(seen, "gas")).toMatchObject([{ says: expect.stringContaining("the chain's own coin") }]);
  expect(of(seen, "channels")).toMatchObject([{ status: "warning" }]);
});

test("a peer that a configured check needs is named with its one install line", async () => {
  const path = await changed((own) => {
    own.verification = { ...own.verification, replay: { models: { "eth-risk": "model.onnx" } } };
  });
  const manifest = JSON.parse(await readFile(join(ROOT, "package.json"), "utf8")) as {
    dependencies: Record<string, string>;
  };
  const modules = join(dirname(path), "node_modules");
  const link = async (name: string): Promise<void> => {
    await mkdir(dirname(join(modules, name)), { recursive: true });
    await symlink(join(ROOT, "node_modules", name), join(modules, name));
  };
  await mkdir(join(modules, "proof402/dist"), { recursive: true });
  await cp(join(ROOT, "package.json"), join(modules, "proof402/package.json"));
  await cp(join(ROOT, "dist/src"), join(modules, "proof402/dist/src"), { recursive: true });
  await Promise.all(Object.keys(manifest.dependencies).map(link));
  const main = join(modules, "proof402/dist/src/cli/main.js");
  const { code, stdout } = await runCli(["--config", path, "doctor", "--json"], { main });
  const findings = read(stdout);
  expect([code, findings.filter(({ status }) => status === "problem")]).toEqual([0, []]);
  expect(findings.filter(({ check }) => check === "peers")).toMatchObject([
    {
      subject: "onnxruntime-node",
      status: "warning",
      next: expect.stringMatching(/^Run npm install onnxruntime-node@/),
    },
  ]);
});

test("without a configuration it says where it looked and how to start; an invalid one names the field", async () => {
  const none = await examine(null);
  expect(none.code).toBe(1);
  expect(none.findings[0]).toMatchObject({
    check: "configuration",
    subject: "/nonexistent/.proof402/proof402.config.json",
    status: "problem",
    next: expect.stringContaining("proof402 devnet --dir market"),
  });
  expect(none.findings.slice(1).every(({ status }) => status === "skipped")).toBe(true);
  const invalid = await examine(
    await changed((own) => {
      own.sellers = "none" as never;
    }),
  );
  expect([invalid.code, invalid.findings[0]?.says]).toEqual([1, expect.stringContaining("sellers:")]);
});

test("for people each check is one line, and the last says whether purchases can be made", async () => {
  const { code, stdout, stderr } = await runCli(["--config", config, "doctor"], { cwd: tmpdir() });
  expect(code).toBe(0);
  expect(stderr).toMatch(/^Looks at /);
  const lines = stdout.trimEnd().split("\n");
  expect(lines.slice(0, -1).filter((line) => !/^(?:ok     |warning|PROBLEM) [a-z]+(?: \S.*)?: /.test(line))).toEqual(
    [],
  );
  expect(lines.at(-1)).toMatch(/^All is well\./);
});
