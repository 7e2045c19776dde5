import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { createInferenceNode } from "../../src/node/index.ts";
import { openMarket, type Market } from "../support/devnet.ts";
import { changed, openSeller, postPaid, purseFor, requestOf, takenBy, type OwnSeller } from "../support/selling.ts";

let market: Market;
let seller: OwnSeller;
/** What was printed since a test began. */
let printed: unknown[];
beforeAll(async () => {
  market = await openMarket();
  seller = await openSeller(market);
});
afterAll(async () => {
  await seller.stop();
  await market.stop();
});
beforeEach(() => {
  printed = [];
  for (const method of ["log", "warn", "error", "info", "debug"] as const)
    vi.spyOn(console, method).mockImplementation((...args: unknown[]) => void printed.push(args));
});
afterEach(() => void vi.restoreAllMocks());

const base64 = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64");

describe("T85: a payment that is none", () => {
  const GARBAGE: [string, string][] = [
    ["nothing", ""],
    ["no base64", "!!!"],
    ["base64 of no JSON", Buffer.from("hello").toString("base64")],
    ["a text", base64("hello")],
    ["a number", base64(402)],
    ["null", base64(null)],
    ["a list", base64([])],
    ["an empty object", base64({})],
    ["x402 version 1", base64({ x402Version: 1, scheme: "exact", network: "base", payload: {} })],
    ["no payload", base64({ x402Version: 2, accepted: {} })],
    ["a payload that is a text", base64({ x402Version: 2, accepted: {}, payload: "hello" })],
    ["10 KB of it", "A".repeat(10_000)],
    ["objects nested thousands deep", Buffer.from(`${'{"a":'.repeat(2000)}1${"}".repeat(2000)}`).toString("base64")],
  ];

  test.each(GARBAGE)("%s is refused with 400 in clear words, and nothing is printed", async (_what, header) => {
    const { status, text } = await postPaid(seller.origin, header);
    expect(status).toBe(400);
    expect(JSON.parse(text)).toEqual({
      error: "the PAYMENT-SIGNATURE header is no payment of x402 version 2; nothing was charged",
    });
    expect(printed).toEqual([]);
  });

  const ODD: [string, (payment: { accepted: Record<string, unknown>; payload: Record<string, unknown> }) => unknown][] =
    [
      ["an empty payload", (payment) => (payment.payload = {})],
      ["no signature", ({ payload }) => delete payload["signature"]],
      ["a signature that is none", ({ payload }) => (payload["signature"] = "0x")],
      ["a signature of 5 KB", ({ payload }) => (payload["signature"] = `0x${"ab".repeat(5000)}`)],
      ["an authorization that is a text", ({ payload }) => (payload["authorization"] = "hello")],
      ["an authorization of numbers", ({ payload }) => (payload["authorization"] = { value: "1e400", nonce: 7 })],
      ["an amount that is no number", ({ accepted }) => (accepted["amount"] = "ten")],
      ["a negative amount", ({ accepted }) => (accepted["amount"] = "-1")],
      ["no amount", ({ accepted }) => delete accepted["amount"]],
      ["an unknown network", ({ accepted }) => (accepted["network"] = "eip155:1")],
      ["no network of any kind", ({ accepted }) => (accepted["network"] = "nowhere")],
      ["an unknown scheme", ({ accepted }) => (accepted["scheme"] = "__proto__")],
      ["an asset that is none", ({ accepted }) => (accepted["asset"] = "0x")],
      ["extras that are a list", ({ accepted }) => (accepted["extra"] = [])],
      ["an empty offer", (payment) => (payment.accepted = {})],
    ];

  test.each(ODD)("%s in a payment is refused and charged nothing, and nothing is printed", async (_what, change) => {
    const before = await takenBy(market, seller);
    const { header } = await purseFor(market, seller.origin);
    const { status, text } = await postPaid(
      seller.origin,
      changed(header, (payment) => void change(payment)),
    );
    expect([400, 402]).toContain(status);
    expect(Object.keys(JSON.parse(text) as object)).toContain("error");
    expect(printed).toEqual([]);
    expect(await takenBy(market, seller)).toBe(before);
  });
});

describe("a request by another method, or from a page", () => {
  const INFER = "/v2/models/eth-risk/infer";

  test.each([
    ["GET", INFER, "POST"],
    ["PUT", INFER, "POST"],
    ["DELETE", "/v2/models/eth-risk/versions/1/infer", "POST"],
    ["POST", "/v1/catalog", "GET, HEAD"],
    ["POST", "/v2/models/eth-risk", "GET, HEAD"],
    ["GET", "/v2/repository/index", "POST"],
  ])("%s %s is 405 and says that %s is allowed", async (method, path, allowed) => {
    const response = await fetch(`${seller.origin}${path}`, { method });
    expect(response.status).toBe(405);
    expect(response.headers.get("allow")).toBe(allowed);
    expect(await response.json()).toEqual({ error: `this is asked for by ${allowed.replace(", ", " or ")}` });
  });

  test("a path that is not there, and a model that is not served, are 404 by any method", async () => {
    for (const method of ["GET", "POST"]) expect((await fetch(`${seller.origin}/v3`, { method })).status).toBe(404);
    expect((await fetch(`${seller.origin}/v2/models/nothing`)).status).toBe(404);
  });

  test("a page of any origin may send a payment, and read the offer and the settlement", async () => {
    const preflight = await fetch(`${seller.origin}${INFER}`, {
      method: "OPTIONS",
      headers: {
        origin: "https://page.example",
        "access-control-request-method": "POST",
        "access-control-request-headers": "content-type,payment-signature",
      },
    });
    expect(preflight.status).toBe(204);
    expect(preflight.headers.get("access-control-allow-origin")).toBe("*");
    const allowed = preflight.headers.get("access-control-allow-headers")?.split(",");
    expect(allowed).toEqual(expect.arrayContaining(["content-type", "payment-signature", "mcp-protocol-version"]));
    const unpaid = await fetch(`${seller.origin}${INFER}`, {
      method: "POST",
      headers: { origin: "https://page.example" },
      body: requestOf(),
    });
    expect(unpaid.status).toBe(402);
    const purse = await purseFor(market, seller.origin);
    const paid = await fetch(`${seller.origin}${INFER}`, {
      method: "POST",
      headers: { origin: "https://page.example", "payment-signature": purse.header },
      body: requestOf(),
    });
    expect(paid.status).toBe(200);
    for (const { headers } of [unpaid, paid]) {
      expect(headers.get("access-control-allow-origin")).toBe("*");
      const exposed = headers.get("access-control-expose-headers")?.split(",");
      expect(exposed).toEqual(expect.arrayContaining(["payment-required", "payment-response", "x-tee-signature"]));
    }
  });
});

describe("T46: a node whose environment has certificates unchecked", () => {
  test.each(["facilitatorUrl", "rpcUrl"])("is not started where its %s is over HTTPS", async (field) => {
    const { devnet } = market;
    const start = () =>
      createInferenceNode({
        models: [{ name: "eth-risk", price: "10000" }],
        enclave: null,
        payment: {
          network: `eip155:${devnet.chainId}`,
          asset: devnet.token,
          domain: { name: devnet.bank.token.name, version: devnet.bank.token.version },
          payTo: seller.payTo,
          facilitatorUrl: devnet.facilitatorUrl,
          [field]: "https://127.0.0.1:1/",
        },
      });
    vi.stubEnv("NODE_TLS_REJECT_UNAUTHORIZED", "0");
    try {
      await expect(start()).rejects.toMatchObject({
        code: "tls_unchecked",
        next: expect.stringContaining("NODE_EXTRA_CA_CERTS"),
      });
    } finally {
      vi.unstubAllEnvs();
    }
  });
});
