import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { newestAppraisal } from "../../src/receipts/newest.ts";
import { tools } from "../../src/tools/index.ts";
import { memoryGrowth } from "../http/servers.ts";
import { isPayment, isPurchase, openWorld, PRICE, type Trick, type World } from "./world.ts";

let world: World;
beforeAll(async () => {
  world = await openWorld();
});
afterAll(() => world.stop());

/** Answers purchases, paid or unpaid, by itself and leaves the rest to the honest node. */
const onPurchase =
  (answer: () => Response | Promise<Response>): Trick =>
  (request, honest) =>
    isPurchase(request) ? answer() : honest();
const onPayment =
  (answer: () => Response | Promise<Response>): Trick =>
  (request, honest) =>
    isPayment(request) ? answer() : honest();

describe("T6: a redirect", () => {
  test.each([301, 302, 303, 307, 308])(
    "%i in place of an offer is followed nowhere, and nothing is signed",
    async (status) => {
      const loot = await world.attack(() => new Response("caught"));
      const attack = await world.attack(
        onPurchase(
          () => new Response(null, { status, headers: { location: `${loot.origin}/v2/models/eth-risk/infer` } }),
        ),
      );
      await expect(attack.buy()).rejects.toMatchObject({ code: "http_redirect_refused", money: "not-moved" });
      expect(attack.payments()).toEqual([]);
      expect(loot.seen).toEqual([]);
    },
  );

  test.each([302, 307, 308])("%i after the payment takes the payment nowhere else", async (status) => {
    const loot = await world.attack(() => new Response("caught"));
    const attack = await world.attack(
      onPayment(() => new Response(null, { status, headers: { location: `${loot.origin}/v2/models/eth-risk/infer` } })),
    );
    await expect(attack.buy()).rejects.toMatchObject({ code: "seller_error", money: "may-move", details: { status } });
    expect((await attack.buyer.listReceipts())[0]?.core.response.status).toBe(status);
    expect(loot.seen).toEqual([]);
    expect(await attack.plunder()).toBe(PRICE);
  });
});

describe("T12: an address of this machine or its network", () => {
  test.each(["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "127.1", "0x7f.1", "2130706433", "localhost."])(
    "as %s is not connected to unless it is configured, and the seller hears nothing",
    async (host) => {
      const attack = await world.attack(
        (_request, honest) => honest(),
        (config) => {
          config.http.allowPrivateAddresses = false;
          for (const seller of config.sellers) seller.origin = (seller.origin ?? "").replace("127.0.0.1", host);
        },
      );
      await expect(attack.buy()).rejects.toMatchObject({ money: "not-moved" });
      const { unreachable } = await attack.buyer.listModels({ refresh: true });
      expect(unreachable).toEqual(["honest"]);
      expect(attack.seen).toEqual([]);
    },
  );

  test("cannot be named in any argument of any tool", () => {
    const fields = tools.flatMap(({ input }) => Object.keys(input.shape));
    expect(fields.filter((name) => /url|uri|origin|host|address|endpoint|rpc/i.test(name))).toEqual([]);
  });
});

describe("T15: an offer made to hurt", () => {
  test("that unzips to 200 MB is refused unopened, and costs under 30 MB", async () => {
    // Members of a gzip file follow one another (RFC 1952 §2.2), so the bomb is small on this side too.
    const bomb = Buffer.concat(Array.from({ length: 200 }, () => gzipSync(Buffer.alloc(1_000_000))));
    const attack = await world.attack(
      onPurchase(
        () => new Response(bomb, { status: 402, headers: { "content-encoding": "gzip", "payment-required": "e30=" } }),
      ),
    );
    await attack.buyer.listModels();
    const growth = await memoryGrowth(async () => {
      await expect(attack.buy()).rejects.toMatchObject({ code: "http_encoding_refused", money: "not-moved" });
    });
    expect(growth).toBeLessThan(30_000_000);
    expect(await attack.plunder()).toBe(0n);
  });

  test.each([
    ["a body over the limit", () => new Response("x".repeat(5_000_000), { status: 402 }), "http_body_too_large"],
    [
      "headers over the limit",
      () => new Response("{}", { status: 402, headers: { "payment-required": "A".repeat(40_000) } }),
      "http_headers_too_large",
    ],
    [
      "an offer nested thousands deep",
      () => {
        const deep = `{"x402Version":2,"accepts":[${'{"extra":'.repeat(2000)}1${"}".repeat(2000)}]}`;
        return new Response("{}", {
          status: 402,
          headers: { "payment-required": Buffer.from(deep).toString("base64") },
        });
      },
      "malformed_offer",
    ],
    [
      "a thousand offers",
      () => {
        const many = JSON.stringify({ x402Version: 2, accepts: Array.from({ length: 1000 }, () => ({})) });
        return new Response("{}", {
          status: 402,
          headers: { "payment-required": Buffer.from(many).toString("base64") },
        });
      },
      "malformed_offer",
    ],
  ])("by %s is refused", async (_name, answer, code) => {
    const attack = await world.attack(onPurchase(answer));
    await expect(attack.buy()).rejects.toMatchObject({ code, money: "not-moved" });
    expect(await attack.plunder()).toBe(0n);
  });
});

describe("T16: an answer that does not come", () => {
  /** A body of which nothing comes but its first byte. */
  const stalled = (): Response =>
    new Response(new ReadableStream({ start: (controller) => controller.enqueue(new Uint8Array(1)) }), { status: 200 });

  test("after the payment: cut off at the idle limit, kept as far as it came, and asked for again with the same payment", async () => {
    let stall = true;
    const attack = await world.attack(
      (request, honest) => (stall && isPayment(request) ? stalled() : honest()),
      (config) => (config.http.idleSeconds = 1),
    );
    const idempotencyKey = crypto.randomUUID();
    await expect(attack.buy({ idempotencyKey })).rejects.toMatchObject({ code: "answer_cut", money: "may-move" });
    const [beginning] = await attack.buyer.listReceipts();
    expect((await attack.buyer.spending()).recent[0]).toMatchObject({ state: "answered", receiptId: beginning?.id });
    expect(beginning?.core.response.body).toBe("AA==");
    stall = false;
    const { receipt } = await attack.buy({ idempotencyKey });
    expect(receipt.core.payment.nonce).toBe(attack.payments()[0]?.payload.authorization.nonce);
    expect(attack.seen.filter(isPayment)).toHaveLength(2);
    expect(attack.payments()).toHaveLength(1);
    expect(await attack.plunder()).toBe(PRICE);
  });

  test("one byte after another: cut off at the idle limit, however steadily they come", async () => {
    const attack = await world.attack(
      onPayment(() => {
        let timer: NodeJS.Timeout;
        const drip = new ReadableStream({
          start(controller) {
            timer = setInterval(() => controller.enqueue(new Uint8Array([32])), 100);
          },
          cancel: () => clearInterval(timer),
        });
        return new Response(drip, { status: 200 });
      }),
      (config) => (config.http.idleSeconds = 1),
    );
    await expect(attack.buy()).rejects.toMatchObject({
      code: "answer_cut",
      money: "may-move",
      details: { cut: "too_slow" },
    });
    expect(await attack.plunder()).toBe(PRICE);
  });

  test("to the listing or the attestation: nothing is paid and the call ends", async () => {
    for (const path of ["/v1/catalog", "/enclave/attestation", "/signing-key"]) {
      const attack = await world.attack(
        (request, honest) => (request.path === path ? stalled() : honest()),
        (config) => (config.http.idleSeconds = 1),
      );
      await expect(attack.buy()).rejects.toMatchObject({ money: "not-moved" });
      expect(attack.payments()).toEqual([]);
    }
  });

  test("because the connection broke: the same payment goes out again, and once only", async () => {
    let breaking = true;
    const attack = await world.attack((request, honest) => {
      if (!breaking || !isPayment(request)) return honest();
      breaking = false;
      return new Response(new ReadableStream({ start: (controller) => controller.error(new Error("gone")) }));
    });
    const idempotencyKey = crypto.randomUUID();
    await expect(attack.buy({ idempotencyKey })).rejects.toMatchObject({ money: "may-move" });
    await attack.buy({ idempotencyKey });
    expect(attack.seen.filter(isPayment)).toHaveLength(2);
    expect(attack.payments()).toHaveLength(1);
    expect(await attack.plunder()).toBe(PRICE);
  });

  test("although it was paid and settled: asked for again, it comes, and verifies as of the first time", async () => {
    let losing = true;
    const attack = await world.attack(async (request, honest) => {
      const answer = await honest();
      if (!losing || !isPayment(request)) return answer;
      losing = false;
      return new Response("lost on the way", { status: 502 });
    });
    const idempotencyKey = crypto.randomUUID();
    await expect(attack.buy({ idempotencyKey })).rejects.toMatchObject({ code: "seller_error", money: "may-move" });
    expect(await attack.plunder()).toBe(PRICE);
    const { receipt } = await attack.buy({ idempotencyKey });
    const final = await attack.buyer.getReceipt(receipt.id, { waitSeconds: 120 });
    expect(newestAppraisal(final).verdict).toBe("verified");
    expect(attack.payments()).toHaveLength(1);
    expect(await attack.plunder()).toBe(PRICE);
  });
});
