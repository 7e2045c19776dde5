import { brotliCompressSync, deflateSync, gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { newestAppraisal } from "../../src/receipts/newest.ts";
import type { Receipt } from "../../src/receipts/schema.ts";
import { transferOf } from "../../src/receipts/transfer.ts";
import { callTool } from "../../src/tools/call.ts";
import { buyInference } from "../../src/tools/index.ts";
import { failure, memoryGrowth, serve } from "../http/servers.ts";
import { ETH_FEATURES } from "../support/devnet.ts";
import { isPayment, openWorld, PRICE, type Attack, type Trick, type World } from "./world.ts";

let world: World;
beforeAll(async () => {
  world = await openWorld();
});
afterAll(() => world.stop());

/** A busy machine takes its time. */
const PATIENT = { timeout: 20_000 };
const LIMIT = 100_000;

/** Serves honestly and changes how its answers to payments come, while it does so. */
const answering =
  (change: (body: Buffer, honest: Response) => Response, changing = () => true): Trick =>
  async (request, honest) => {
    const answer = await honest();
    return isPayment(request) && changing() ? change(Buffer.from(await answer.arrayBuffer()), answer) : answer;
  };
/** The same answer in a content coding. */
const coded =
  (name: string, encode: (body: Buffer) => Uint8Array) =>
  (body: Buffer, { status, headers }: Response): Response =>
    new Response(new Uint8Array(encode(body)), {
      status,
      headers: { ...Object.fromEntries(headers), "content-encoding": name },
    });
const padded = (body: Buffer, { headers }: Response): Response =>
  new Response(`${body.toString()}${" ".repeat(2 * LIMIT)}`, { headers });

const receiptsOf = (attack: Attack): Promise<Receipt[]> => attack.buyer.listReceipts();
const bytesOf = ({ core }: Receipt): Buffer => Buffer.from(core.response.body ?? "", "base64");
const settled = (attack: Attack, count = 1): Promise<void> =>
  vi.waitFor(async () => {
    await attack.buyer.reconcile();
    const { recent } = await attack.buyer.spending();
    expect(recent.filter(({ state }) => state === "settled")).toHaveLength(count);
  }, PATIENT);
const UNDECODED = "answer_undecoded: it was paid and answered in a content coding that cannot be decoded";
const holdOf = async (attack: Attack): Promise<string | null> =>
  (await attack.buyer.sellers())[0]?.hold?.reason ?? null;

describe("T80: an answer that was paid for, compressed although it was asked not to be", () => {
  test.each<[string, (body: Buffer) => Uint8Array]>([
    ["gzip", gzipSync],
    ["x-gzip", gzipSync],
    ["GZIP", gzipSync],
    ["deflate", deflateSync],
    ["br", brotliCompressSync],
  ])("by %s, is read, and its receipt verifies by the hash of its content", async (name, encode) => {
    const attack = await world.attack(answering(coded(name, encode)));
    const { receipt, ...result } = await attack.buy();
    expect(result).toMatchObject({ readable: true, paidNow: true, stored: true });
    expect(transferOf(receipt.core)).toEqual({
      kind: "transfer.http",
      coding: { name: name.toLowerCase(), decoded: true },
      cut: null,
    });
    expect(JSON.parse(bytesOf(receipt).toString())).toMatchObject({ model_name: "eth-risk" });
    const final = newestAppraisal(await attack.buyer.getReceipt(receipt.id, { waitSeconds: 20 }));
    expect(final.verdict).toBe("verified");
    expect(final.notProven.join(" ")).toContain(`in the content coding ${name.toLowerCase()}`);
    expect(await holdOf(attack)).toBeNull();
    expect(await attack.plunder()).toBe(PRICE);
  });

  test.each<[string, string, (body: Buffer) => Uint8Array]>([
    ["zstd, which is not read here,", "zstd", gzipSync],
    ["two codings", "gzip, br", gzipSync],
    ["a gzip that breaks off", "gzip", (body) => gzipSync(body).subarray(0, 40)],
    ["a gzip that unzips to 200 MB", "gzip", () => BOMB],
  ])(
    "by %s, is handed over as it came, and its seller served nothing: it is on hold once it was paid",
    async (_what, name, encode) => {
      let sent = new Uint8Array();
      const keeping = (body: Buffer): Uint8Array => (sent = new Uint8Array(encode(body)));
      const attack = await world.attack(answering(coded(name, keeping)));
      await attack.buyer.listModels();
      let result: Awaited<ReturnType<Attack["buy"]>> | undefined;
      const growth = await memoryGrowth(async () => {
        result = await attack.buy();
      });
      expect(growth).toBeLessThan(60_000_000);
      expect(result).toMatchObject({ readable: false, answer: { encoding: "base64" }, paidNow: true, stored: true });
      const [receipt] = await receiptsOf(attack);
      expect(receipt === undefined ? null : bytesOf(receipt)).toEqual(Buffer.from(sent));
      await settled(attack);
      const final = newestAppraisal(await attack.buyer.getReceipt(receipt?.id ?? ""));
      expect(final).toMatchObject({ verdict: "unverified", layers: { response: { code: "answer_coded" } } });
      expect(await holdOf(attack)).toBe(UNDECODED);
      expect(await failure(attack.buy())).toMatchObject({ code: "seller_on_hold", money: "not-moved" });
      expect(await attack.plunder()).toBe(PRICE);
    },
  );

  test("in words only, is read as what it is", async () => {
    const attack = await world.attack(answering(coded("gzip", (body) => body)));
    const { receipt, readable } = await attack.buy();
    expect(readable).toBe(true);
    expect(transferOf(receipt.core)?.coding).toEqual({ name: "gzip", decoded: false });
    expect(newestAppraisal(await attack.buyer.getReceipt(receipt.id, { waitSeconds: 20 })).verdict).toBe("verified");
  });
});

/** Members of a gzip file follow one another (RFC 1952 §2.2), so the bomb is small on this side too. */
const BOMB = Buffer.concat(Array.from({ length: 200 }, () => gzipSync(Buffer.alloc(1_000_000))));

describe("T80: of an answer that was paid for only the beginning came", () => {
  /** A victim of a seller whose answers to payments come to an end too early, while `cutting` says so. */
  type Cutting = (cutting: () => boolean) => Promise<Attack>;

  /** A server before the seller that closes the connection in the middle of the body. */
  const brokenOff: Cutting = async (cutting) => {
    let origin = "";
    const front = await serve((request, response) => {
      const chunks: Buffer[] = [];
      request.on("data", (chunk: Buffer) => chunks.push(chunk));
      request.on("end", () => {
        const { host: _host, connection: _connection, "content-length": _length, ...headers } = request.headers;
        const body = chunks.length === 0 ? {} : { body: Buffer.concat(chunks) };
        const asked = { method: request.method ?? "", headers: headers as Record<string, string>, ...body };
        void fetch(`${origin}${request.url}`, asked).then(async (answer) => {
          const whole = Buffer.from(await answer.arrayBuffer());
          const head = Object.fromEntries(answer.headers);
          delete head["transfer-encoding"];
          response.writeHead(answer.status, { ...head, "content-length": String(whole.length) });
          if (headers["payment-signature"] === undefined || !cutting()) response.end(whole);
          else response.write(whole.subarray(0, 100), () => response.socket?.end());
        });
      });
    });
    return world.attack(
      (_request, honest) => honest(),
      ({ sellers: [seller] }) => {
        if (seller?.origin === undefined) throw new Error("there is a seller");
        origin = seller.origin;
        seller.origin = front.origin;
      },
    );
  };
  const tooSlow: Cutting = (cutting) =>
    world.attack(
      answering(
        (body, { headers }) =>
          new Response(new ReadableStream({ start: (stream) => stream.enqueue(body.subarray(0, 100)) }), { headers }),
        cutting,
      ),
      ({ http }) => (http.idleSeconds = 1),
    );
  const tooLarge: Cutting = (cutting) =>
    world.attack(answering(padded, cutting), ({ http }) => (http.maxResponseBytes = LIMIT));

  const KINDS: [string, Cutting, number][] = [
    ["broken_off", brokenOff, 100],
    ["too_slow", tooSlow, 100],
    ["too_large", tooLarge, LIMIT],
  ];

  test.each(KINDS)(
    "%s: it is kept and named, its seller is not blamed, and the same payment brings the rest",
    async (cut, attackOf, size) => {
      let cutting = true;
      const attack = await attackOf(() => cutting);
      const request = { idempotencyKey: crypto.randomUUID() };
      const error = await failure(attack.buy(request));
      const [receipt] = await receiptsOf(attack);
      expect(error).toMatchObject({
        code: "answer_cut",
        money: "may-move",
        idempotencyKey: request.idempotencyKey,
        details: { status: 200, receiptId: receipt?.id, cut },
      });
      expect(error.message).toContain(receipt?.id);
      expect(error.next).toMatch(/same idempotency key/);
      expect(`${error.message} ${error.next}`).not.toMatch(/new (?:idempotency )?key|not served|another seller/);
      expect(receipt && transferOf(receipt.core)).toEqual({ kind: "transfer.http", coding: null, cut });
      expect(receipt && bytesOf(receipt)).toHaveLength(size);
      await settled(attack);
      expect(newestAppraisal(await attack.buyer.getReceipt(receipt?.id ?? ""))).toMatchObject({
        verdict: "unverified",
        layers: { response: { status: "skip", code: "answer_cut" } },
      });
      expect(await holdOf(attack)).toBeNull();
      // Settled and cut once more, it is still no seller that serves nothing.
      expect(await failure(attack.buy(request))).toMatchObject({ code: "answer_cut", money: "moved" });
      cutting = false;
      const whole = await attack.buy(request);
      expect(whole).toMatchObject({ readable: true, paidNow: false });
      expect(newestAppraisal(await attack.buyer.getReceipt(whole.receipt.id, { waitSeconds: 20 })).verdict).toBe(
        "verified",
      );
      expect(attack.payments()).toHaveLength(1);
      expect(await attack.plunder()).toBe(PRICE);
      expect(await attack.buyer.audit()).toMatchObject({ ok: true });
    },
  );

  test("whatever it said of its length, no more is read than is let in", async () => {
    const attack = await world.attack(
      answering(() => new Response(new Uint8Array(60_000_000), { status: 200 })),
      ({ http }) => (http.maxResponseBytes = LIMIT),
    );
    await attack.buyer.listModels();
    const growth = await memoryGrowth(async () => {
      expect(await failure(attack.buy())).toMatchObject({ code: "answer_cut" });
    });
    expect(growth).toBeLessThan(250_000_000);
    const [receipt] = await receiptsOf(attack);
    expect(receipt && bytesOf(receipt)).toHaveLength(LIMIT);
  });

  test("three times: its seller is on hold, for that and not for taking money, until an answer comes whole", async () => {
    let cutting = true;
    const attack = await tooLarge(() => cutting);
    const keys = [1, 2, 3].map(() => crypto.randomUUID());
    for (const idempotencyKey of keys) {
      expect(await holdOf(attack)).toBeNull();
      expect(await failure(attack.buy({ idempotencyKey }))).toMatchObject({ code: "answer_cut" });
    }
    expect(await holdOf(attack)).toMatch(/^answers_cut: of 3 or more/);
    expect(await failure(attack.buy())).toMatchObject({ code: "seller_on_hold", money: "not-moved" });
    await settled(attack, 3);
    // It does not end by itself, however long the seller owes.
    const later = await attack.reopen(undefined, { clock: () => new Date(Date.now() + 30 * 24 * 60 * 60_000) });
    await later.reconcile();
    expect((await later.sellers())[0]?.hold?.reason).toMatch(/^answers_cut/);
    expect(await later.audit()).toMatchObject({ ok: true });
    cutting = false;
    const [first] = keys;
    await attack.buy({ idempotencyKey: first ?? "" });
    expect(await holdOf(attack)).toBeNull();
  });

  test("a model that called the tool is told of money, key and receipt, and not to buy again", async () => {
    const attack = await tooLarge(() => true);
    const args = { model: "eth-risk", input: ETH_FEATURES };
    const outcome = await callTool(buyInference, { buyer: attack.buyer }, args);
    const [receipt] = await receiptsOf(attack);
    const { text } = outcome as { text: string };
    for (const said of ["Error answer_cut", receipt?.id ?? "?", "Money may still move", "idempotency_key: "])
      expect(text).toContain(said);
    expect(text).toContain("has raised http.maxResponseBytes");
    expect(text).not.toMatch(/buy again|new key|another seller/);
    // Made again without a key, it takes the same payment up.
    await callTool(buyInference, { buyer: attack.buyer }, args);
    expect(attack.payments()).toHaveLength(1);
  });
});

describe("T80: a redirect in place of an answer that was paid for", () => {
  test.each([301, 302, 303, 307, 308])(
    "%i is kept with what it said, followed nowhere, and its seller has served nothing",
    async (status) => {
      const loot = await world.attack(() => new Response("caught"));
      const location = `${loot.origin}/v2/models/eth-risk/infer`;
      const attack = await world.attack(
        answering(() => new Response("it is over there", { status, headers: { location } })),
      );
      const request = { idempotencyKey: crypto.randomUUID() };
      const error = await failure(attack.buy(request));
      const [receipt] = await receiptsOf(attack);
      expect(error).toMatchObject({
        code: "seller_error",
        money: "may-move",
        details: { status, receiptId: receipt?.id },
      });
      expect(error.message).toMatch(/a redirect that is followed nowhere/);
      expect(receipt?.core.response.status).toBe(status);
      expect(receipt && bytesOf(receipt).toString()).toBe("it is over there");
      expect(loot.seen).toEqual([]);
      await attack.plunder();
      await settled(attack);
      await vi.waitFor(
        async () => expect(await holdOf(attack)).toBe(`paid_and_refused: it was paid and answered ${status}`),
        PATIENT,
      );
      expect(await failure(attack.buy(request))).toMatchObject({ code: "paid_not_served", money: "moved" });
      expect(attack.payments()).toHaveLength(1);
      expect(await attack.plunder()).toBe(PRICE);
    },
  );
});
