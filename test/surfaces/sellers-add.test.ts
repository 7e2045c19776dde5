import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { idOf } from "../../src/cli/add-seller.ts";
import { loadConfig } from "../../src/config/load.ts";
import type { ConfigInput } from "../../src/config/schema.ts";
import { writeDevnet } from "../../src/devnet/index.ts";
import { sellerSchema } from "../../src/market/types.ts";
import { createSigner, generateSigningKey } from "../../src/node/index.ts";
import { buyWith } from "../support/buy.ts";
import { statedPins } from "../../src/buyer/stated-pins.ts";
import type { ChannelTerms } from "../../src/payment/channel-offers.ts";
import { runCli } from "../support/cli.ts";
import { ETH_FEATURES, openMarket, writeVariant, type Market } from "../support/devnet.ts";
import { infront } from "../support/infront.ts";
import { openSeller } from "../support/selling.ts";

let market: Market;
let full: string;
let cases = 0;

beforeAll(async () => {
  market = await openMarket();
  ({ config: full } = await writeDevnet(market.devnet, market.directory));
});
afterAll(() => market.stop());

/** The devnet's configuration without its sellers, and changed. */
const without = (change: (config: ConfigInput) => void = () => undefined): Promise<string> => {
  cases += 1;
  return writeVariant(full, join(market.directory, `case-${cases}.json`), (written) => {
    written.sellers = [];
    delete written.validationRegistry;
    change(written);
  });
};

const add = (config: string, ...args: string[]): ReturnType<typeof runCli> =>
  runCli(["--config", config, "sellers", "add", ...args]);

test.each(["http://[::1]:8402", "http://[::1]", "https://_risk.example", "https://risk.example:8443"])(
  "the name made of %s is one that a configuration takes",
  (origin) => expect(sellerSchema.shape.id.safeParse(idOf(origin)).error).toBeUndefined(),
);

test("a seller is shown with whose word each fact is, and pinned as the market itself pins it", async () => {
  const config = await without();
  const { honest } = market.devnet.sellers;
  const { code, stdout } = await add(config, honest.origin, "--id", "honest", "--yes");
  expect(code).toBe(0);
  expect(stdout).toContain(`Paid at   ${honest.payTo}`);
  expect(stdout).toContain("attested by SIMULATED hardware");
  expect(stdout).toMatch(/eth-risk for 0\.01 USDC \(\$0\.01\)\n {4}model digest {2}[0-9a-f]{64} \(from the list/);
  expect(stdout).toContain("trust on first use");
  expect(stdout).toContain(`Wrote ${config}.`);
  const [pinned] = (await loadConfig({ path: config })).sellers;
  const [known] = (await loadConfig({ path: full })).sellers.filter(({ id }) => id === "honest");
  expect(pinned?.payTo).toEqual(known?.payTo);
  expect(pinned?.reference.models).toEqual(known?.reference.models);
  expect(pinned?.reference.measurements[0]).toMatchObject(known?.reference.measurements[0] ?? { "0": "" });
  expect(pinned?.assurance).toBe("attested");
  expect(pinned?.reference.relays).toEqual(known?.reference.relays);
  expect(pinned?.channel).toEqual(known?.channel);
  expect(stdout).toContain(`Anchors   by the contract ${market.devnet.relay} on eip155:31337 (the seller's own word;`);
  expect(stdout).toMatch(
    /Channels {2}0x[0-9a-f]{40} may claim .* 900 s after closing \(the seller's own word, in its offers\)/,
  );
});

test("T100: proof keys, relays and channel terms are pinned as the seller's own word, if they fit and are one", async () => {
  const signer = await createSigner(await generateSigningKey());
  const seller = await openSeller(market, { signer });
  onTestFinished(() => seller.stop());
  const { network = "" } = market.devnet.settings.networks[0] ?? {};
  const here = { network, contract: `0x${"a1".repeat(20)}` as const };
  const stating = async (said: Record<string, unknown>, proof: unknown): Promise<string> => {
    const listed = (await (await fetch(`${seller.origin}/v1/catalog`)).json()) as { models: object[] };
    const catalog = { ...listed, ...said, models: listed.models.map((one) => ({ ...one, proof })) };
    const { origin, stop } = await infront(seller.origin, (path) =>
      Promise.resolve(path === "/v1/catalog" ? Response.json(catalog) : null),
    );
    onTestFinished(() => stop());
    return origin;
  };
  const proof = "5e".repeat(32);
  const config = await without();
  const { code, stdout } = await add(
    config,
    await stating({ relays: [here, { ...here, network: "eip155:1" }] }, proof),
    "--yes",
  );
  expect(code).toBe(0);
  expect(stdout).toContain(`Proves    eth-risk under the key ${proof} (the seller's own word; no proof was seen yet)`);
  expect(stdout).toContain("Left out  its relay on eip155:1: the configuration has no such network");
  expect((await loadConfig({ path: config })).sellers[0]).toMatchObject({
    assurance: "proven",
    reference: { proofs: { "eth-risk": proof }, relays: [here], keyIds: [signer.keyId] },
  });
  const terms = { receiverAuthorizer: here.contract, withdrawDelaySeconds: 900 } as const;
  const pinnedOf = (...offers: (ChannelTerms | null)[]) =>
    statedPins({ networks: [] }, { models: [], relays: [], terms: offers });
  expect(pinnedOf(terms, terms).stated.channel).toMatchObject({ withdrawDelaySeconds: 900 });
  for (const offers of [
    [terms, { ...terms, withdrawDelaySeconds: 901 }],
    [{ ...terms, withdrawDelaySeconds: 1 }],
    [null],
  ])
    expect(pinnedOf(...offers)).toMatchObject({ stated: {}, left: [{ name: "its channel terms" }] });
  // Nothing of it is read from a seller that signs nothing, or in another form.
  const [unsigned, odd] = [await without(), await without()];
  await add(unsigned, await stating({ relays: [here] }, proof), "--assurance", "none", "--yes");
  await add(odd, await stating({ relays: "mine" }, 7), "--yes");
  for (const [path, assurance] of [
    [unsigned, "none"],
    [odd, "signed"],
  ] as const)
    expect((await loadConfig({ path })).sellers[0]).toMatchObject({ assurance, reference: { proofs: {}, relays: [] } });
});

test("a seller without evidence is pinned as such, and its digests are said to be its own word", async () => {
  const config = await without();
  const { code, stdout, stderr } = await runCli([
    "--config",
    config,
    "--json",
    "sellers",
    "add",
    market.devnet.sellers.unattested.origin,
    "--yes",
  ]);
  expect(code).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({ trust: "first_use", seller: { assurance: "none" } });
  expect(stderr).toContain("the seller's own word");
  const refused = await add(
    await without(),
    market.devnet.sellers.unattested.origin,
    "--assurance",
    "attested",
    "--yes",
  );
  expect(refused.stderr).toContain("attestation_failed");
  const { origin } = market.devnet.sellers.unattested;
  expect((await add(await without(), origin, "--assurance", "signed", "--yes")).stderr).toContain("no signing key");
});

test("T100: the key that was shown is the key that is pinned, and a seller that changes it sells nothing", async () => {
  const signer = await createSigner(await generateSigningKey());
  const other = await createSigner(await generateSigningKey());
  const seller = await openSeller(market, { signer });
  onTestFinished(() => seller.stop());
  // A second look, before anything is written, would find another key.
  let genuine = 1;
  const { origin, stop } = await infront(seller.origin, (path) => {
    if (path !== "/signing-key" || genuine-- > 0) return Promise.resolve(null);
    const key = Buffer.from(other.publicKey).toString("base64");
    const pem = `-----BEGIN PUBLIC KEY-----\n${key}\n-----END PUBLIC KEY-----\n`;
    return Promise.resolve(Response.json({ public_key: pem }));
  });
  onTestFinished(() => stop());
  const config = await without();
  const { code, stdout } = await add(config, origin, "--id", "keyed", "--yes");
  expect(code).toBe(0);
  expect(stdout).toContain(`key id  ${signer.keyId} (the seller's own word)`);
  expect(stdout).toContain("nothing says in what machine it is");
  genuine = Infinity;
  const loaded = await loadConfig({ path: config });
  expect(loaded.sellers[0]).toMatchObject({ assurance: "signed", reference: { keyIds: [signer.keyId] } });
  const buyer = await market.buyer((own) => void (own.sellers = loaded.sellers));
  const call = { model: "eth-risk", input: ETH_FEATURES, assurance: "signed", wait: "verified" } as const;
  const { appraisal } = await buyWith(buyer, { ...call, idempotencyKey: "key-as-pinned" });
  expect(appraisal).toMatchObject({ verdict: "verified", assurance: "signed" });

  genuine = 0;
  const before = await market.devnet.balanceOf(seller.payTo);
  const newcomer = await market.buyer((own) => void (own.sellers = loaded.sellers));
  await expect(buyWith(newcomer, { ...call, idempotencyKey: "key-changed" })).rejects.toMatchObject({
    code: "attestation_failed",
  });
  expect(await market.devnet.balanceOf(seller.payTo)).toBe(before);
  const attested = await add(await without(), origin, "--assurance", "attested", "--yes");
  expect(attested.stderr).toContain("attestation_failed");
});

test("without a yes nothing is written", async () => {
  const config = await without();
  const before = await readFile(config, "utf8");
  const { code, stderr, stdout } = await add(config, market.devnet.sellers.honest.origin);
  expect(code).toBe(1);
  expect(stdout).toContain("Nothing was paid.");
  expect(stderr).toContain("--yes");
  expect(await readFile(config, "utf8")).toBe(before);
});

test.each([
  [
    "a token that the policy has not",
    "asset_not_allowed",
    (own: ConfigInput) => {
      own.payment.assets = own.payment.assets.map((one) => ({ ...one, asset: `0x${"12".repeat(20)}` })).slice(0, 1);
    },
    [],
  ],
  [
    "a network that the policy has not",
    "asset_not_allowed",
    (own: ConfigInput) => {
      own.networks = [{ ...own.networks[0]!, network: "eip155:8453" }];
      own.payment.assets = own.payment.assets.slice(0, 1).map((one) => ({ ...one, network: "eip155:8453" }));
      own.proofContracts = [];
    },
    [],
  ],
  ["another payee than the owner expects", "payee_not_allowed", () => undefined, ["--pay-to", `0x${"34".repeat(20)}`]],
  [
    "a root that nobody named",
    "attestation_failed",
    (own: ConfigInput) => {
      own.verification = {};
    },
    [],
  ],
  [
    "an address of this machine",
    "http_address_refused",
    (own: ConfigInput) => {
      own.http = {};
    },
    [],
  ],
] as const)("T100: a seller with %s is refused, and nothing is written", async (_what, code, change, more) => {
  const config = await without(change);
  const before = await readFile(config, "utf8");
  const told = await add(config, market.devnet.sellers.honest.origin, "--id", "honest", "--yes", ...more);
  expect(told.stderr).toContain(`Error ${code}`);
  expect(told.code).toBe(1);
  expect(await readFile(config, "utf8")).toBe(before);
});

test("T100: a redirect is not followed, and a name or place that is configured already is not asked", async () => {
  let asked = 0;
  const server = createServer((_request, response) => {
    asked += 1;
    response.writeHead(302, { location: `${market.devnet.sellers.honest.origin}/v1/catalog` }).end();
  });
  await new Promise<void>((ready) => server.listen(0, "127.0.0.1", ready));
  onTestFinished(() => void server.close());
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const config = await without((own) => {
    own.sellers = [
      { id: "risk", provider: "oip", origin: "http://127.0.0.1:9", payTo: [`0x${"56".repeat(20)}`], assurance: "none" },
    ];
  });
  const taken = await add(config, origin, "--id", "risk", "--yes");
  expect(taken.stderr).toContain(
    "Error seller_exists: risk is already the name of http://127.0.0.1:9, so nothing was written.",
  );
  const again = await add(config, "http://127.0.0.1:9", "--yes");
  expect(again.stderr).toContain(
    "Error seller_exists: http://127.0.0.1:9 is already pinned as risk, so nothing was written.",
  );
  expect(again.stderr).toContain(`take its entry out of sellers in ${config}`);
  expect(taken.code).toBe(64);
  expect(asked).toBe(0);
  expect((await add(config, origin, "--yes")).stderr).toContain("http_redirect_refused");
  const elsewhere = await add(config, `${origin}/path`, "--yes");
  expect([elsewhere.code, elsewhere.stderr]).toEqual([1, expect.stringContaining("http_redirect_refused")]);
});

test.each([
  ["a shape without elements and with a hundred million rows", () => [{ shape: [2, 50_000_000, 0] }]],
  ["thousands of inputs", () => Array.from({ length: 200 }, () => ({ shape: [100_000] }))],
])("T100: a listing of %s makes no input of that size", async (_what, shapes) => {
  const { origin } = market.devnet.sellers.honest;
  const catalog = (await (await fetch(`${origin}/v1/catalog`)).json()) as { models: { inputs: object[] }[] };
  const [model] = catalog.models;
  const [input] = model!.inputs;
  const listed = { ...model, inputs: shapes().map((one, at) => ({ ...input, name: `x${at}`, ...one })) };
  const server = createServer((request, response) => {
    if (request.url === "/v1/catalog") response.end(JSON.stringify({ ...catalog, models: [listed] }));
    else response.writeHead(404).end();
  });
  await new Promise<void>((ready) => server.listen(0, "127.0.0.1", ready));
  onTestFinished(() => void server.close());
  const told = await add(
    await without(),
    `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    "--id",
    "large",
    "--yes",
  );
  expect(told.stderr).toContain("its input is too large to ask for a price with");
});

test("what is no seller's address is named, and a list without sellers says how to add one", async () => {
  const config = await without();
  for (const url of [
    "foo",
    "ftp://risk.example.org",
    "https://risk.example.org/path?key=1",
    "https://u@risk.example.org/mcp",
  ]) {
    const { code, stderr } = await add(config, url);
    expect(code).toBe(64);
    expect(stderr).toContain(`Error usage: ${url} is no seller's address.`);
  }
  expect((await runCli(["--config", config, "sellers"])).stdout).toContain("proof402 sellers add URL");
});

test("a seller that takes a request and never answers is waited for no longer than a person waits", async () => {
  const server = createServer(() => undefined);
  await new Promise<void>((ready) => server.listen(0, "127.0.0.1", ready));
  onTestFinished(() => server.closeAllConnections());
  onTestFinished(() => void server.close());
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  expect((await add(await without(), origin, "--yes")).stderr).toContain(
    `Error http_timeout: ${origin} gave no answer in time (8 s at most).`,
  );
});
