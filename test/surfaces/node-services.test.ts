import { copyFile, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { sellerSchema, type Seller } from "../../src/market/types.ts";
import { loadNodeConfig, type NodeConfigInput } from "../../src/node/config.ts";
import { packageModelsDirectory } from "../../src/node/index.ts";
import { serveNode, type ServedNode } from "../../src/node/serve.ts";
import { newAccount } from "../devnet/authorizations.ts";
import { buyWith } from "../support/buy.ts";
import { runCli } from "../support/cli.ts";
import { ETH_FEATURES, openMarket, type Market } from "../support/devnet.ts";
import { standInForNitro, type StandIn } from "../support/nitriding.ts";

let market: Market;
let folder: string;
beforeAll(async () => {
  market = await openMarket();
  folder = join(market.directory, "seller");
  const model = join(await packageModelsDirectory(), "eth-risk.onnx");
  await runCli(["node", "init", model, "--price", "0.01", "--pay-to", newAccount().address, "--out", folder]);
});
afterAll(() => market.stop());

/** Writes a configuration of its own for a node on the market's chain. */
async function write(name: string, edit: (settings: NodeConfigInput) => void): Promise<string> {
  const { devnet } = market;
  const settings = JSON.parse(await readFile(join(folder, "node.config.json"), "utf8")) as NodeConfigInput;
  settings.listen = { port: 0 };
  settings.database = name.replace(".json", ".db");
  Object.assign(settings.payment, {
    network: `eip155:${devnet.chainId}`,
    asset: devnet.token,
    decimals: 6,
    domain: { name: devnet.bank.token.name, version: devnet.bank.token.version },
    rpcUrl: devnet.rpcUrl,
    facilitatorUrl: devnet.facilitatorUrl,
  });
  edit(settings);
  const path = join(folder, name);
  await writeFile(path, JSON.stringify(settings));
  return path;
}

/** Serves a configuration from this process, until the test ends. */
async function serve(path: string): Promise<ServedNode> {
  const node = await serveNode(await loadNodeConfig(path), () => undefined);
  onTestFinished(() => node.stop());
  return node;
}

describe("a node in a Nitro enclave, with a stand-in for nitriding and the security module", () => {
  const standIn = (): Promise<StandIn> => standInForNitro(folder, (stop) => onTestFinished(stop));

  /** Writes the node's configuration, serves it, and gives the entry that its buyers paste. */
  async function seller(
    name: string,
    nitro: StandIn,
    enclave: Pick<NonNullable<NodeConfigInput["enclave"]>, "nitriding" | "helper">,
  ): Promise<{ entry: Seller; address: string }> {
    const path = await write(`${name}.json`, (settings) => {
      delete settings.signingKeyFile;
      settings.enclave = { kind: "nitro", ...enclave };
      if (enclave.nitriding !== undefined) settings.origin = nitro.externalUrl;
    });
    const { address } = await serve(path);
    nitro.pass(address);
    const built = join(folder, "built.json");
    await writeFile(built, JSON.stringify(nitro.built));
    const { stdout } = await runCli(["node", "reference", path, "--id", name, "--measurements", built]);
    const entry = JSON.parse(stdout) as object;
    return {
      entry: sellerSchema.parse(enclave.nitriding === undefined ? { ...entry, origin: address } : entry),
      address,
    };
  }

  const buyFrom = async (entry: Seller, nitro: StandIn, assurance: "signed" | "attested") => {
    const buyer = await market.buyer((settings) => {
      settings.sellers = [entry];
      settings.verification = { ...settings.verification, simulatedRoots: [nitro.rootSha256] };
    });
    const input = ETH_FEATURES;
    return buyWith(buyer, {
      model: "eth-risk",
      input,
      assurance,
      idempotencyKey: `enclave-${entry.id}`,
      wait: "verified",
    });
  };

  test("T112: behind nitriding it sells at attested: its key, its image and its models are in the document", async () => {
    const nitro = await standIn();
    const { internalUrl, externalUrl, helper } = nitro;
    const { entry, address } = await seller("nitriding", nitro, { nitriding: { internalUrl, externalUrl }, helper });
    expect(nitro.isReady()).toBe(true);
    expect(entry).toMatchObject({ origin: externalUrl, assurance: "attested" });
    expect(entry.reference.keyIds).toEqual([]);
    const { appraisal } = await buyFrom(entry, nitro, "attested");
    expect(appraisal).toMatchObject({ verdict: "verified", assurance: "attested" });
    expect(appraisal.layers.model).toMatchObject({ status: "pass" });
    expect(appraisal.layers.platform.note).toContain("simulated hardware");
    // nitriding takes nonces of 20 bytes alone.
    expect((await fetch(`${address}/enclave/attestation?nonce=${"ab".repeat(20)}`)).status).toBe(200);
  });

  test("with a helper alone it serves the documents itself", async () => {
    const nitro = await standIn();
    const { entry } = await seller("helper", nitro, { helper: nitro.helper });
    const { appraisal } = await buyFrom(entry, nitro, "attested");
    expect(appraisal).toMatchObject({ verdict: "verified", assurance: "attested" });
  });

  test("without a helper no measurement covers its models, and it is sold at signed", async () => {
    const nitro = await standIn();
    const { internalUrl, externalUrl } = nitro;
    const { entry } = await seller("unmeasured", nitro, { nitriding: { internalUrl, externalUrl } });
    expect(entry.assurance).toBe("signed");
    const { appraisal } = await buyFrom(entry, nitro, "signed");
    expect(appraisal).toMatchObject({ verdict: "verified", layers: { model: { code: "weights_not_measured" } } });
  });

  test("T112: it does not start on documents that no buyer would believe, and says which", async () => {
    const nitro = await standIn();
    const { internalUrl, externalUrl, helper } = nitro;
    const start = (enclave: Omit<NonNullable<NodeConfigInput["enclave"]>, "kind">): Promise<unknown> =>
      write("unusable.json", (settings) => {
        delete settings.signingKeyFile;
        settings.enclave = { kind: "nitro", ...enclave };
      })
        .then(serve)
        .catch((error: unknown) => error);
    const unusable = (words: string): object => ({ code: "enclave_unusable", message: expect.stringContaining(words) });
    expect(await start({ helper: [process.execPath, "-e", "process.exit(3)"] })).toMatchObject(unusable("attest"));
    expect(await start({ helper: [process.execPath, "-p", "'AAAA'"] })).toMatchObject(unusable("no Nitro document"));
    const [swapped, away] = [externalUrl, "http://127.0.0.1:9"];
    expect(await start({ nitriding: { internalUrl: swapped, externalUrl } })).toMatchObject(unusable("answered 500"));
    expect(await start({ nitriding: { internalUrl: away, externalUrl } })).toMatchObject(unusable("not reached"));
    // Extended before, by another: the models of this node are not what is measured.
    nitro.lie([[16, new Uint8Array(48).fill(7)]]);
    expect(await start({ helper })).toMatchObject(unusable("PCR16"));
    nitro.lie([[0, new Uint8Array(48)]]);
    expect(await start({ nitriding: { internalUrl, externalUrl } })).toMatchObject(unusable("debug mode"));
  });

  test("its configuration names a key or an enclave, on this machine alone, and reference asks for the measurements", async () => {
    const both = await write("both.json", (settings) => void (settings.enclave = { kind: "nitro", helper: ["nsm"] }));
    await expect(loadNodeConfig(both)).rejects.toMatchObject({ message: expect.stringContaining("signingKeyFile") });
    const elsewhere = await write("elsewhere.json", (settings) => {
      delete settings.signingKeyFile;
      settings.enclave = { kind: "nitro", nitriding: { internalUrl: "http://198.51.100.1:8080" } };
    });
    await expect(loadNodeConfig(elsewhere)).rejects.toMatchObject({ message: expect.stringContaining("this machine") });
    const path = await write("asked.json", (settings) => {
      delete settings.signingKeyFile;
      settings.enclave = { kind: "nitro", helper: ["nsm"] };
    });
    expect((await runCli(["node", "reference", path])).stderr).toContain("--measurements");
    await copyFile(path, join(folder, "no-measurements.json"));
    const told = await runCli(["node", "reference", path, "--measurements", join(folder, "no-measurements.json")]);
    expect(told.stderr).toContain("nitro-cli");
  });
});
