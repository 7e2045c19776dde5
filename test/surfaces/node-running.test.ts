import { once } from "node:events";
import { request, type IncomingMessage } from "node:http";
import { connect, type Socket } from "node:net";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { decodePaymentResponseHeader } from "@x402/core/http";
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from "vitest";
import { sellerSchema } from "../../src/market/types.ts";
import type { NodeConfigInput } from "../../src/node/config.ts";
import type { NodeEvent } from "../../src/node/serve.ts";
import { newAccount } from "../devnet/authorizations.ts";
import { buyWith } from "../support/buy.ts";
import { runCli } from "../support/cli.ts";
import { ETH_FEATURES, openMarket, type Market } from "../support/devnet.ts";
import { initSeller, onMarket, serveConfig, writeNodeConfig } from "../support/node-config.ts";
import { serveNode } from "../support/node-process.ts";
import { changed, holdSettling, isUsed, postPaid, purseFor, requestOf } from "../support/selling.ts";

let market: Market;
let folder: string;
beforeAll(async () => {
  market = await openMarket();
  folder = await initSeller(market);
});
afterAll(() => market.stop());

/** Writes a configuration of its own for a node on the market's chain. */
const change = (edit: (settings: NodeConfigInput) => void, name: string): Promise<string> =>
  writeNodeConfig(folder, name, (settings) => {
    onMarket(market, settings);
    edit(settings);
  });
const serveHere = async (edit: (settings: NodeConfigInput) => void, name: string): Promise<NodeEvent[]> =>
  (await serveConfig(await change(edit, name))).events;

/** A connection to a node that has sent this much. */
async function opened(address: string, text: string): Promise<Socket> {
  const socket = connect(Number(new URL(address).port), "127.0.0.1");
  socket.on("error", () => undefined);
  await once(socket, "connect");
  if (text !== "") await new Promise<void>((sent) => void socket.write(text, () => sent()));
  return socket;
}
const HALF = "POST /v2/models/eth-risk/infer HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 9\r\n\r\n{";

describe("the end of a node that serves", () => {
  test("T107: silent connections and half-sent bodies neither keep payers out nor hold the end", async () => {
    const path = await change(
      (settings) => {
        settings.limits = { atOnce: 1 };
        settings.payment.facilitatorUrl = market.devnet.facilitatorUrl;
        settings.origin = "https://seller.example";
      },
      join(folder, "slow.json"),
    );
    const node = await serveNode(path);
    const half = await opened(node.origin, HALF);
    const silent = await opened(node.origin, "");
    const ends = [half, silent].map((socket) => once(socket, "close"));
    // The node says so once it reads the body.
    await once(half, "data");
    const asking = request(`${node.origin}/v2/models/eth-risk/infer`, {
      method: "POST",
      headers: { host: "attacker.example" },
    }).end();
    const [answer] = (await once(asking, "response")) as [IncomingMessage];
    expect(answer.resume().statusCode).toBe(402);
    const offer = Buffer.from(String(answer.headers["payment-required"]), "base64").toString();
    expect(JSON.parse(offer)).toMatchObject({
      resource: { url: "https://seller.example/v2/models/eth-risk/infer" },
    });
    node.process.kill("SIGTERM");
    expect(await node.ended).toBe(0);
    await Promise.all(ends);
    expect(node.said.join()).toContain('"stopped"');
  });

  test("T107: a second signal waits for no settlement, and closes the records", async () => {
    const { facilitator, settling, released } = await holdSettling(market);
    const path = await change((settings) => (settings.payment.facilitatorUrl = facilitator.origin), "twice.json");
    const node = await serveNode(path);
    try {
      const answered = (await purseFor(market, node.origin)).post().catch(() => null);
      await settling.opened;
      node.process.kill("SIGTERM");
      await expect.poll(() => node.said.at(-1)).toContain('"stopping"');
      node.process.kill("SIGTERM");
      expect(await node.ended).toBe(0);
      expect(node.said.at(-1)).toContain('"stopped"');
      expect(await answered).toBeNull();
    } finally {
      released.open();
      await facilitator.stop();
    }
  });
});

describe("the counts of a node that serves", () => {
  test("T108: metrics count calls, refusals and money on loopback, name no payer, and answer to no other name", async () => {
    await writeFile(join(folder, "facilitator.token"), "a-token-of-ours", { mode: 0o600 });
    const [listening] = await serveHere((settings) => {
      settings.metrics = { port: 0 };
      settings.payment.facilitatorUrl = market.devnet.facilitatorUrl;
      settings.payment.facilitatorTokenFile = "facilitator.token";
    }, "metrics.json");
    if (listening?.event !== "listening" || listening.metrics === undefined) throw new Error("no metrics");
    const { address, metrics } = listening;
    const purse = await purseFor(market, address);
    expect((await purse.post()).status).toBe(200);
    expect((await purse.post()).status).toBe(200);
    expect((await purse.post("{}")).status).toBe(400);
    const text = await (await fetch(metrics)).text();
    const asset = market.devnet.token.toLowerCase();
    for (const line of [
      'proof402_requests_total{method="POST",status="200"} 2',
      'proof402_refused_total{code="payment_required"} 1',
      'proof402_refused_total{code="request_invalid"} 1',
      // The second answer was given again, and paid by the first call.
      'proof402_paid_calls_total{model="eth-risk"} 1',
      `proof402_settled_base_units_total{model="eth-risk",asset="${asset}"} 10000`,
      'proof402_inference_seconds_count{model="eth-risk"} 1',
      "proof402_requests_in_flight 0",
      "proof402_proofs_pending 0",
    ])
      expect(text.split("\n")).toContain(line);
    for (const secret of [purse.account.address.toLowerCase(), "a-token-of-ours", purse.signature])
      expect(text.toLowerCase()).not.toContain(secret);
    expect(new URL(metrics).hostname).toBe("127.0.0.1");
    expect((await fetch(`${address}/metrics`)).status).toBe(404);
    const rebound = request(metrics, { headers: { host: "attacker.example" } }).end();
    const [answer] = (await once(rebound, "response")) as [IncomingMessage];
    expect(answer.resume().statusCode).toBe(421);
  });
});

describe("limits over time", () => {
  test("T109: a payer over its limit is told when to come again, unsettled, and if the same payment buys then", async () => {
    const edit = (settings: NodeConfigInput): void => {
      settings.limits = { perPayer: { most: 1, seconds: 3_600 } };
      settings.payment.facilitatorUrl = market.devnet.facilitatorUrl;
      settings.database = "limited.db";
    };
    const limited = addressOf(await serveHere(edit, "limited.json"));
    const account = newAccount();
    const first = await purseFor(market, limited, { account });
    const second = await purseFor(market, limited, { account });
    // What is not this payer's to send counts for nothing.
    const forged = changed(first.header, ({ payload }) => Object.assign(payload, { signature: second.signature }));
    expect((await postPaid(limited, forged)).status).toBe(402);
    expect((await first.post()).status).toBe(200);
    // An answer paid before is given again, however often.
    expect((await first.post()).status).toBe(200);
    const told = await fetch(`${limited}/v2/models/eth-risk/infer`, {
      method: "POST",
      headers: { "payment-signature": second.header },
      body: requestOf(1),
    });
    expect(told.status).toBe(429);
    expect(Number(told.headers.get("retry-after"))).toBeGreaterThan(1_000);
    expect(decodePaymentResponseHeader(told.headers.get("payment-response") ?? "")).toMatchObject({
      success: false,
      errorReason: "rate_limited",
    });
    // The payment is valid for less than the hour.
    expect(await told.text()).toContain("this payment will have run out by the time in Retry-After");
    expect(await isUsed(market, second)).toBe(false);
    expect((await (await purseFor(market, limited)).post()).status).toBe(200);
  });

  test("T109: a payer over its limit brings the same payment to the same node after its window", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    onTestFinished(() => void vi.useRealTimers());
    const origin = addressOf(
      await serveHere((settings) => {
        settings.limits = { perPayer: { most: 1, seconds: 60 } };
        settings.payment.facilitatorUrl = market.devnet.facilitatorUrl;
      }, "window.json"),
    );
    const account = newAccount();
    const [first, second] = [await purseFor(market, origin, { account }), await purseFor(market, origin, { account })];
    expect((await first.post()).status).toBe(200);
    const told = await second.post(requestOf(1));
    expect([told.status, told.text]).toEqual([429, expect.stringContaining("bring the same payment again after")]);
    vi.setSystemTime(Date.now() + 61_000);
    expect((await second.post(requestOf(1))).status).toBe(200);
    expect(await isUsed(market, second)).toBe(true);
  });

  test("T109: a payment that was taken has its answer from an address over its limit", async () => {
    const origin = addressOf(
      await serveHere((settings) => {
        settings.limits = { perAddress: { most: 3, seconds: 3_600 } };
        settings.payment.facilitatorUrl = market.devnet.facilitatorUrl;
      }, "lost.json"),
    );
    const purse = await purseFor(market, origin);
    const other = await purseFor(market, origin);
    const paid = await purse.post();
    expect(paid.status).toBe(200);
    // Its answer was lost on the way.
    expect(await purse.post()).toEqual(paid);
    // This one was not taken, and the node says no more than that.
    const told = await other.post();
    expect([told.status, told.text]).toEqual([429, expect.stringContaining("is not known here")]);
    expect(told.text).not.toContain("money");
    // A payment opens nothing but its own answer.
    const attested = await fetch(`${origin}/enclave/attestation`, { headers: { "payment-signature": purse.header } });
    expect(attested.status).toBe(429);
  });

  test("T109: over MCP, too, a payment that was taken has its answer from an address over its limit", async () => {
    const origin = addressOf(
      await serveHere((settings) => {
        settings.limits = { perAddress: { most: 4, seconds: 3_600 }, perPayer: { most: 1, seconds: 3_600 } };
        settings.mcp = true;
        settings.payment.facilitatorUrl = market.devnet.facilitatorUrl;
      }, "tools.json"),
    );
    const account = newAccount();
    const [first, second] = [await purseFor(market, origin, { account }), await purseFor(market, origin, { account })];
    const post = async (
      method: string,
      params: object,
    ): Promise<{ status: number; again: string | null; text: string }> => {
      const headers = { "content-type": "application/json", accept: "application/json, text/event-stream" };
      const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method, params });
      const response = await fetch(`${origin}/mcp`, { method: "POST", headers, body });
      return { status: response.status, again: response.headers.get("retry-after"), text: await response.text() };
    };
    const call = ({ header }: { header: string }) => {
      const payment: unknown = JSON.parse(Buffer.from(header, "base64").toString());
      const asked = { name: "eth-risk", arguments: { features: [ETH_FEATURES.features] } };
      return post("tools/call", { ...asked, _meta: { "x402/payment": payment } });
    };
    const paid = await call(first);
    expect([paid.status, paid.text]).toEqual([200, expect.stringContaining("probabilities")]);
    // Its payer has had its one call: the result says when there is another.
    expect((await call(second)).text).toMatch(/retryAfter\\":\d{4}/);
    // The address has had its four: two prices, two calls. What was paid for is there all the same, and what is no call.
    expect(await call(first)).toEqual(paid);
    expect((await post("tools/list", {})).text).toContain("eth-risk");
    expect(await call(second)).toMatchObject({ status: 429, again: expect.stringMatching(/^\d+$/) });
    expect(await post("tools/call", { name: "eth-risk", arguments: {} })).toMatchObject({ status: 429 });
    expect(await isUsed(market, second)).toBe(false);
  });

  test("a buyer that is told 429 says what became of its money", async () => {
    const buyerAt = async (limit: "perPayer" | "perAddress"): Promise<Limited> => {
      const file = `${limit}.json`;
      const origin = addressOf(
        await serveHere((settings) => {
          settings.limits = { [limit]: { most: 1, seconds: 3_600 } };
          settings.payment.facilitatorUrl = market.devnet.facilitatorUrl;
        }, file),
      );
      const { stdout } = await runCli(["node", "reference", join(folder, file), "--id", limit.toLowerCase()]);
      const entry = sellerSchema.parse({ ...(JSON.parse(stdout) as object), origin });
      const buyer = await market.buyer((settings) => void (settings.sellers = [entry]));
      const call: Limited["call"] = (idempotencyKey) =>
        buyWith(buyer, { model: "eth-risk", input: ETH_FEATURES, assurance: "signed", idempotencyKey });
      return { origin, call };
    };
    const payer = await buyerAt("perPayer");
    expect((await payer.call("call-one")).stored).toBe(true);
    // Its second authorization went out: the seller may still have it settled.
    const paid = { code: "seller_error", money: "may-move", details: { status: 429 } };
    expect(await payer.call("call-two").catch((error: unknown) => error)).toMatchObject(paid);
    const address = await buyerAt("perAddress");
    expect((await fetch(`${address.origin}/v2/models/eth-risk/infer`, { method: "POST" })).status).toBe(402);
    expect(await address.call("call-three").catch((error: unknown) => error)).toMatchObject({ money: "not-moved" });
  });

  test("T109: an address over its limit is told when to come again, as the proxy saw it behind one", async () => {
    const edit = (behindProxy: boolean) => (settings: NodeConfigInput) => {
      settings.limits = { perAddress: { most: 2, seconds: 3_600 } };
      settings.listen = { port: 0, behindProxy };
      settings.payment.facilitatorUrl = market.devnet.facilitatorUrl;
    };
    const ask = async (origin: string, seen: string): Promise<number> => {
      const headers = { "x-forwarded-for": `203.0.113.7, ${seen}` };
      return (await fetch(`${origin}/v2/models/eth-risk/infer`, { method: "POST", headers })).status;
    };
    const told = async (origin: string, seen: string[]): Promise<number[]> => {
      const statuses: number[] = [];
      for (const address of seen) statuses.push(await ask(origin, address));
      return statuses;
    };
    const open = addressOf(await serveHere(edit(false), "address.json"));
    expect(await told(open, ["198.51.100.1", "198.51.100.2", "198.51.100.3"])).toEqual([402, 402, 429]);
    expect((await fetch(`${open}/v2/health/ready`)).status).toBe(200);
    const proxied = addressOf(await serveHere(edit(true), "proxied.json"));
    const seen = ["2001:db8::1", "2001:db8:0:0:9::2", "2001:db8:0:1::3", "2001:db8::ffff"];
    expect(await told(proxied, seen)).toEqual([402, 402, 402, 429]);
    // Some proxies name the port.
    const ports = ["203.0.113.9:51234", "203.0.113.9:51235", "203.0.113.9"];
    expect(await told(proxied, ports)).toEqual([402, 402, 429]);
    const bracketed = ["[2001:db8:5::1]:443", "[2001:db8:5::2]", "2001:db8:5::3"];
    expect(await told(proxied, bracketed)).toEqual([402, 402, 429]);
  });
});

type Limited = { origin: string; call: (key: string) => ReturnType<typeof buyWith> };

const addressOf = ([listening]: readonly NodeEvent[]): string => {
  if (listening?.event !== "listening") throw new Error("not listening");
  return listening.address;
};
