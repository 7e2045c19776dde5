import { appendFile, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { decodePaymentRequiredHeader } from "@x402/core/http";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { loadConfig } from "../../src/config/load.ts";
import { configSchema } from "../../src/config/schema.ts";
import {
  readDevnetKey,
  SELLERS,
  serveLocally,
  startDevnet,
  writeDevnet,
  type Devnet,
  type SellerName,
} from "../../src/devnet/index.ts";
import { fromBase64, fromHex, keccak256, toHex, utf8 } from "../../src/evidence/bytes.ts";
import { TEE_HEADERS, teeMessageHash, TEE_SIGNATURE_ALGORITHM } from "../../src/evidence/tee-signature.ts";
import { loadWallet } from "../../src/payment/load-wallet.ts";
import { stockBuy, type Bought } from "../interop/stock-buyer.ts";
import { ETH_FEATURES } from "../support/devnet.ts";
import { descendants, fixedPorts, listens } from "./processes.ts";

let devnet: Devnet;

beforeAll(async () => {
  devnet = await startDevnet();
});
afterAll(() => devnet.stop());

const at = (seller: SellerName, path: string): string => `${devnet.sellers[seller].origin}${path}`;
const buy = (seller: SellerName, model = "eth-risk", features = ETH_FEATURES.features) =>
  stockBuy(devnet, at(seller, `/v2/models/${model}/infer`), features);
const everyAddress = (one: Devnet): string[] => [
  one.rpcUrl,
  one.facilitatorUrl,
  ...Object.values(one.sellers).map(({ origin }) => origin),
];

describe("the market", () => {
  it("comes with a complete configuration for its buyer, cheapest attested seller first", async () => {
    const config = configSchema.parse(devnet.config);
    expect(config.networks).toMatchObject([{ network: "eip155:31337", rpcUrl: devnet.rpcUrl, confirmations: 0 }]);
    expect(config.payment.assets).toMatchObject([
      { asset: devnet.token, decimals: 6, usdStable: true, domain: { name: "USD Coin", version: "2" } },
      { symbol: "DAI", decimals: 18, usdStable: true, methods: ["eip3009"] },
    ]);
    expect(config.sellers.map(({ id, assurance }) => [id, assurance])).toEqual([
      ["tampering", "attested"],
      ["honest", "attested"],
      ["unattested", "none"],
    ]);
    for (const { id, origin, payTo } of config.sellers) {
      expect({ origin, payTo: payTo[0] }).toEqual(devnet.sellers[id as SellerName]);
    }
    expect(config.http.allowPrivateAddresses).toBe(true);
    expect(await devnet.balanceOf(privateKeyToAccount(devnet.privateKey).address)).toBe(100_000_000n);
  });

  it("has one simulated root, under which both attested sellers run the same code and models", () => {
    const config = configSchema.parse(devnet.config);
    expect(config.verification.simulatedRoots).toHaveLength(1);
    const [tampering, honest, unattested] = config.sellers.map(({ reference }) => reference);
    expect(tampering).toEqual(honest);
    expect(honest?.measurements).toHaveLength(1);
    expect(Object.keys(honest?.models ?? {}).toSorted()).toEqual(["eth-risk", "payroll-check", "supply-route"]);
    expect(unattested?.measurements).toEqual([]);
  });

  it.each([
    ["honest", "10000"],
    ["tampering", "4000"],
    ["unattested", "3000"],
  ] as const)("the %s seller asks %s base units for every model", async (seller, amount) => {
    for (const model of ["eth-risk", "payroll-check", "supply-route"]) {
      const response = await fetch(at(seller, `/v2/models/${model}/infer`), { method: "POST", body: "{}" });
      expect(response.status).toBe(402);
      const { accepts } = decodePaymentRequiredHeader(response.headers.get("payment-required") ?? "");
      expect(accepts[0]).toMatchObject({
        scheme: "exact",
        network: "eip155:31337",
        asset: devnet.token,
        amount,
        payTo: devnet.sellers[seller].payTo,
        extra: { name: "USD Coin", version: "2" },
      });
      const wei = (units: string): string => `${units}${"0".repeat(12)}`;
      expect(accepts.map(({ scheme, asset, amount: asked }) => [scheme, asset === devnet.token, asked])).toEqual([
        ["exact", true, amount],
        ["exact", true, amount],
        ["upto", true, amount],
        ["batch-settlement", true, amount],
        ["exact", false, wei(amount)],
        ["exact", false, wei(amount)],
        ["upto", false, wei(amount)],
        ["batch-settlement", false, wei(amount)],
      ]);
    }
  });

  it("listens on loopback only, each part on an address of its own", () => {
    const addresses = everyAddress(devnet);
    expect(new Set(addresses).size).toBe(5);
    for (const address of addresses) expect(new URL(address).hostname).toBe("127.0.0.1");
  });

  it("stands beside another one on the same machine", async () => {
    const other = await startDevnet({ fund: 7n });
    onTestFinished(() => other.stop());
    expect(everyAddress(other).filter((address) => everyAddress(devnet).includes(address))).toEqual([]);
    expect(await other.balanceOf(privateKeyToAccount(other.privateKey).address)).toBe(7n);
    expect(await other.balanceOf(privateKeyToAccount(devnet.privateKey).address)).toBe(0n);
    expect(other.config.verification?.simulatedRoots).not.toEqual(devnet.config.verification?.simulatedRoots);
  });
});

type Answer = { outputs: { name: string; datatype: string; data: number[] }[] };
const answerOf = ({ received }: Bought): Answer => JSON.parse(new TextDecoder().decode(received)) as Answer;

/** Whether the seller's signature holds over these hashes, by the key it serves. */
async function signed(
  seller: SellerName,
  { headers }: Bought,
  hashes: { requestHash: Uint8Array; outputHash: Uint8Array },
) {
  const { public_key: pem } = (await (await fetch(at(seller, "/signing-key"))).json()) as { public_key: string };
  const spki = fromBase64(pem.replace(/-----[A-Z ]+-----|\s/g, ""));
  const key = await crypto.subtle.importKey("spki", spki, TEE_SIGNATURE_ALGORITHM, false, ["verify"]);
  const message = teeMessageHash({ ...hashes, timestamp: Number(headers.get(TEE_HEADERS.timestamp)) });
  const signature = fromBase64(headers.get(TEE_HEADERS.signature) ?? "");
  return crypto.subtle.verify(TEE_SIGNATURE_ALGORITHM, key, signature, message);
}

describe("the sellers", () => {
  it("the honest one signs the bytes it received and the bytes it sends", async () => {
    const bought = await buy("honest");
    const hashes = { requestHash: keccak256(utf8(bought.sent)), outputHash: keccak256(bought.received) };
    expect(await signed("honest", bought, hashes)).toBe(true);
  });

  it.each([
    ["eth-risk", ETH_FEATURES.features],
    ["payroll-check", [1, 0, 1, 1, 0, 0.5, 1, 1]],
    ["supply-route", [1, 0, 0.5, 0.1, 0.1, 0, 0.8]],
  ] as const)(
    "the tampering one changes every output of %s after signing, and nothing else shows it",
    async (model, features) => {
      const honest = await buy("honest", model, [...features]);
      const changed = await buy("tampering", model, [...features]);
      expect([honest.status, changed.status]).toEqual([200, 200]);
      expect(changed.settled?.success).toBe(true);
      const [was, is] = [answerOf(honest), answerOf(changed)];
      const shape = (answer: Answer) =>
        answer.outputs.map(({ name, datatype, data }) => ({ name, datatype, count: data.length }));
      expect(shape(is)).toEqual(shape(was));
      for (const [index, output] of is.outputs.entries()) {
        expect(output.data[0]).not.toBe(was.outputs[index]?.data[0]);
        expect(output.data.every(Number.isFinite)).toBe(true);
        expect(output.data.slice(1)).toEqual(was.outputs[index]?.data.slice(1));
      }
      expect([...changed.headers.keys()].toSorted()).toEqual([...honest.headers.keys()].toSorted());
      expect(changed.headers.get("content-length") ?? String(changed.received.length)).toBe(
        String(changed.received.length),
      );

      // Its signature is a good one, over an answer that is not the one it sent.
      const requestHash = keccak256(utf8(changed.sent));
      const claimed = changed.headers.get(TEE_HEADERS.outputHash) ?? "";
      expect(claimed).not.toBe(toHex(keccak256(changed.received)));
      expect(await signed("tampering", changed, { requestHash, outputHash: fromHex(claimed) })).toBe(true);
      expect(await signed("tampering", changed, { requestHash, outputHash: keccak256(changed.received) })).toBe(false);
    },
  );

  it("the unattested one gives no evidence and the same answer", async () => {
    const bought = await buy("unattested");
    expect(answerOf(bought)).toEqual(answerOf(await buy("honest")));
    expect(Object.values(TEE_HEADERS).filter((name) => bought.headers.has(name))).toEqual([]);
    for (const path of [`/enclave/attestation?nonce=${"00".repeat(20)}`, "/signing-key"]) {
      expect((await fetch(at("unattested", path))).status).toBe(404);
    }
  });
});

describe("starting and stopping", () => {
  const anvils = async (): Promise<string[]> => (await descendants()).filter((one) => one.includes("anvil"));

  it("a stopped market leaves no process and no open port, and stops once however often it is asked", async () => {
    const before = await anvils();
    const other = await startDevnet();
    expect(await Promise.all(everyAddress(other).map(listens))).toEqual([true, true, true, true, true]);
    await Promise.all([other.stop(), other.stop()]);
    await other.stop();
    expect(await Promise.all(everyAddress(other).map(listens))).toEqual([false, false, false, false, false]);
    expect(await anvils()).toEqual(before);
  });

  const PARTS = ["chain", "facilitator", ...SELLERS] as const;
  const origins = (ports: Record<(typeof PARTS)[number], number>): string[] =>
    PARTS.map((part) => `http://127.0.0.1:${ports[part]}`);

  it("uses the ports it is given, again and again", async () => {
    const ports = await fixedPorts(PARTS);
    for (let time = 0; time < 2; time++) {
      const other = await startDevnet({ ports });
      try {
        expect(everyAddress(other).toSorted()).toEqual(origins(ports).toSorted());
        expect(await Promise.all(origins(ports).map(listens))).toEqual([true, true, true, true, true]);
      } finally {
        await other.stop();
      }
    }
  });

  it.each(PARTS)("a market whose %s port is taken does not start and leaves nothing behind", async (part) => {
    const before = await anvils();
    const ports = await fixedPorts(PARTS);
    const taken = await serveLocally(() => new Response(), ports[part]);
    onTestFinished(() => taken.stop());
    await expect(startDevnet({ ports })).rejects.toMatchObject({
      code: "port_taken",
      money: undefined,
      details: { port: ports[part] },
    });
    expect(await Promise.all(origins(ports).map(listens))).toEqual(PARTS.map((one) => one === part));
    expect(await anvils()).toEqual(before);
  });
});

describe("a written market", () => {
  const directory = async (): Promise<string> => {
    const path = await mkdtemp(join(tmpdir(), "proof402-devnet-"));
    onTestFinished(() => rm(path, { recursive: true, force: true }));
    return path;
  };

  it("loads as the buyer's configuration, and its key opens the funded wallet", async () => {
    const folder = join(await directory(), "new");
    const { config: path } = await writeDevnet(devnet, folder);
    const config = await loadConfig({ path, env: {} });
    expect(config.sellers).toEqual(configSchema.parse(devnet.config).sellers);
    expect(config.database).toBe(join(folder, "proof402.db"));
    const wallet = await loadWallet({ privateKeyFile: config.wallet.privateKeyFile, env: {} });
    expect(wallet?.address).toBe(privateKeyToAccount(devnet.privateKey).address.toLowerCase());
    expect(await readFile(path, "utf8")).not.toContain(devnet.privateKey.slice(2));
  });

  it("keeps its key from everybody else", async () => {
    const folder = await directory();
    await writeDevnet(devnet, folder);
    expect((await stat(join(folder, "buyer.key"))).mode & 0o777).toBe(0o600);
  });

  it("takes the place of no key, configuration or marker that a devnet did not write, or that was changed since", async () => {
    for (const name of ["buyer.key", "proof402.config.json", "proof402.devnet.json"]) {
      const folder = await directory();
      const path = join(folder, name);
      const refused = { code: expect.stringMatching(/^(?:file|config)_exists$/) as string, money: undefined };
      await writeFile(path, "their only copy\n");
      await expect(writeDevnet(devnet, folder)).rejects.toMatchObject(refused);
      expect(await readdir(folder)).toEqual([name]);
      expect(await readFile(path, "utf8")).toBe("their only copy\n");
      await rm(path);
      const elsewhere = join(await directory(), "elsewhere");
      await symlink(elsewhere, path);
      await expect(writeDevnet(devnet, folder)).rejects.toMatchObject({ code: "file_exists" });
      await writeFile(elsewhere, "theirs\n");
      await expect(writeDevnet(devnet, folder)).rejects.toMatchObject(refused);
      expect(await readFile(elsewhere, "utf8")).toBe("theirs\n");
      await rm(path);
      await writeDevnet(devnet, folder);
      await appendFile(path, "x");
      await expect(readDevnetKey(folder)).rejects.toMatchObject(refused);
    }
  });

  it("is written again where it was, with the key that it had", async () => {
    const folder = await directory();
    expect(await readDevnetKey(folder)).toBeNull();
    await writeDevnet(devnet, folder);
    expect(await readDevnetKey(folder)).toBe(devnet.privateKey);
    const moved = { ...devnet, settings: { ...devnet.settings, database: "other.db" } };
    const { config: path } = await writeDevnet(moved, folder);
    expect((await loadConfig({ path, env: {} })).database).toBe(join(folder, "other.db"));
    expect(await readFile(join(folder, "buyer.key"), "utf8")).toBe(`${devnet.privateKey}\n`);
    const another = { ...devnet, privateKey: generatePrivateKey() };
    await expect(writeDevnet(another, folder)).rejects.toMatchObject({ code: "file_exists" });
    expect(await readDevnetKey(folder)).toBe(devnet.privateKey);
  });
});
