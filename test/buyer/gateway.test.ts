import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { appraisalPolicyOf } from "../../src/buyer/context.ts";
import { openChain } from "../../src/chain/chain.ts";
import { readActiveTees } from "../../src/chain/registry.ts";
import type { Config } from "../../src/config/schema.ts";
import type { OpenGateway } from "../../src/devnet/gateway/open.ts";
import { openTeeRegistry } from "../../src/devnet/gateway/registry.ts";
import type { Proof402Error } from "../../src/errors.ts";
import { fromBase64, fromHex, sha256, textOf, toBase64, toHex, utf8 } from "../../src/evidence/bytes.ts";
import { pcrHashOf } from "../../src/evidence/registry.ts";
import type { Receipt } from "../../src/receipts/schema.ts";
import { appraise } from "../../src/verify/appraise.ts";
import { CHAT_MODEL, HELLO, openGatewayWorld, type GatewayWorld, type Wrap } from "../support/gateway.ts";
import { resealed } from "../support/reseal.ts";

let world: GatewayWorld;
let gateway: OpenGateway;
let change: { served: boolean; priced: boolean };
/** Paid and unpaid requests that reached the gateway. */
let heard: { path: string; paid: boolean; settlement: string | null }[];
beforeAll(async () => {
  world = await openGatewayWorld();
  const wrap: Wrap = (fetch) => (request) => {
    const { headers } = request;
    const settlement = headers.get("x-settlement-type");
    heard.push({ path: new URL(request.url).pathname, paid: headers.has("payment-signature"), settlement });
    if (!change.served && headers.has("payment-signature")) return Promise.reject(new Error("out"));
    return fetch(request);
  };
  change = { served: true, priced: true };
  heard = [];
  gateway = await world.open({ wrap, isPriced: () => change.priced });
});
afterAll(() => world.stop());

const outcome = (work: Promise<unknown>): Promise<Proof402Error> =>
  work.then(
    () => expect.fail("it was served"),
    (error: unknown) => error as Proof402Error,
  );

const TOOLS = [
  {
    type: "function",
    function: { name: "pay", description: "Pays", parameters: { type: "object", properties: { "10": {}, "9": {} } } },
  },
];
const RICH = {
  messages: [
    { role: "system", content: "Be brief. 😀" },
    { role: "user", content: "Say hello to the world" },
  ],
  temperature: 0.00001,
  tools: TOOLS,
  stream: true,
};

describe("a gateway of the registry", () => {
  let receipt: Receipt;
  let config: Config;

  test("sells a streamed chat that is verified, and what moved is what it cost", async () => {
    const buyer = await world.buyer(gateway);
    const before = await world.received();
    const bought = await buyer.buy(CHAT_MODEL, RICH, { assurance: "attested" });
    expect(bought.answer).toMatchObject({ text: expect.stringContaining("hello") });
    receipt = await buyer.getReceipt(bought.receipt.id, { waitSeconds: 30 });
    expect(receipt.appraisals.at(-1)).toMatchObject({ verdict: "verified", assurance: "attested", simulated: true });
    const moved = (await world.received()) - before;
    expect(moved).toBeGreaterThan(0n);
    const settled = receipt.later.find(({ evidence }) => evidence.kind === "settlement.x402");
    expect(JSON.stringify(settled)).toContain(moved.toString(16));
    expect(heard.filter(({ path }) => path.startsWith("/v1/")).map(({ settlement }) => settlement)).toEqual([
      "private",
      "private",
    ]);
    // A session is a bearer's secret.
    expect(JSON.stringify(receipt)).not.toContain("upto-session");
    config = await world.config(gateway);
  });

  const judge = async (changed: Receipt, changePolicy: (config: Config) => void = () => undefined) => {
    const mine = structuredClone(config);
    mine.verification.reportedSuffices = true;
    changePolicy(mine);
    const policy = appraisalPolicyOf(mine, "attested");
    const at = new Date(receipt.core.response.receivedAt);
    return appraise({ receipt: changed, policy, now: at, evaluateAt: at });
  };
  const altered = (edit: (receipt: Receipt) => void): Receipt => {
    const copy = structuredClone(receipt);
    edit(copy);
    return resealed(copy) ?? expect.fail("the schema refuses it");
  };
  const inBody = (part: "request" | "response", from: string | RegExp, to: string): Receipt =>
    altered(({ core }) => {
      const text = textOf(fromBase64(core[part].body ?? "")) ?? "";
      const edited = text.replace(from, to);
      expect(edited).not.toBe(text);
      core[part].body = toBase64(utf8(edited));
    });
  const inEvidence = (kind: string, fields: object): Receipt =>
    altered(({ core }) => {
      for (const one of core.evidence) if (one.kind === kind) Object.assign(one, fields);
    });
  const OTHER = "11".repeat(32);

  test("T116: whatever is changed in the receipt of a gateway's chat is caught and named by its layer", async () => {
    expect((await judge(altered(() => undefined))).verdict).toBe("verified");
    const cases: [string, Receipt, string, string][] = [
      ["a message", inBody("request", "Say hello", "Say adieu"), "response", "request_hash_mismatch"],
      ["the temperature", inBody("request", "0.00001", "0.00002"), "response", "request_hash_mismatch"],
      ["a tool's schema", inBody("request", '"9":{}', '"8":{}'), "response", "request_hash_mismatch"],
      ["the model", inBody("request", CHAT_MODEL, "devnet-chat-large"), "request", "model_name_mismatch"],
      ["the nonce", inBody("request", /proof402:../, "proof402:00"), "request", "nonce_missing"],
      ["one delta", inBody("response", '"content":"', '"content":"X'), "response", "output_hash_mismatch"],
      [
        "the signed time",
        inBody("response", /"tee_timestamp":\d+/, '"tee_timestamp":1700000000'),
        "response",
        "signature_not_of_answer",
      ],
      ["the time", inEvidence("signature.opengradient", { timestamp: 1 }), "response", "signature_not_of_answer"],
      ["the key's id", inEvidence("signature.opengradient", { teeId: `0x${OTHER}` }), "response", "key_mismatch"],
      ["the attestation's nonce", inEvidence("tee.nitro", { nonce: "00".repeat(20) }), "freshness", "nonce_mismatch"],
      ["the connection's certificate", inEvidence("tls.peer", { certificateSha256: OTHER }), "key", "tls_mismatch"],
      ["the entry's id", inEvidence("registry.tee", { teeId: `0x${OTHER}` }), "key", "registry_key_mismatch"],
      ["the entry's image", inEvidence("registry.tee", { pcrHash: `0x${OTHER}` }), "code", "registry_code_mismatch"],
      ["the entry's type", inEvidence("registry.tee", { teeType: 1 }), "key", "registry_mismatch"],
      [
        "the entry's contract",
        inEvidence("registry.tee", { contract: `0x${"1".repeat(40)}` }),
        "key",
        "registry_mismatch",
      ],
      ["the entry's place", inEvidence("registry.tee", { origin: "https://127.0.0.2" }), "request", "origin_mismatch"],
      [
        "the entry's certificate",
        inEvidence("registry.tee", { certificateSha256: OTHER }),
        "key",
        "registry_tls_mismatch",
      ],
      [
        "the entry itself",
        altered(({ core }) => {
          core.evidence = core.evidence.filter(({ kind }) => kind !== "registry.tee");
        }),
        "key",
        "registry_missing",
      ],
    ];
    for (const [what, changed, layer, code] of cases) {
      const { verdict, layers } = await judge(changed);
      expect([what, layers[layer as "key"].code]).toEqual([what, code]);
      expect([what, verdict]).not.toEqual([what, "verified"]);
    }
    const others = await judge(receipt, (mine) => {
      for (const seller of mine.sellers)
        seller.reference.measurements = [{ 0: "aa".repeat(48), 1: "bb".repeat(48), 2: "cc".repeat(48) }];
    });
    expect(others).toMatchObject({ verdict: "failed", layers: { code: { code: "measurements_unknown" } } });
    const byHash = await judge(receipt, (mine) => {
      const { 0: first, 1: second, 2: third } = gateway.enclave.measurements();
      const pcrHash = pcrHashOf([fromHex(first), fromHex(second), fromHex(third)]);
      for (const seller of mine.sellers)
        seller.reference = { ...seller.reference, measurements: [], pcrHashes: [pcrHash] };
    });
    expect(byHash.verdict).toBe("verified");
  });

  test("that would publish the chat hears so with the payment alone, after a person's yes", async () => {
    const buyer = await world.buyer(gateway, (mine) => {
      for (const seller of mine.sellers) seller.settlement = "individual";
    });
    heard = [];
    const modes = (): unknown[] =>
      heard.filter(({ path }) => path.startsWith("/v1/")).map(({ paid, settlement }) => [paid, settlement]);
    const declined = await outcome(
      buyer.buy(CHAT_MODEL, HELLO, { assurance: "attested", approve: () => Promise.resolve("declined") }),
    );
    expect(declined).toMatchObject({ code: "approval_declined", money: "not-moved" });
    expect(modes()).toEqual([[false, "private"]]);
    heard = [];
    const approve = (): Promise<"approved"> => Promise.resolve("approved");
    const { receipt: bought } = await buyer.buy(CHAT_MODEL, HELLO, { assurance: "attested", approve });
    await buyer.getReceipt(bought.id, { waitSeconds: 30, settled: true });
    expect(modes().at(-1)).toEqual([true, "individual"]);
    expect(modes().slice(0, -1)).not.toContainEqual([false, "individual"]);
  });

  test("that refuses after a payment was shown takes nothing, says so, and the same payment buys the answer later", async () => {
    const buyer = await world.buyer(gateway);
    const before = await world.received();
    const idempotencyKey = crypto.randomUUID();
    change.priced = false;
    const refused = await outcome(buyer.buy(CHAT_MODEL, HELLO, { assurance: "attested", idempotencyKey }));
    expect(refused).toMatchObject({ code: "seller_error", money: "may-move", details: { status: 503 } });
    expect(refused.next).toContain("same payment");
    change.priced = true;
    const { receipt: bought } = await buyer.buy(CHAT_MODEL, HELLO, { assurance: "attested", idempotencyKey });
    const settled = await buyer.getReceipt(bought.id, { waitSeconds: 30 });
    expect(settled.appraisals.at(-1)?.verdict).toBe("verified");
    const moved = (await world.received()) - before;
    expect(await buyer.spending({})).toMatchObject({ assets: [{ reserved: "0", spent: String(moved) }] });
  });

  test("T117: that goes out once the payment is signed is asked again under the same payment, and no other is paid", async () => {
    const second = await world.open();
    const buyer = await world.buyer(gateway);
    const idempotencyKey = crypto.randomUUID();
    const before = await world.received();
    change.served = false;
    heard = [];
    const lost = await outcome(buyer.buy(CHAT_MODEL, HELLO, { assurance: "attested", idempotencyKey }));
    expect(lost.money).not.toBe("not-moved");
    await outcome(buyer.buy(CHAT_MODEL, HELLO, { assurance: "attested", idempotencyKey }));
    change.served = true;
    const { receipt: bought } = await buyer.buy(CHAT_MODEL, HELLO, { assurance: "attested", idempotencyKey });
    expect(bought.core.seller.origin).toBe(gateway.origin);
    const settled = await buyer.getReceipt(bought.id, { waitSeconds: 30 });
    expect(settled.appraisals.at(-1)?.verdict).toBe("verified");
    const moved = (await world.received()) - before;
    expect(await buyer.spending({})).toMatchObject({ assets: [{ reserved: "0", spent: String(moved) }] });
    await world.gateways.registry.disable(second.teeId);
  });
});

describe("places of a registry", () => {
  test("T118: a dead one and one with another certificate get no payment, and the next serves", async () => {
    const { registry } = world.gateways;
    await registry.disable(gateway.teeId);
    const dead = await world.open();
    await dead.stop();
    let asked = 0;
    const other = await world.open({
      wrap: (fetch) => (request) => {
        asked += 1;
        return fetch(request);
      },
    });
    // Registered with the certificate of another one.
    await registry.register({
      publicKey: other.enclave.publicKey,
      tlsCertificate: utf8("another certificate"),
      paymentAddress: other.payTo,
      endpoint: other.origin,
      measurements: other.enclave.measurements(),
    });
    const alive = await world.open();
    const buyer = await world.buyer(alive);
    const { receipt } = await buyer.buy(CHAT_MODEL, HELLO, { assurance: "attested" });
    expect(receipt.core.seller.origin).toBe(alive.origin);
    expect(asked).toBe(0);
    for (const { teeId } of [dead, other]) await registry.disable(teeId);
    // An image that the registry does not approve is no place, whatever its owner pins.
    const [first, second, third] = [0, 1, 2].map((at) => fromHex(alive.enclave.measurements()[String(at) as "0"]));
    await registry.revoke(pcrHashOf([first!, second!, third!]));
    const late = await world.buyer(alive);
    onTestFinished(() => registry.disable(alive.teeId));
    expect(await outcome(late.buy(CHAT_MODEL, HELLO, { assurance: "attested" }))).toMatchObject({
      code: "seller_unreachable",
      money: "not-moved",
    });
  });

  test("T118: a key, an image or a certificate of another enclave than the registry's is refused before anything is paid", async () => {
    const { registry } = world.gateways;
    const one = await world.open();
    const entry = {
      publicKey: one.enclave.publicKey,
      tlsCertificate: new Uint8Array(),
      paymentAddress: one.payTo,
      endpoint: one.origin,
      measurements: one.enclave.measurements(),
    };
    const stranger = crypto.getRandomValues(new Uint8Array(294));
    await registry.disable(one.teeId);
    const served = one.certificate;
    const forged = await registry.register({ ...entry, publicKey: stranger, tlsCertificate: served });
    const buyer = await world.buyer(one);
    const refused = await outcome(buyer.buy(CHAT_MODEL, HELLO, { assurance: "attested" }));
    expect(refused).toMatchObject({
      code: "attestation_failed",
      money: "not-moved",
      details: { check: "registry_key_mismatch" },
    });
    await registry.disable(forged);
    const pcr0 = "ab".repeat(48);
    await registry.register({ ...entry, tlsCertificate: served, measurements: { ...entry.measurements, 0: pcr0 } });
    const open = await world.buyer(one, ({ sellers: [seller] }) => {
      seller!.reference.measurements.push({ ...entry.measurements, 0: pcr0 });
    });
    expect(await outcome(open.buy(CHAT_MODEL, HELLO, { assurance: "attested" }))).toMatchObject({
      code: "attestation_failed",
      details: { check: "registry_code_mismatch" },
    });
    await registry.disable(one.teeId);
  });

  test("are read in the older layout and in the newer one", async () => {
    const { devnet } = world.market;
    const anvil = { rpcUrl: devnet.rpcUrl, chainId: devnet.chainId, stop: () => Promise.resolve() };
    const [network] = devnet.config.networks;
    const one = await world.open();
    const served = one.certificate;
    for (const older of [true, false]) {
      const registry = await openTeeRegistry(anvil, devnet.bank, { older });
      expect(await readActiveTees(openChain(network!), registry.place)).toEqual([]);
      const { enclave, origin: endpoint, payTo: paymentAddress } = one;
      const entry = { publicKey: enclave.publicKey, tlsCertificate: served, paymentAddress, endpoint };
      await registry.register({ ...entry, measurements: enclave.measurements() });
      expect(await readActiveTees(openChain(network!), registry.place)).toMatchObject([
        { teeId: one.teeId, endpoint, publicKey: enclave.publicKey, tlsCertificate: served },
      ]);
      expect(await readActiveTees(openChain(network!), { ...registry.place, teeType: 1 })).toEqual([]);
    }
    await world.gateways.registry.disable(one.teeId);
  });
});

test("a gateway at a configured origin is bought from by its pinned certificate and key, and by no other certificate", async () => {
  const one = await world.open();
  const pin = ({ sellers: [seller] }: Config, certificateSha256: string): void => {
    delete seller!.registry;
    Object.assign(seller!, { origin: one.origin, certificateSha256, assurance: "signed" });
    seller!.reference = { ...seller!.reference, measurements: [], keyIds: [one.enclave.keyId] };
  };
  const buyer = await world.buyer(one, (config) => pin(config, one.certificateSha256));
  const { receipt } = await buyer.buy(CHAT_MODEL, HELLO, { assurance: "signed" });
  expect((await buyer.getReceipt(receipt.id, { waitSeconds: 30 })).appraisals.at(-1)?.verdict).toBe("verified");
  const wrong = await world.buyer(one, (config) => pin(config, toHex(sha256(utf8("another")))));
  expect(await outcome(wrong.buy(CHAT_MODEL, HELLO, { assurance: "signed" }))).toMatchObject({
    code: "http_certificate_refused",
    money: "not-moved",
  });
});
