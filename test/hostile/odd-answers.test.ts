import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Config } from "../../src/config/schema.ts";
import { newestAppraisal } from "../../src/receipts/newest.ts";
import { transferOf } from "../../src/receipts/transfer.ts";
import { callTool } from "../../src/tools/call.ts";
import { buyInference } from "../../src/tools/index.ts";
import { failure } from "../http/servers.ts";
import { ETH_FEATURES } from "../support/devnet.ts";
import { eventually } from "../support/eventually.ts";
import { rawAttack, whole, type Bytes, type Honest, type RawAttack } from "./raw.ts";
import { openWorld, PRICE, type Attack, type World } from "./world.ts";

let world: World;
beforeAll(async () => {
  world = await openWorld();
});
afterAll(() => world.stop());

/** The transactions that the database keeps as its sellers' words. */
const kept = (attack: Attack): Promise<(string | null)[]> =>
  attack.using(async (db) =>
    (await db.selectFrom("sightings").select("transaction").execute()).map((row) => row.transaction),
  );
const states = async (attack: Attack): Promise<string[]> =>
  (await attack.buyer.spending()).recent.map(({ state }) => state);
const settled = (attack: Attack): Promise<void> =>
  eventually(async () => {
    await attack.buyer.reconcile();
    expect(await states(attack)).toEqual(["settled"]);
  });

/** The same key brings the answer once the seller is honest, for the one payment that was made. */
async function servedInTheEnd({ attack, reform }: RawAttack, idempotencyKey: string): Promise<void> {
  reform();
  const result = await attack.buy({ idempotencyKey });
  expect(result).toMatchObject({ readable: true, paidNow: false });
  expect(newestAppraisal(await attack.buyer.getReceipt(result.receipt.id, { waitSeconds: 20 })).verdict).toBe(
    "verified",
  );
  expect(attack.payments()).toHaveLength(1);
  expect(await attack.plunder()).toBe(PRICE);
  expect(await attack.buyer.audit()).toMatchObject({ ok: true });
}

describe("T82: the head of an answer that was paid for comes alone", () => {
  const headed = (status: string, { settlement }: Honest, rest: string): string =>
    `HTTP/1.1 ${status}\r\n${settlement}${rest}\r\n`;
  const HEADS: [string, number, string, (honest: Honest) => Bytes][] = [
    [
      "and the connection ends",
      200,
      "http_interrupted",
      (honest) => ({ bytes: headed("200 OK", honest, "content-length: 500\r\n"), end: true }),
    ],
    [
      "and nothing follows",
      200,
      "http_timeout",
      (honest) => ({ bytes: headed("200 OK", honest, "content-length: 500\r\n") }),
    ],
    [
      "and no chunk follows",
      200,
      "http_interrupted",
      (honest) => ({ bytes: headed("200 OK", honest, "transfer-encoding: chunked\r\n"), end: true }),
    ],
    [
      "before a chunk of no size",
      200,
      "http_malformed",
      (honest) => ({ bytes: `${headed("200 OK", honest, "transfer-encoding: chunked\r\n")}zz\r\n` }),
    ],
    [
      "with 304 and the length of what it leaves out",
      304,
      "http_malformed",
      (honest) => ({ bytes: headed("304 Not Modified", honest, "content-length: 500\r\n") }),
    ],
    [
      "with 402",
      402,
      "http_interrupted",
      (honest) => ({ bytes: headed("402 Payment Required", honest, "content-length: 500\r\n"), end: true }),
    ],
    [
      "with 500",
      500,
      "http_interrupted",
      (honest) => ({ bytes: headed("500 No", honest, "content-length: 500\r\n"), end: true }),
    ],
    [
      "with 101 and no other protocol",
      101,
      "http_malformed",
      (honest) => ({ bytes: headed("101 Switching Protocols", honest, "") }),
    ],
    [
      "with 099",
      99,
      "http_malformed",
      (honest) => ({ bytes: headed("099 No", honest, "content-length: 2\r\n") + "no" }),
    ],
  ];

  test.each(HEADS)(
    "%s: what it says of the settlement is kept, nothing counts as served, and the same payment brings the answer",
    async (_how, status, reason, answer) => {
      const odd = await rawAttack(world, answer, ({ http }) => {
        if (reason === "http_timeout") http.idleSeconds = 1;
      });
      const { attack, honest, brought } = odd;
      const idempotencyKey = crypto.randomUUID();
      const error = await failure(attack.buy({ idempotencyKey }));
      const transaction = honest[0]?.transaction;
      expect(error).toMatchObject({
        code: "answer_lost",
        money: "may-move",
        idempotencyKey,
        details: { reason, status, transaction },
      });
      expect(error.next).toMatch(/same idempotency key/);
      expect(brought()).toBe(1);
      expect(await kept(attack)).toEqual([transaction]);
      expect(await attack.buyer.listReceipts()).toEqual([]);
      expect(await states(attack)).toEqual(["sent"]);
      await servedInTheEnd(odd, idempotencyKey);
    },
  );
});

describe("T82: an answer that was paid for is no HTTP that can be read", () => {
  const UNREADABLE: [string, string, (honest: Honest) => string | Buffer][] = [
    ["two lengths", "http_malformed", (honest) => whole(honest, undefined, "content-length: 3\r\n")],
    ["a length and chunks", "http_malformed", (honest) => whole(honest, undefined, "transfer-encoding: chunked\r\n")],
    [
      "64 KB of headers",
      "http_headers_too_large",
      (honest) => whole(honest, undefined, `x: ${"a".repeat(65_536)}\r\n`),
    ],
    [
      "a protocol that was not asked for",
      "http_malformed",
      ({ settlement }) => `HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n${settlement}\r\n`,
    ],
    [
      "100, which was not asked for",
      "http_malformed",
      (honest) => Buffer.concat([Buffer.from("HTTP/1.1 100 Continue\r\n\r\n"), whole(honest)]),
    ],
    ["a status of four digits", "http_malformed", (honest) => whole(honest, "HTTP/1.1 2000 OK")],
    ["another version", "http_malformed", (honest) => whole(honest, "HTTP/1.2 200 OK")],
    ["a folded header", "http_malformed", (honest) => whole(honest, undefined, "x: a\r\n b\r\n")],
    [
      "lines that end in LF alone",
      "http_malformed",
      (honest) => whole(honest).toString("latin1").replaceAll("\r\n", "\n"),
    ],
    ["a header with a zero byte", "http_malformed", (honest) => whole(honest, undefined, "x: a\0b\r\n")],
    ["no HTTP at all", "http_malformed", ({ body }) => body],
    ["its own request", "http_malformed", () => "POST / HTTP/1.1\r\nhost: x\r\n\r\n"],
  ];

  test.each(UNREADABLE)(
    "%s: that is said, with money and key, and the same payment brings the answer",
    async (_what, reason, answer) => {
      const odd = await rawAttack(world, (honest) => ({ bytes: answer(honest) }));
      const { attack, brought } = odd;
      const idempotencyKey = crypto.randomUUID();
      const error = await failure(attack.buy({ idempotencyKey }));
      expect(error).toMatchObject({
        code: "answer_lost",
        money: "may-move",
        idempotencyKey,
        details: { reason, status: null, transaction: null },
      });
      expect(error.message).toContain("nothing came that a receipt could hold");
      expect(error.next).toMatch(/same idempotency key/);
      // It came, so it is not asked for a second time unasked.
      expect(brought()).toBe(1);
      expect(await attack.buyer.listReceipts()).toEqual([]);
      expect(await states(attack)).toEqual(["sent"]);
      await servedInTheEnd(odd, idempotencyKey);
    },
  );

  test("again and again: it is paid once, its seller is on hold once that settled, and that is said", async () => {
    const { attack, brought } = await rawAttack(world, (honest) => ({
      bytes: whole(honest, undefined, "content-length: 3\r\n"),
    }));
    const idempotencyKey = crypto.randomUUID();
    for (const _time of [1, 2, 3])
      expect(await failure(attack.buy({ idempotencyKey }))).toMatchObject({ code: "answer_lost", money: "may-move" });
    await settled(attack);
    expect(await failure(attack.buy({ idempotencyKey }))).toMatchObject({
      code: "paid_not_served",
      money: "moved",
      idempotencyKey,
      details: { reason: "answer_lost" },
    });
    expect((await attack.buyer.sellers())[0]?.hold?.reason).toMatch(/^paid_not_served/);
    expect(await failure(attack.buy())).toMatchObject({ code: "seller_on_hold", money: "not-moved" });
    expect(brought()).toBe(4);
    expect(attack.payments()).toHaveLength(1);
    expect(await attack.plunder()).toBe(PRICE);
  });

  test("a model that called the tool is told of money and key, and not to buy again", async () => {
    const { attack } = await rawAttack(world, (honest) => ({
      bytes: whole(honest, undefined, "content-length: 3\r\n"),
    }));
    const args = { model: "eth-risk", input: ETH_FEATURES };
    const { text } = (await callTool(buyInference, { buyer: attack.buyer }, args)) as {
      text: string;
    };
    for (const said of ["Error answer_lost", "Money may still move", "idempotency_key: "]) expect(text).toContain(said);
    expect(text).not.toMatch(/buy again|new key|another seller/);
    await callTool(buyInference, { buyer: attack.buyer }, args);
    expect(attack.payments()).toHaveLength(1);
  });
});

describe("T80: an answer that was paid for with an odd status or odd bytes around it", () => {
  test.each([600, 777, 999])(
    "%i is kept like any failure of the seller's, and the same payment brings the answer",
    async (status) => {
      const odd = await rawAttack(world, (honest) => ({ bytes: whole(honest, `HTTP/1.1 ${status} No`) }));
      const { attack, honest } = odd;
      const idempotencyKey = crypto.randomUUID();
      const error = await failure(attack.buy({ idempotencyKey }));
      const [receipt] = await attack.buyer.listReceipts();
      expect(error).toMatchObject({
        code: "seller_error",
        money: "may-move",
        idempotencyKey,
        details: { status, receiptId: receipt?.id },
      });
      expect(receipt?.core.response).toMatchObject({ status, body: honest[0]?.body.toString("base64") });
      expect(receipt && newestAppraisal(receipt)).toMatchObject({
        verdict: "failed",
        layers: { response: { code: "status_not_ok" } },
      });
      expect(await kept(attack)).toEqual([honest[0]?.transaction]);
      await servedInTheEnd(odd, idempotencyKey);
    },
  );

  test("64 KB of trailers after all of it: what came is kept, and the same payment brings the rest", async () => {
    const odd = await rawAttack(world, ({ settlement, body }) => ({
      bytes: `HTTP/1.1 200 OK\r\n${settlement}transfer-encoding: chunked\r\n\r\n${body.length.toString(16)}\r\n${body.toString("latin1")}\r\n0\r\nx: ${"a".repeat(65_536)}\r\n\r\n`,
    }));
    const { attack, honest } = odd;
    const idempotencyKey = crypto.randomUUID();
    expect(await failure(attack.buy({ idempotencyKey }))).toMatchObject({
      code: "answer_cut",
      money: "may-move",
      details: { cut: "broken_off" },
    });
    const [receipt] = await attack.buyer.listReceipts();
    expect(receipt?.core.response.body).toBe(honest[0]?.body.toString("base64"));
    await servedInTheEnd(odd, idempotencyKey);
  });

  test("a 402 in front of it: what the chain shows decides, and the same payment brings the answer", async () => {
    const odd = await rawAttack(world, (honest) => ({
      bytes: Buffer.concat([Buffer.from("HTTP/1.1 402 Payment Required\r\ncontent-length: 0\r\n\r\n"), whole(honest)]),
    }));
    const { attack, brought } = odd;
    const idempotencyKey = crypto.randomUUID();
    const error = await failure(attack.buy({ idempotencyKey }));
    // The chain may show the payment in a block already, or deep enough.
    expect(["payment_in_doubt", "paid_not_served"]).toContain(error.code);
    expect(error.money).not.toBe("not-moved");
    // It was asked for once more, as it was paid.
    expect(brought()).toBe(2);
    await servedInTheEnd(odd, idempotencyKey);
  });

  test.each<[string, string]>([
    ["200 of no length", "200 OK\r\ncontent-length: 0"],
    ["200 of no chunk", "200 OK\r\ntransfer-encoding: chunked"],
    ["200 in a coding", "200 OK\r\ncontent-encoding: zstd\r\ncontent-length: 0"],
    ["204", "204 No Content"],
    ["205", "205 Reset Content\r\ncontent-length: 0"],
  ])("%s is no answer: its seller has served nothing, though it owed no signature", async (_how, head) => {
    const unsigned = ({ sellers, verification }: Config): void => {
      verification.assurance = "none";
      for (const seller of sellers) seller.assurance = "none";
    };
    const end = head.includes("chunked") ? "0\r\n\r\n" : "";
    const odd = await rawAttack(
      world,
      ({ settlement }) => ({ bytes: `HTTP/1.1 ${head}\r\n${settlement}\r\n${end}`, end: true }),
      unsigned,
    );
    const { attack } = odd;
    const idempotencyKey = crypto.randomUUID();
    const error = await failure(attack.buy({ idempotencyKey }));
    const [receipt] = await attack.buyer.listReceipts();
    expect(error).toMatchObject({
      code: "seller_error",
      money: "may-move",
      idempotencyKey,
      details: { receiptId: receipt?.id },
    });
    expect(error.message).toMatch(/answered 20[045] and nothing to a paid request/);
    expect(error.next).toMatch(/same idempotency key/);
    await settled(attack);
    expect(await failure(attack.buy({ idempotencyKey }))).toMatchObject({ code: "paid_not_served", money: "moved" });
    expect((await attack.buyer.sellers())[0]?.hold?.reason).toBe("answer_empty: it was paid and answered with nothing");
    expect(await failure(attack.buy())).toMatchObject({ code: "seller_on_hold", money: "not-moved" });
    odd.reform();
    expect(await attack.buy({ idempotencyKey })).toMatchObject({ readable: true, paidNow: false });
    expect((await attack.buyer.sellers())[0]?.hold).toBeNull();
    expect(attack.payments()).toHaveLength(1);
    expect(await attack.plunder()).toBe(PRICE);
    expect(await attack.buyer.audit()).toMatchObject({ ok: true });
  });

  const READ: [string, (honest: Honest) => string | Buffer][] = [
    ["no reason phrase", (honest) => whole(honest, "HTTP/1.1 200")],
    ["a reason of 100 KB", (honest) => whole(honest, `HTTP/1.1 200 ${"a".repeat(100_000)}`)],
    ["HTTP/1.0", (honest) => whole(honest, "HTTP/1.0 200 OK")],
    ["garbage after it", (honest) => Buffer.concat([whole(honest), Buffer.from("garbage")])],
    ["another answer after it", (honest) => Buffer.concat([whole(honest), whole(honest, "HTTP/1.1 500 No")])],
    [
      "20,000 interim answers before it",
      (honest) => Buffer.concat([Buffer.from("HTTP/1.1 102 Processing\r\n\r\n".repeat(20_000)), whole(honest)]),
    ],
    ["empty lines before it", (honest) => Buffer.concat([Buffer.from("\r\n\r\n"), whole(honest)])],
    ["an upgrade that it does not make", (honest) => whole(honest, undefined, "connection: upgrade\r\nupgrade: x\r\n")],
    ["its word about the settlement twice", (honest) => whole(honest, undefined, honest.settlement)],
  ];
  test.each(READ)("%s: it is the answer, paid once", async (_what, answer) => {
    const { attack, honest, brought } = await rawAttack(world, (one) => ({ bytes: answer(one) }));
    const { receipt, ...result } = await attack.buy();
    expect(result).toMatchObject({ readable: true, paidNow: true, stored: true });
    expect(transferOf(receipt.core)).toBeUndefined();
    expect(await kept(attack)).toEqual([honest[0]?.transaction]);
    expect(newestAppraisal(await attack.buyer.getReceipt(receipt.id, { waitSeconds: 20 })).verdict).toBe("verified");
    expect(brought()).toBe(1);
    expect(await attack.plunder()).toBe(PRICE);
  });
});
