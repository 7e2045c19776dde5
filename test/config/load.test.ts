import { execFileSync } from "node:child_process";
import { chmod, copyFile, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { loadConfig } from "../../src/config/load.ts";
import { asset, network, seller, writtenConfig, type Written } from "../support/written-config.ts";

let directory: string;
let count = 0;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "proof402-config-"));
});
afterAll(() => rm(directory, { recursive: true, force: true }));

let good: Written;
beforeEach(() => {
  good = writtenConfig();
});

async function written(content: unknown, name = "proof402.config.json"): Promise<string> {
  count += 1;
  const folder = join(directory, String(count));
  await mkdir(folder);
  const path = join(folder, name);
  await writeFile(path, typeof content === "string" ? content : JSON.stringify(content));
  return path;
}
const env = { HOME: "/nonexistent" };
const load = (path: string, change: Record<string, string> = {}) =>
  loadConfig({ path, env: { ...env, ...change }, cwd: directory });

describe("a configuration", () => {
  test("gets its defaults, and its paths are relative to its file", async () => {
    const path = await written({ ...good, wallet: { privateKeyFile: "keys/buyer.key" } });
    const config = await load(path);
    expect(config.database).toBe(join(path, "../proof402.db"));
    expect(config.wallet.privateKeyFile).toBe(join(path, "../keys/buyer.key"));
    expect(config.verification).toMatchObject({ assurance: "attested", simulatedRoots: [] });
    expect(config.http.allowPrivateAddresses).toBe(false);
    expect(config.payment.assets[0]).toMatchObject({ perCall: "10000" });
  });

  test("is found where the environment says, then in the owner's home, and never because it lies in the working directory", async () => {
    const named = await written(good, "named.json");
    const here = await written({ ...good, database: "here.db" });
    const home = join(here, "..", "home");
    await mkdir(join(home, ".proof402"), { recursive: true });
    await copyFile(here, join(home, ".proof402", "proof402.config.json"));
    expect((await loadConfig({ env: { ...env, PROOF402_CONFIG: named }, cwd: join(here, "..") })).database).toBe(
      join(named, "../proof402.db"),
    );
    await expect(loadConfig({ env, cwd: join(here, "..") })).rejects.toMatchObject({
      code: "config_not_found",
      next: expect.stringMatching(/--config or PROOF402_CONFIG.*`proof402 demo`.*docs\/configuration\.md/),
    });
    const own = join(home, ".proof402", "here.db");
    expect((await loadConfig({ env: { HOME: home } })).database).toBe(own);
    expect((await loadConfig({ env: { HOME: home, PROOF402_DATABASE: "/elsewhere/x.db" } })).database).toBe(
      "/elsewhere/x.db",
    );
    expect((await loadConfig({ env: { HOME: home, PROOF402_DATABASE: "" } })).database).toBe(own);
  });

  test("that is not there is named, with what to do", async () => {
    await expect(load(join(directory, "absent.json"))).rejects.toMatchObject({
      code: "config_not_found",
      money: undefined,
      message: expect.stringContaining("absent.json") as string,
      next: expect.stringContaining("proof402 devnet") as string,
    });
    await expect(load(directory)).rejects.toMatchObject({ code: "config_not_found" });
  });
});

describe("a configuration as people's machines have it", () => {
  test("may begin with a byte order mark, name a schema for editors and spell hex in either case", async () => {
    const upper = (text: string): string => text.toUpperCase().replace("0X", "0x");
    good["$schema"] = "./config.schema.json";
    good.payment.assets[0]!["asset"] = upper(asset.asset);
    good.sellers[0]!["payTo"] = seller.payTo.map(upper);
    good.sellers[0]!["reference"] = { measurements: [{ "0": "A1".repeat(48) }] };
    const config = await load(await written(`\ufeff${JSON.stringify(good)}`));
    expect(config.payment.assets[0]?.asset).toBe(asset.asset);
    expect(config.sellers[0]).toMatchObject({
      payTo: seller.payTo,
      reference: { measurements: [{ "0": "a1".repeat(48) }] },
    });
  });

  test("in another encoding is said to be", async () => {
    const path = await written("");
    await writeFile(path, Buffer.from(`\ufeff${JSON.stringify(good)}`, "utf16le"));
    await expect(load(path)).rejects.toMatchObject({
      code: "config_invalid",
      message: expect.stringContaining("not UTF-8") as string,
    });
  });

  test("that is a pipe or a device is not waited for", async () => {
    const pipe = join(directory, "pipe");
    execFileSync("mkfifo", [pipe]);
    for (const path of [pipe, "/dev/zero"])
      await expect(load(path)).rejects.toMatchObject({ code: "config_not_found" });
  });

  test("says where the wallet's databases are noted: beside the key, or else beside itself", async () => {
    const path = await written({ ...good, wallet: { privateKeyFile: "keys/buyer.key" } });
    expect((await load(path)).wallet.databasesFolder).toBe(join(path, "../keys/proof402-databases"));
    const bare = await written(good);
    expect((await load(bare)).wallet.databasesFolder).toBe(join(bare, "../proof402-databases"));
  });
});

describe("T45: a configuration that others can change", () => {
  test.each([0o666, 0o664, 0o646, 0o602])("is refused with mode %o", async (mode) => {
    const path = await written(good);
    await chmod(path, mode);
    await expect(load(path)).rejects.toMatchObject({
      code: "config_permissions",
      money: undefined,
      next: expect.stringContaining("chmod go-w") as string,
    });
    await chmod(path, 0o644);
    await load(path);
  });

  test("is refused in a folder where everyone can put another in its place", async () => {
    const path = await written(good);
    await chmod(join(path, ".."), 0o777);
    await expect(load(path)).rejects.toMatchObject({
      code: "config_permissions",
      next: expect.stringContaining("chmod o-w on the folder") as string,
    });
  });
});

describe("T46: a seller or RPC without TLS", () => {
  const refusal = async (change: (config: Written) => void): Promise<string> => {
    const changed = structuredClone(good);
    change(changed);
    return load(await written(changed)).then(
      () => "",
      (error: unknown) => (error instanceof Error ? error.message : ""),
    );
  };

  test.each(["http://seller.example", "http://8.8.8.8", "http://[2606:4700::1111]", "http://localhost.example:80"])(
    "%s is refused until its host is allowed by name",
    async (url) => {
      const { hostname, origin } = new URL(url);
      const places: [string, (config: Written) => void][] = [
        ["networks.0.rpcUrl", (c) => (c.networks[0]!["rpcUrl"] = url)],
        ["networks.0.witnessRpcUrl", (c) => (c.networks[0]!["witnessRpcUrl"] = url)],
        ["sellers.0.origin", (c) => (c.sellers[0]!["origin"] = origin)],
      ];
      for (const [field, change] of places) {
        const message = await refusal(change);
        expect(message).toContain(field);
        expect(message).toContain(`list "${hostname}" in http.allowPlainHttp`);
        expect(await refusal((c) => (change(c), (c["http"] = { allowPlainHttp: ["other.example"] })))).toContain(field);
        expect(await refusal((c) => (change(c), (c["http"] = { allowPlainHttp: [hostname] })))).toBe("");
      }
    },
  );

  test.each([
    "http://127.0.0.1:8545",
    "http://localhost:8545",
    "http://10.1.2.3",
    "http://[::1]:8545",
    "https://a.example",
  ])("%s is on this machine or network, or has TLS", async (url) => {
    expect(await refusal((c) => (c.networks[0]!["rpcUrl"] = url))).toBe("");
  });
});

describe("what is wrong in a configuration is named by file and field", () => {
  test.each<[string, (config: Written) => void]>([
    ["payment.assets.0.perCall", (c) => (c.payment.assets[0]!["perCall"] = 10_000)],
    ["payment.assets.0.perCall", (c) => (c.payment.assets[0]!["perCall"] = "1e4")],
    ["payment.assets.0.asset", (c) => (c.payment.assets[0]!["asset"] = `0x${"AB".repeat(19)}`)],
    ["payment.assets", (c) => (c.payment.assets = [])],
    ["payment.assets.0.perHour", (c) => (c.payment.assets[0]!["perHour"] = "9999")],
    ["payment.assets.0.perDay", (c) => (c.payment.assets[0]!["perDay"] = "99999")],
    ["networks.0.network", (c) => (c.networks[0]!["network"] = `eip155:1${"0".repeat(15)}`)],
    ["networks.0.rpcUrl", (c) => (c.networks[0]!["rpcUrl"] = "no url")],
    ["networks.0.rpcUrl", (c) => (c.networks[0]!["rpcUrl"] = "file:///etc/passwd")],
    ["sellers.0.origin", (c) => (c.sellers[0]!["origin"] = "https://seller.example/path")],
    ["sellers.0.payTo", (c) => (c.sellers[0]!["payTo"] = [])],
    ["sellers.0.reference.measurements.0", (c) => (c.sellers[0]!["reference"] = { measurements: [{ "0": "00" }] })],
    ["verification.simulatedRoots.0", (c) => (c["verification"] = { simulatedRoots: ["any"] })],
    ["perCal", (c) => (c.payment.assets[0]!["perCal"] = "1")],
    ["payments", (c) => (c["payments"] = {})],
    ["sellers.1", (c) => c.sellers.push({ ...seller, origin: "https://other.example" })],
    ["networks.1", (c) => c.networks.push({ network, rpcUrl: "https://other.example" })],
    ["payment.assets.1", (c) => c.payment.assets.push({ ...asset, perCall: "999999" })],
    ["payment.assets.0.network", (c) => (c.payment.assets[0]!["network"] = "eip155:1")],
    ["sellers.0.reference.relays.0", (c) => (c.sellers[0]!["reference"] = { relays: [{ network, contract: "0x1" }] })],
    [
      "sellers.0.reference.relays.0.network",
      (c) => (c.sellers[0]!["reference"] = { relays: [{ network: "eip155:1", contract: `0x${"ab".repeat(20)}` }] }),
    ],
    ["payment.formerAssets.0.network", (c) => (c.payment.formerAssets = [{ network: "eip155:1", asset: asset.asset }])],
  ])("%s", async (field, spoil) => {
    spoil(good);
    const path = await written(good);
    const error = (await load(path).catch((caught: unknown) => caught)) as { code: string; message: string };
    expect(error.code).toBe("config_invalid");
    expect(error.message).toContain(path);
    expect(error.message).toContain(field);
  });

  test.each([
    ["", "not JSON"],
    ["{", "breaks off at position 1"],
    ["[]", "expected object"],
    ['{"sellers":[],"sellers":[]}', "twice"],
    ["[".repeat(100_000), "ested"],
    [`"${"x".repeat(1_100_000)}"`, "larger than"],
  ])("%.40s", async (text, words) => {
    await expect(load(await written(text))).rejects.toMatchObject({
      code: "config_invalid",
      message: expect.stringContaining(words) as string,
    });
  });

  test("and what the file holds is not quoted: it may be a key, named by mistake", async () => {
    const key = "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";
    const error = (await load(await written(`0x${key}\n`)).catch((caught: unknown) => caught)) as {
      code: string;
      message: string;
    };
    expect(error.code).toBe("config_invalid");
    for (let at = 0; at + 6 <= key.length; at += 1) expect(error.message).not.toContain(key.slice(at, at + 6));
  });
});
