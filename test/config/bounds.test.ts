import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { appraisalPolicyOf } from "../../src/buyer/context.ts";
import { trustText } from "../../src/cli/trust.ts";
import { loadConfig, type Config } from "../../src/index.ts";
import { policyHash, trustSchema } from "../../src/verify/policy.ts";
import { asset, network, seller, writtenConfig, type Written } from "../support/written-config.ts";

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "proof402-bounds-"));
});
afterAll(() => rm(directory, { recursive: true, force: true }));

let good: Written;
beforeEach(() => {
  good = writtenConfig();
});

async function loaded(): Promise<Config> {
  const path = join(directory, "proof402.config.json");
  await writeFile(path, JSON.stringify(good));
  return loadConfig({ path, env: {} });
}

describe("T36: a bound that would count for nothing", () => {
  const limit = { network, asset: asset.asset, total: "20000" };
  const replay = (models: Record<string, string>) => ({ replay: { models } });

  test.each<[string, string, (config: Written) => void]>([
    [
      "a second entry for one asset of a seller",
      "sellers.0.limits.1: 0xabab",
      (c) => (c.sellers[0]!["limits"] = [{ ...limit, perHour: "1000000" }, limit]),
    ],
    [
      "a second entry that spells the asset otherwise",
      "sellers.0.limits.1: 0xabab",
      (c) => (c.sellers[0]!["limits"] = [limit, { ...limit, asset: `0x${"AB".repeat(20)}` }]),
    ],
    [
      "a seller's cap on a network by another name",
      "sellers.0.limits.0.network: CAIP-2 id such as eip155:8453",
      (c) => (c.sellers[0]!["limits"] = [{ ...limit, network: "base" }]),
    ],
    [
      "a seller's cap on a network without an asset",
      "sellers.0.limits.0: payment.assets has no 0xabab",
      (c) => (c.sellers[0]!["limits"] = [{ ...limit, network: "eip155:1" }]),
    ],
    [
      "a seller's cap on an asset that is not paid with",
      "sellers.0.limits.0: payment.assets has no 0x1212",
      (c) => (c.sellers[0]!["limits"] = [{ ...limit, asset: `0x${"12".repeat(20)}` }]),
    ],
    [
      "a seller's entry without a cap",
      "sellers.0.limits.0: it bounds nothing",
      (c) => (c.sellers[0]!["limits"] = [{ network, asset: asset.asset }]),
    ],
    [
      "a second token under the name of another",
      "payment.assets.1: USDC on eip155:8453 is listed twice",
      (c) => c.payment.assets.push({ ...asset, asset: `0x${"12".repeat(20)}` }),
    ],
    [
      "a seller's caps beside a second entry of its place",
      "sellers.1.origin: https://seller.example is listed twice",
      (c) => c.sellers.push({ ...seller, id: "again" }),
    ],
    [
      "a witness that is the RPC itself in another spelling",
      "networks.0.witnessRpcUrl: it is the server of rpcUrl",
      (c) => (c.networks[0]!["witnessRpcUrl"] = "https://RPC.example:443/?key=other"),
    ],
    [
      "a re-execution of a model that no seller's entry pins",
      "verification.replay.models.eth-rsik: no seller's reference.models",
      (c) => {
        c.sellers[0]!["reference"] = { models: { "eth-risk": "ab".repeat(32) } };
        c["verification"] = replay({ "eth-risk": "m.onnx", "eth-rsik": "m.onnx" });
      },
    ],
    [
      "a re-execution of no model",
      "verification.replay.models: it names no model",
      (c) => (c["verification"] = replay({})),
    ],
  ])("is refused with its field: %s", async (_name, words, spoil) => {
    spoil(good);
    await expect(loaded()).rejects.toMatchObject({
      code: "config_invalid",
      message: expect.stringContaining(`  ${words}`) as string,
    });
  });

  test("is none of one entry for each asset, a pinned model and another operator's RPC", async () => {
    const other = { ...asset, asset: `0x${"ef".repeat(20)}`, symbol: "EURC" };
    good.payment.assets.push(other);
    good.networks[0]!["witnessRpcUrl"] = "https://rpc.other.example";
    good.sellers[0]!["limits"] = [limit, { network, asset: other.asset, perDay: "1" }];
    good.sellers[0]!["reference"] = { models: { "eth-risk": "ab".repeat(32) } };
    good["verification"] = replay({ "eth-risk": "m.onnx" });
    expect((await loaded()).sellers[0]?.limits).toHaveLength(2);
  });
});

describe("a configuration at its bounds", () => {
  const assets = (count: number): object[] =>
    Array.from({ length: count }, (_, index) => ({
      ...asset,
      asset: `0x${index.toString(16).padStart(40, "0")}`,
      symbol: `T${index}`,
    }));
  const ofLength = (length: number): string => `https://${"a".repeat(length - 8)}`;

  test.each<[string, (config: Written) => void, (config: Written) => void]>([
    ["assets", (c) => (c.payment.assets = assets(256) as never), (c) => (c.payment.assets = assets(257) as never)],
    ["an origin", (c) => (c.sellers[0]!["origin"] = ofLength(512)), (c) => (c.sellers[0]!["origin"] = ofLength(513))],
  ])("makes a trust file that can be read back, and is refused beyond them: %s", async (_name, most, more) => {
    most(good);
    const config = await loaded();
    const policy = appraisalPolicyOf(config, "attested");
    const read = trustSchema.parse(JSON.parse(trustText(policy)));
    expect(policyHash(read.policy)).toBe(policyHash(policy));
    more(good);
    await expect(loaded()).rejects.toMatchObject({ code: "config_invalid" });
  });
});
