import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { beforePaying } from "../../src/payment/before-paying.ts";
import { openChain, type Chain } from "../../src/chain/chain.ts";
import type { AssetPolicy } from "../../src/payment/policy.ts";
import { openDatabase, type Db } from "../../src/storage/database.ts";
import { rpcInFront, type Lie, type RpcCall } from "../support/rpc.ts";
import { openGround, type Ground } from "./chain/purchases.ts";
import { NETWORK } from "./fixtures.ts";

let ground: Ground;
let asset: AssetPolicy;
beforeAll(async () => {
  ground = await openGround("1000000");
  const [only] = ground.policy.assets;
  if (only === undefined) throw new Error("the policy has an asset");
  asset = only;
});
afterAll(() => ground.stop());

const chainAt = (rpcUrl: string): Chain =>
  openChain({ network: NETWORK, rpcUrl, confirmations: 0, pollMilliseconds: 20 });

async function ready(chain: Chain, options: { asset?: AssetPolicy; db?: Db; now?: Date } = {}) {
  const db = options.db ?? (await freshDatabase());
  return beforePaying({ db, chain, asset: options.asset ?? asset, now: options.now ?? new Date() });
}

async function freshDatabase(): Promise<Db> {
  const db = await openDatabase(":memory:");
  onTestFinished(() => db.destroy());
  return db;
}

const calls = (selector: string, { method, params }: RpcCall): boolean =>
  method === "eth_call" && (params[0] as { data?: string }).data?.startsWith(selector) === true;
const SEPARATOR = "0x3644e515";
const DESCRIPTION = "0x84b0196e";
const NAME = "0x06fdde03";
const VERSION = "0x54fd4d50";
/** A string as a contract returns it. */
const text = (value: string): string =>
  `0x${[32, value.length].map((word) => word.toString(16).padStart(64, "0")).join("")}${Buffer.from(value).toString("hex").padEnd(64, "0")}`;

describe("T40: a token that is not the configured one", () => {
  it.each<[string, (asset: AssetPolicy) => AssetPolicy, string]>([
    ["by its decimals", (one) => ({ ...one, decimals: 18 }), "decimals"],
    ["by its name", (one) => ({ ...one, domain: { ...one.domain, name: "USDC" } }), "domain"],
    ["by its version", (one) => ({ ...one, domain: { ...one.domain, version: "1" } }), "domain"],
    ["because there is none", (one) => ({ ...one, asset: `0x${"77".repeat(20)}` }), "contract"],
  ])("%s is refused before anything is signed", async (_name, change, what) => {
    const chain = chainAt(ground.anvil.rpcUrl);
    await expect(ready(chain, { asset: change(asset) })).rejects.toMatchObject({
      code: "asset_mismatch",
      money: undefined,
      details: { what },
    });
    await ready(chain);
  });

  it.each<[string, Record<string, string>]>([
    ["by its separator, whatever name it shows", { [SEPARATOR]: `0x${"ab".repeat(32)}` }],
    ["by its name, where it has no separator", { [NAME]: text("Dollar") }],
    ["by its version, where it has no separator", { [VERSION]: text("9") }],
  ])("%s is refused", async (_name, shown) => {
    const rpc = await rpcInFront(ground.anvil.rpcUrl, (call): Lie | undefined => {
      const found = Object.entries(shown).find(([selector]) => calls(selector, call));
      return found === undefined ? undefined : { result: found[1] };
    });
    await expect(ready(chainAt(rpc.url))).rejects.toMatchObject({
      code: "asset_mismatch",
      details: { what: "domain" },
    });
  });

  it("is not what one is that shows nothing to compare, nor one that pays by Permit2 under another domain", async () => {
    const rpc = await rpcInFront(ground.anvil.rpcUrl, ({ method }) =>
      method === "eth_call" ? { error: { code: 3, message: "execution reverted" } } : undefined,
    );
    expect(await ready(chainAt(rpc.url))).toEqual(expect.any(Number));
    const permitted: AssetPolicy = { ...asset, methods: ["permit2"], domain: { name: "?", version: "?" } };
    expect(await ready(chainAt(ground.anvil.rpcUrl), { asset: permitted })).toEqual(expect.any(Number));
  });

  it("is compared once: what agreed is kept, until the configuration says something else", async () => {
    const db = await freshDatabase();
    const rpc = await rpcInFront(ground.anvil.rpcUrl, () => undefined);
    const compared = (): number => rpc.calls.filter((call) => calls(DESCRIPTION, call)).length;
    await ready(chainAt(rpc.url), { db });
    await ready(chainAt(rpc.url), { db });
    expect(compared()).toBe(1);
    await expect(ready(chainAt(rpc.url), { db, asset: { ...asset, decimals: 2 } })).rejects.toMatchObject({
      code: "asset_mismatch",
    });
  });
});

describe("the chain before a payment", () => {
  it("is the configured one, or nothing is paid", async () => {
    const rpc = await rpcInFront(ground.anvil.rpcUrl, ({ method }) =>
      method === "eth_chainId" ? { result: "0x2105" } : undefined,
    );
    await expect(ready(chainAt(rpc.url))).rejects.toMatchObject({ code: "wrong_chain", money: undefined });
  });

  it("that does not answer holds up nothing, and is not asked again at once", async () => {
    const rpc = await rpcInFront(ground.anvil.rpcUrl, () => "silence");
    const chain = chainAt(rpc.url);
    expect(await ready(chain)).toBeUndefined();
    const asked = rpc.calls.length;
    expect(await ready(chain)).toBeUndefined();
    expect(rpc.calls).toHaveLength(asked);
  });

  it("tells its time, by the block to come where it shows one, and is asked once", async () => {
    const rpc = await rpcInFront(ground.anvil.rpcUrl, () => undefined);
    const chain = chainAt(rpc.url);
    const head = async () => Math.floor((await ground.now()).getTime() / 1000);
    const time = await ready(chain, { now: new Date(0) });
    expect(time).toBeGreaterThanOrEqual(await head());
    const asked = rpc.calls.filter(({ method }) => method === "eth_getBlockByNumber").length;
    expect(await ready(chain)).toBeGreaterThanOrEqual(time ?? Infinity);
    expect(rpc.calls.filter(({ method }) => method === "eth_getBlockByNumber")).toHaveLength(asked);
  });

  it("tells no time where its newest block is old and none is to come", async () => {
    const rpc = await rpcInFront(ground.anvil.rpcUrl, ({ method, params }) =>
      method === "eth_getBlockByNumber" && params[0] === "pending" ? { result: null } : undefined,
    );
    const head = await ground.now();
    const after = (seconds: number) => ready(chainAt(rpc.url), { now: new Date(head.getTime() + seconds * 1000) });
    expect(await after(3600)).toBeUndefined();
    expect(await after(-3600)).toBeGreaterThanOrEqual(head.getTime() / 1000);
  });
});
