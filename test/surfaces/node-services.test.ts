import { copyFile, writeFile } from "node:fs/promises";
import { generateKeyPairSync, verify, type KeyObject } from "node:crypto";
import { join } from "node:path";
import { inspect } from "node:util";
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from "vitest";
import { sellerSchema, type Seller } from "../../src/market/types.ts";
import { loadNodeConfig, type NodeConfigInput } from "../../src/node/config.ts";
import { serveNode } from "../../src/node/serve.ts";
import { newestAppraisal } from "../../src/receipts/newest.ts";
import { buyWith } from "../support/buy.ts";
import { runCli } from "../support/cli.ts";
import { ETH_FEATURES, openMarket, type Market } from "../support/devnet.ts";
import { initSeller, onMarket, serveConfig, writeNodeConfig } from "../support/node-config.ts";
import { infront } from "../support/infront.ts";
import { isUsed, purseFor } from "../support/selling.ts";
import { standInForNitro, type StandIn } from "../support/nitriding.ts";

let market: Market;
let folder: string;
beforeAll(async () => {
  market = await openMarket();
  folder = await initSeller(market);
});
afterAll(() => market.stop());

/** Writes a configuration of its own for a node on the market's chain. */
const write = (name: string, edit: (settings: NodeConfigInput) => void): Promise<string> =>
  writeNodeConfig(folder, name, (settings) => {
    onMarket(market, settings);
    settings.database = name.replace(".json", ".db");
    settings.payment.facilitatorUrl = market.devnet.facilitatorUrl;
    edit(settings);
  });

describe("a node that anchors", () => {
  test("has its answers in an event of the relay that its buyers pin", async () => {
    const { devnet } = market;
    const keyFile = join(folder, "anchor.key");
    await writeFile(keyFile, `${await devnet.bank.fundedKey()}\n`, { mode: 0o600 });
    const relay = { network: `eip155:${devnet.chainId}` as const, contract: devnet.relay };
    const path = await write("anchoring.json", (settings) => {
      settings.anchoring = { ...relay, rpcUrl: devnet.rpcUrl, keyFile: "anchor.key", maxAnswers: 1 };
    });
    const { address } = await serveConfig(path);
    const { stdout } = await runCli(["node", "reference", path, "--id", "anchoring"]);
    const entry = sellerSchema.parse({ ...(JSON.parse(stdout) as object), origin: address });
    expect(entry.reference.relays).toEqual([relay]);
    const buyer = await market.buyer((settings) => (settings.sellers = [entry]));
    const bought = await buyWith(buyer, {
      model: "eth-risk",
      input: ETH_FEATURES,
      assurance: "signed",
      idempotencyKey: "anchored",
    });
    await expect
      .poll(async () => {
        const receipt = await buyer.getReceipt(bought.receipt.id, { waitSeconds: 10 });
        return newestAppraisal(receipt).layers.inclusion.status;
      })
      .toBe("pass");
  });

  test("does not start on another chain, on none, or with a key that is none", async () => {
    const { devnet } = market;
    const place = { contract: devnet.relay, rpcUrl: devnet.rpcUrl, keyFile: "wrong.key" };
    await writeFile(join(folder, "wrong.key"), "no key", { mode: 0o600 });
    const refused = async (network: `eip155:${number}`): Promise<unknown> => {
      const path = await write("wrong.json", (settings) => (settings.anchoring = { ...place, network }));
      return serveConfig(path);
    };
    await expect(refused(`eip155:${devnet.chainId}`)).rejects.toMatchObject({ code: "private_key_invalid" });
    await writeFile(join(folder, "wrong.key"), await devnet.bank.fundedKey(), { mode: 0o600 });
    await expect(refused("eip155:8453")).rejects.toMatchObject({ code: "wrong_chain" });
    place.rpcUrl = "http://127.0.0.1:9";
    await expect(refused(`eip155:${devnet.chainId}`)).rejects.toMatchObject({ code: "chain_unreachable" });
  });
});

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
    const { address } = await serveConfig(path);
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
        .then(serveConfig)
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

describe("Coinbase's facilitator, with a stand-in that checks its tokens", () => {
  type Token = { header: Record<string, unknown>; claims: Record<string, unknown> };

  /** Lets a request through whose token is signed by the key, for this very request, and now. */
  async function guarded(key: KeyObject): Promise<{ origin: string; seen: Token[]; tokens: Set<string> }> {
    const seen: Token[] = [];
    const tokens = new Set<string>();
    const front = await infront(market.devnet.facilitatorUrl, (path, request) => {
      const token = (request.headers.get("authorization") ?? "").replace("Bearer ", "");
      const [head = "", body = "", signature = ""] = token.split(".");
      const read = (part: string): Record<string, unknown> =>
        JSON.parse(Buffer.from(part, "base64url").toString()) as Record<string, unknown>;
      const digest = key.asymmetricKeyType === "ed25519" ? null : "sha256";
      const signed = Buffer.from(`${head}.${body}`);
      const options = { key, dsaEncoding: "ieee-p1363" } as const;
      if (!verify(digest, signed, options, Buffer.from(signature, "base64url"))) return refused();
      const [header, claims] = [read(head), read(body)];
      const now = Date.now() / 1000;
      const { host } = new URL(request.url);
      const isFor = JSON.stringify(claims["uris"]) === JSON.stringify([`${request.method} ${host}${path}`]);
      if (!isFor || Number(claims["nbf"]) > now || Number(claims["exp"]) < now) return refused();
      seen.push({ header, claims });
      tokens.add(token);
      return Promise.resolve(null);
    });
    onTestFinished(() => front.stop());
    return { origin: front.origin, seen, tokens };
  }
  const refused = (): Promise<Response> => Promise.resolve(new Response(null, { status: 401 }));

  test.each([
    ["an Ed25519 key in the portal's file", "file", "EdDSA"],
    ["an EC key in the environment", "variables", "ES256"],
  ] as const)("T113: %s makes a token for each request, and is shown to no one", async (_name, source, alg) => {
    const pair = alg === "EdDSA" ? generateKeyPairSync("ed25519") : generateKeyPairSync("ec", { namedCurve: "P-256" });
    const jwk = pair.privateKey.export({ format: "jwk" });
    const seed = Buffer.concat([jwk.d ?? "", jwk.x ?? ""].map((part) => Buffer.from(part, "base64url")));
    const pem = pair.privateKey.export({ type: "pkcs8", format: "pem" }).toString();
    const secret = alg === "EdDSA" ? seed.toString("base64") : pem.replaceAll("\n", String.raw`\n`);
    await writeFile(join(folder, "cdp.json"), JSON.stringify({ id: "key-1", privateKey: secret }), { mode: 0o600 });
    vi.stubEnv("SELLER_KEY_ID", "key-1");
    vi.stubEnv("SELLER_KEY", secret);
    onTestFinished(() => void vi.unstubAllEnvs());
    const { origin, seen, tokens } = await guarded(pair.publicKey);
    const path = await write(`cdp-${source}.json`, (settings) => {
      settings.payment.facilitatorUrl = `${origin}/`;
      settings.payment.facilitatorKey =
        source === "file" ? { file: "cdp.json" } : { variables: { id: "SELLER_KEY_ID", secret: "SELLER_KEY" } };
    });
    const events: unknown[] = [];
    const node = await serveNode(await loadNodeConfig(path), (event) => events.push(event));
    onTestFinished(() => node.stop());
    const answer = await (await purseFor(market, node.address)).post();
    expect(answer.status).toBe(200);
    const asked = seen.map(({ claims }) => String(claims["uris"]));
    for (const request of ["GET /supported", "POST /verify", "POST /settle"])
      expect(asked).toContain(request.replace(" ", ` ${new URL(origin).host}`));
    expect(seen[0]).toMatchObject({
      header: { alg, kid: "key-1", typ: "JWT" },
      claims: { sub: "key-1", iss: "cdp", aud: ["cdp_service"] },
    });
    expect(tokens.size).toBe(seen.length);
    expect(JSON.stringify([events, answer])).not.toContain(secret.slice(0, 20));
  });

  test("T113: a wrong key is refused at the start without a word of it, and a token that is refused charges nothing", async () => {
    const start = (settings: NodeConfigInput["payment"]["facilitatorKey"]): Promise<unknown> =>
      write("cdp-wrong.json", ({ payment }) => void (payment.facilitatorKey = settings))
        .then(serveConfig)
        .catch((error: unknown) => error);
    await writeFile(join(folder, "bad.json"), '{"id":"key-1","privateKey":"c2VjcmV0"}', { mode: 0o600 });
    const told = (await start({ file: "bad.json" })) as Error;
    expect(told).toMatchObject({ code: "facilitator_key_invalid" });
    expect(inspect(told)).not.toContain("c2VjcmV0");
    expect(await start({ variables: {} })).toMatchObject({ code: "facilitator_key_invalid" });
    await writeFile(join(folder, "open.json"), "{}", { mode: 0o644 });
    expect(await start({ file: "open.json" })).toMatchObject({ code: "config_permissions" });
    expect(await start({ file: "bad.json", variables: {} })).toMatchObject({ code: "config_invalid" });

    const another = generateKeyPairSync("ed25519");
    const { origin } = await guarded(generateKeyPairSync("ed25519").publicKey);
    const jwk = another.privateKey.export({ format: "jwk" });
    const secret = Buffer.concat([jwk.d ?? "", jwk.x ?? ""].map((part) => Buffer.from(part, "base64url")));
    const file = JSON.stringify({ id: "key-1", privateKey: secret.toString("base64") });
    await writeFile(join(folder, "another.json"), file, { mode: 0o600 });
    const open = await serveConfig(await write("open-to-all.json", () => undefined));
    const path = await write("another-key.json", ({ payment }) => {
      payment.facilitatorUrl = origin;
      payment.facilitatorKey = { file: "another.json" };
    });
    const refusing = await serveConfig(path);
    const purse = await purseFor(market, open.address);
    expect((await purse.post(undefined, refusing.address)).status).toBe(502);
    expect(await isUsed(market, purse)).toBe(false);
  });
});
