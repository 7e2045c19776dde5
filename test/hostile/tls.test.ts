import { writeFileSync } from "node:fs";
import { once } from "node:events";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { getRequestListener } from "@hono/node-server";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { openBuyer } from "../../src/buyer/open.ts";
import type { Buyer } from "../../src/buyer/types.ts";
import type { Config } from "../../src/config/schema.ts";
import { sha256, toHex } from "../../src/evidence/bytes.ts";
import { serveLocally } from "../../src/devnet/index.ts";
import { createInferenceNode, createSimulatedEnclave, createSimulatedRoot } from "../../src/node/index.ts";
import { walletFromPrivateKey } from "../../src/payment/wallet.ts";
import { newestAppraisal } from "../../src/receipts/newest.ts";
import type { Receipt } from "../../src/receipts/schema.ts";
import { selfSigned } from "../http/self-signed.ts";
import { ETH_FEATURES, openMarket, type Market } from "../support/devnet.ts";
import type { Said } from "./orders.ts";
import { buildWorker, removeWorker, runBuyers } from "./processes.ts";
import { buyWith } from "../support/buy.ts";

type Certificate = Awaited<ReturnType<typeof selfSigned>>;
/** What a seller was asked, and whether a payment came with it. */
type Heard = { path: string; paid: boolean };

let market: Market;
let [own, other, expired, stranger]: [Certificate, Certificate, Certificate, Certificate] = [] as never;
const closers: (() => unknown)[] = [];

beforeAll(async () => {
  const yesterday = new Date(Date.now() - 86_400_000);
  const certificates = Promise.all([selfSigned(), selfSigned(), selfSigned(yesterday), selfSigned()]);
  [market, [own, other, expired, stranger]] = await Promise.all([openMarket(), certificates, buildWorker()]);
  // Buyers trust what the system trusts and no configuration adds to it, so these run in processes whose system trusts all but one.
  const authorities = join(market.directory, "authorities.pem");
  writeFileSync(authorities, own.cert + other.cert + expired.cert);
  process.env["NODE_EXTRA_CA_CERTS"] = authorities;
});
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});
afterAll(async () => {
  delete process.env["NODE_EXTRA_CA_CERTS"];
  removeWorker();
  await market.stop();
});

/** A seller of its own, whose attestation names this certificate or none. */
async function openNode(named: Certificate | null) {
  const [asset] = market.devnet.config.payment.assets;
  if (asset === undefined) throw new Error("the devnet has an asset");
  const root = await createSimulatedRoot();
  const enclave = await createSimulatedEnclave({ root, ...(named === null ? {} : { tlsCertificate: named.der }) });
  const node = await createInferenceNode({
    models: [{ name: "eth-risk", price: "10000" }],
    payment: {
      network: `eip155:${market.devnet.chainId}`,
      asset: market.devnet.token,
      domain: asset.domain,
      payTo: market.devnet.sellers.honest.payTo,
      facilitatorUrl: market.devnet.facilitatorUrl,
    },
    enclave,
  });
  closers.push(() => node.close());
  const configOf = (origin: string): Config =>
    market.config((config) => {
      config.verification.simulatedRoots = [root.sha256];
      config.sellers = config.sellers.filter(({ id }) => id === "honest");
      for (const seller of config.sellers) {
        seller.origin = origin;
        seller.reference.measurements = node.measurements === null ? [] : [node.measurements];
        seller.reference.models = Object.fromEntries(node.models.map(({ name, sha256: digest }) => [name, digest]));
        seller.reference.relays = [];
      }
    });
  return { node, configOf };
}

/** The same behind TLS that shows `own`. `before` is told of each request, and may have later connections be shown another. */
async function openSeller(named: Certificate | null, before: (heard: Heard, server: Server) => void = () => undefined) {
  const { node, configOf } = await openNode(named);
  const heard: Heard[] = [];
  const answer = getRequestListener(async (request) => {
    const one = { path: new URL(request.url).pathname, paid: request.headers.has("payment-signature") };
    heard.push(one);
    before(one, server);
    const answered = await node.fetch(request);
    // So that each request comes on a connection of its own.
    answered.headers.set("connection", "close");
    return answered;
  });
  const server: Server = createServer({ key: own.key, cert: own.cert }, (...exchange) => void answer(...exchange));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  closers.push(() => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  });
  const config = configOf(`https://127.0.0.1:${(server.address() as AddressInfo).port}`);
  return { server, heard, config };
}

/** Makes a call with each key, one after another, in a process of its own. */
async function buyApart(config: Config, ...keys: string[]): Promise<Said[]> {
  const [ended] = await runBuyers([{ config, privateKey: market.devnet.privateKey, keys }]);
  return ended?.said ?? [];
}
/** The same buyer here, to see what its process left. */
async function buyerOf(config: Config): Promise<Buyer> {
  const buyer = await openBuyer({ config, wallet: walletFromPrivateKey(market.devnet.privateKey) });
  closers.push(() => buyer.close());
  return buyer;
}
const tlsOf = ({ core }: Receipt): unknown[] => core.evidence.filter(({ kind }) => kind === "tls.peer");
const digestOf = ({ der }: Certificate): string => toHex(sha256(der));

describe("T81: a seller behind TLS", () => {
  test("whose attestation names the certificate that it shows is paid, and the receipt keeps what was seen", async () => {
    const { config, heard } = await openSeller(own);
    const [said] = await buyApart(config, crypto.randomUUID());
    expect(said).toMatchObject({ code: "ok" });
    expect(heard.filter(({ paid }) => paid)).toHaveLength(1);
    const receipt = await (await buyerOf(config)).getReceipt(said?.receipt ?? "", { waitSeconds: 20 });
    expect(tlsOf(receipt)).toEqual([{ kind: "tls.peer", certificateSha256: digestOf(own) }]);
    const { verdict, layers } = newestAppraisal(receipt);
    expect(verdict).toBe("verified");
    expect(layers.key.note).toMatch(/The connection's TLS certificate is the one that it names\.$/);
  });

  test("that shows another than its attestation names is told nothing of the input, and signed nothing", async () => {
    const { config, heard } = await openSeller(other);
    expect(await buyApart(config, crypto.randomUUID())).toMatchObject([{ code: "attestation_failed", receipt: null }]);
    expect(heard.filter(({ path }) => path.endsWith("/infer"))).toEqual([]);
    expect((await (await buyerOf(config)).spending()).recent).toEqual([]);
  });

  test("that shows another once it was attested is asked for no price, since the input goes with the question", async () => {
    const { config, heard } = await openSeller(own, ({ path }, server) => {
      if (path === "/enclave/attestation") attested += 1;
      if (attested === 1) server.setSecureContext({ key: other.key, cert: other.cert });
    });
    let attested = 0;
    const [said] = await buyApart(config, crypto.randomUUID());
    expect(said).toMatchObject({ code: "http_certificate_refused", receipt: null });
    expect(heard.filter(({ path }) => path.endsWith("/infer"))).toEqual([]);
  });

  test("that shows another to the payment is not sent it, and gets the same one once it is itself again", async () => {
    let asked = false;
    const { config, heard, server } = await openSeller(own, ({ path, paid }, at) => {
      asked ||= path.endsWith("/infer");
      if (asked && !paid) at.setSecureContext({ key: other.key, cert: other.cert });
    });
    const key = crypto.randomUUID();
    const unsent = { receipt: null, money: "may-move", message: expect.stringContaining("none of it was sent") };
    expect(await buyApart(config, key)).toMatchObject([{ code: "http_certificate_refused", ...unsent }]);
    expect(heard.filter(({ path }) => path.endsWith("/infer"))).toEqual([
      { path: "/v2/models/eth-risk/infer", paid: false },
    ]);
    // The journal counts what was signed, although it never left.
    const buyer = await buyerOf(config);
    expect((await buyer.spending()).recent).toMatchObject([{ idempotencyKey: key, state: "sent" }]);
    await buyer.close();
    asked = false;
    server.setSecureContext({ key: own.key, cert: own.cert });
    const [said] = await buyApart(config, key);
    expect(said).toMatchObject({ code: "ok" });
    const paid = heard.filter((one) => one.paid);
    expect(paid).toHaveLength(1);
    const later = await buyerOf(config);
    expect((await later.spending()).recent).toHaveLength(1);
    const receipt = await later.getReceipt(said?.receipt ?? "", { waitSeconds: 20 });
    expect(newestAppraisal(receipt).verdict).toBe("verified");
  });

  test.each<[string, () => Certificate]>([
    ["one that ran out", () => expired],
    ["one that nobody vouches for", () => stranger],
  ])(
    "that shows %s to the payment is not sent it, which is said, and gets the same one later",
    async (_what, certificate) => {
      const { config, heard, server } = await openSeller(own, ({ path, paid }, at) => {
        if (path.endsWith("/infer") && !paid) at.setSecureContext({ key: certificate().key, cert: certificate().cert });
      });
      const key = crypto.randomUUID();
      expect(await buyApart(config, key)).toMatchObject([
        {
          code: "http_unreachable",
          receipt: null,
          money: "may-move",
          message: expect.stringContaining("The payment was signed, and none of it was sent."),
        },
      ]);
      expect(heard.filter(({ paid }) => paid)).toEqual([]);
      const buyer = await buyerOf(config);
      // What is signed goes on counting until the chain shows that it ended unused: it stands in the journal's file.
      expect((await buyer.spending()).recent).toMatchObject([{ idempotencyKey: key, state: "sent" }]);
      await buyer.close();
      server.setSecureContext({ key: own.key, cert: own.cert });
      expect(await buyApart(config, key)).toMatchObject([{ code: "ok" }]);
      expect(heard.filter(({ paid }) => paid)).toHaveLength(1);
    },
  );

  test("whose attestation names none is paid, and that is said", async () => {
    const { config } = await openSeller(null);
    const [said] = await buyApart(config, crypto.randomUUID());
    const receipt = await (await buyerOf(config)).getReceipt(said?.receipt ?? "", { waitSeconds: 20 });
    expect(tlsOf(receipt)).toEqual([{ kind: "tls.peer", certificateSha256: digestOf(own) }]);
    const { verdict, layers, notProven } = newestAppraisal(receipt);
    expect(verdict).toBe("verified");
    expect(layers.key.note).toMatch(/The attestation names no TLS certificate\.$/);
    expect(notProven).toContain("That the connection ended in the enclave. The attestation names no TLS certificate.");
  });

  test("that is reached over plain http on this machine says that there was no TLS", async () => {
    const { node, configOf } = await openNode(own);
    const served = await serveLocally(node.fetch);
    closers.push(served.stop);
    const buyer = await buyerOf(configOf(served.origin));
    const result = await buyWith(buyer, { model: "eth-risk", input: ETH_FEATURES });
    const receipt = await buyer.getReceipt(result.receipt.id, { waitSeconds: 20 });
    expect(tlsOf(receipt)).toEqual([]);
    const { verdict, layers } = newestAppraisal(receipt);
    expect(verdict).toBe("verified");
    expect(layers.key.note).toMatch(/The connection had no TLS\.$/);
  });
});
