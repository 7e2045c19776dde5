import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { TEE_HEADERS } from "../../src/evidence/tee-signature.ts";
import { newestAppraisal } from "../../src/receipts/newest.ts";
import { parseReceipt, serializeReceipt } from "../../src/receipts/receipt.ts";
import { eventually } from "../support/eventually.ts";
import { settlementsOf } from "../support/later.ts";
import { isPayment, openWorld, paymentOf, PRICE, type Attack, type Trick, type World } from "./world.ts";

let world: World;
beforeAll(async () => {
  world = await openWorld();
});
afterAll(() => world.stop());

/** Serves honestly and then changes what it answers to a payment. */
const answering =
  (change: (honest: Response) => Response | Promise<Response>): Trick =>
  async (request, honest) =>
    isPayment(request) ? change(await honest()) : honest();

/** The honest answer with another header, or without it. */
function withHeader(honest: Response, name: string, value: string | null): Response {
  const headers = new Headers(honest.headers);
  if (value === null) headers.delete(name);
  else headers.set(name, value);
  return new Response(honest.body, { status: honest.status, headers });
}

const responseHeader = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64");
const verdictOf = async (attack: Attack, id: string) =>
  newestAppraisal(await attack.buyer.getReceipt(id, { waitSeconds: 120 })).verdict;

describe("T8: a payment redeemed again", () => {
  test("in parallel and one after another moves the price once", async () => {
    const attack = await world.attack((_request, honest) => honest());
    await attack.buy();
    const [payment] = attack.seen.filter(isPayment).map(paymentOf);
    expect(payment?.payload.authorization.value).toBe(String(PRICE));
    expect(await attack.plunder()).toBe(PRICE);
    expect(await attack.plunder()).toBe(PRICE);
  });

  test("shown again to the honest seller buys the same answer and, with any other request, nothing", async () => {
    const attack = await world.attack((_request, honest) => honest());
    const { receipt } = await attack.buy();
    const [paid] = attack.seen.filter(isPayment);
    const again = (path: string, body: string): Promise<Response> =>
      fetch(`${world.market.devnet.sellers.honest.origin}${path}`, {
        method: "POST",
        headers: {
          "content-type": "application/json",
          "payment-signature": paid?.headers["payment-signature"] ?? "",
        },
        body,
      });
    const { path = "", body = "" } = paid ?? {};
    const same = Buffer.from(await (await again(path, body)).arrayBuffer());
    expect(same.toString("base64")).toBe(receipt.core.response.body);
    expect((await again(path, `${body} `)).status).toBe(402);
    expect((await again(path.replace("eth-risk", "payroll-check"), body)).status).toBe(402);
    expect(await attack.plunder()).toBe(PRICE);
  });
});

describe("T13: a settlement that was not", () => {
  test.each([
    ["no transaction", { success: true, transaction: "", network: "eip155:31337", payer: "0x0" }],
    ["an unknown transaction", { success: true, transaction: `0x${"ab".repeat(32)}`, network: "eip155:31337" }],
    ["a failure although it was paid", { success: false, errorReason: "insufficient_funds", transaction: "" }],
  ])("%s in PAYMENT-RESPONSE decides nothing: the chain does", async (_name, claim) => {
    const attack = await world.attack(
      answering((honest) => withHeader(honest, "payment-response", responseHeader(claim))),
    );
    const { receipt, appraisal } = await attack.buy();
    expect(appraisal.verdict).toBe("pending");
    expect(appraisal.layers.settlement.status).toBe("pending");
    expect(await verdictOf(attack, receipt.id)).toBe("verified");
    expect(await attack.plunder()).toBe(PRICE);
  });

  test("another payment's transaction is not this payment's", async () => {
    let other = "";
    const attack = await world.attack(
      answering((honest) =>
        other === ""
          ? honest
          : withHeader(honest, "payment-response", responseHeader({ success: true, transaction: other })),
      ),
    );
    const first = await attack.buy();
    const settled = await attack.buyer.getReceipt(first.receipt.id, { waitSeconds: 120 });
    const [evidence] = settlementsOf(settled);
    other = evidence?.transaction ?? "";
    expect(other).toMatch(/^0x/);
    const second = await attack.buyer.getReceipt((await attack.buy()).receipt.id, { waitSeconds: 120 });
    const [own] = settlementsOf(second);
    expect(own?.outcome).toBe("settled");
    expect(own?.transaction).not.toBe(other);
    // The first one's evidence put under the second receipt is refused as what it is.
    const forged = { ...second, later: settled.later };
    expect((await attack.buyer.verify(forged)).layers.settlement.status).toBe("fail");
  });

  test("an earlier answer served again for a new payment fails, settled or not", async () => {
    // The thief keeps the payment and answers what it computed before.
    let kept: Response | null = null;
    const attack = await world.attack(async (request, honest) => {
      if (!isPayment(request)) return honest();
      if (kept === null) {
        const answer = await honest();
        kept = answer.clone();
        return answer;
      }
      return kept.clone();
    });
    await attack.buy();
    const { appraisal, receipt } = await attack.buy();
    // The old answer's signature covers another request: it fails at once, whatever the chain will say.
    expect(appraisal.verdict).toBe("failed");
    const failed = Object.values(appraisal.layers).filter(({ status }) => status === "fail");
    expect(failed.map(({ code }) => code)).toContain("request_hash_mismatch");
    expect(settlementsOf(await attack.buyer.getReceipt(receipt.id))).toEqual([]);
  });

  test("a receipt file changed in any number is no receipt", async () => {
    const attack = await world.attack((_request, honest) => honest());
    const { receipt } = await attack.buy();
    const text = new TextDecoder().decode(
      serializeReceipt(await attack.buyer.getReceipt(receipt.id, { waitSeconds: 120 })),
    );
    expect(parseReceipt(text)).toMatchObject({ ok: true, receipt: { id: receipt.id } });
    for (const [from, to] of [
      [`"amount": "${PRICE}"`, `"amount": "1"`],
      [receipt.core.payment.payTo, `0x${"5e".repeat(20)}`],
      [receipt.core.response.sha256, "ab".repeat(32)],
      [`"verdict": "pending"`, `"verdict": "verified"`],
    ] as const) {
      expect(text).toContain(from);
      expect(parseReceipt(text.replaceAll(from, to)).ok).toBe(false);
    }
  });
});

describe("T20: layers above that try again", () => {
  test("five calls at once and one later under one key: one payment, one result", async () => {
    const attack = await world.attack((_request, honest) => honest());
    const request = { idempotencyKey: crypto.randomUUID() };
    const results = await Promise.all(Array.from({ length: 5 }, () => attack.buy(request)));
    results.push(await attack.buy(request));
    expect(new Set(results.map(({ receipt }) => receipt.id)).size).toBe(1);
    expect(attack.seen.filter(isPayment)).toHaveLength(1);
    expect(await attack.plunder()).toBe(PRICE);
  });

  test("after a 500 to the payment: the same payment is sent again, never another", async () => {
    let failures = 2;
    const attack = await world.attack((request, honest) =>
      isPayment(request) && failures-- > 0 ? new Response("oops", { status: 500 }) : honest(),
    );
    const request = { idempotencyKey: crypto.randomUUID() };
    for (const _try of [1, 2]) {
      await expect(attack.buy(request)).rejects.toMatchObject({
        code: "seller_error",
        money: "may-move",
        idempotencyKey: request.idempotencyKey,
      });
    }
    expect(await attack.buy(request)).toMatchObject({ paidNow: false });
    expect(attack.seen.filter(isPayment)).toHaveLength(3);
    expect(attack.payments()).toHaveLength(1);
    expect(await attack.plunder()).toBe(PRICE);
  });
});

describe("T22: something else than was paid for", () => {
  const body = async (honest: Response, change: (text: string) => string): Promise<Response> => {
    const headers = new Headers(honest.headers);
    headers.delete("content-length");
    return new Response(change(await honest.text()), { status: 200, headers });
  };
  test.each<[string, (honest: Response) => Response | Promise<Response>, string]>([
    [
      "a changed number",
      (honest) =>
        body(honest, (text) =>
          text.replace(/"data":\[\d/, (found) => `${found.slice(0, -1)}${9 - Number(found.at(-1))}`),
        ),
      "failed",
    ],
    [
      "another model's name",
      (honest) => body(honest, (text) => text.replaceAll("eth-risk", "payroll-check")),
      "failed",
    ],
    ["an answer with one space more", (honest) => body(honest, (text) => `${text} `), "failed"],
    ["no signature", (honest) => withHeader(honest, TEE_HEADERS.signature, null), "unverified"],
    ["a signature of nothing", (honest) => withHeader(honest, TEE_HEADERS.signature, "AAAA"), "failed"],
    [
      "a paid answer without outputs",
      (honest) => body(honest, () => JSON.stringify({ model_name: "eth-risk", id: "x", outputs: [] })),
      "failed",
    ],
  ])("%s never ends verified, and costs the price at most", async (_name, change, expected) => {
    const attack = await world.attack(answering(change));
    // An answer that cannot be read is an error with a receipt behind it; one that can is judged.
    const error = await attack.buy().then(
      () => null,
      (thrown: unknown) => (thrown as { code?: string }).code,
    );
    expect([null, "malformed_answer"]).toContain(error);
    const [receipt] = await attack.buyer.listReceipts();
    expect(await verdictOf(attack, receipt?.id ?? "")).toBe(expected);
    expect(await attack.plunder()).toBe(PRICE);
  });

  test("an empty answer is kept as evidence, and the seller is put on hold", async () => {
    const attack = await world.attack(answering(() => new Response(null, { status: 200 })));
    await attack.buy().catch(() => undefined);
    const [receipt] = await attack.buyer.listReceipts();
    expect(newestAppraisal(receipt as NonNullable<typeof receipt>).verdict).not.toBe("verified");
    await expect(attack.buy()).rejects.toMatchObject({ money: "not-moved" });
    expect(await attack.plunder()).toBeLessThanOrEqual(PRICE);
  });

  test("a model that is not the one the policy names is refused before anything is paid", async () => {
    const attack = await world.attack(
      (_request, honest) => honest(),
      (config) => {
        for (const { reference } of config.sellers) reference.models = { "eth-risk": "ab".repeat(32) };
      },
    );
    await expect(attack.buy()).rejects.toMatchObject({ code: "attestation_failed", money: "not-moved" });
    expect(await attack.plunder()).toBe(0n);
  });
});

describe("T25: a payment taken and nothing served", () => {
  test("by a connection that broke once it was settled: the answer is asked for again, and paid once", async () => {
    let broken = false;
    const attack = await world.attack(async (request, honest) => {
      if (!isPayment(request) || broken) return honest();
      broken = true;
      await honest();
      return new Response("gone", { status: 502 });
    });
    const request = { idempotencyKey: crypto.randomUUID() };
    await expect(attack.buy(request)).rejects.toMatchObject({ code: "seller_error", money: "may-move" });
    await eventually(async () => {
      await attack.buyer.reconcile();
      expect((await attack.buyer.spending()).recent[0]).toMatchObject({ state: "settled", verdict: "failed" });
    });
    const { receipt } = await attack.buy(request);
    const settled = await attack.buyer.getReceipt(receipt.id, { waitSeconds: 120 });
    expect(newestAppraisal(settled)).toMatchObject({ verdict: "verified", assurance: "attested" });
    expect(attack.payments()).toHaveLength(1);
    const { assets } = await attack.buyer.spending();
    expect(assets[0]).toMatchObject({ spent: String(PRICE), reserved: "0" });
    expect(await attack.buyer.audit()).toMatchObject({ ok: true });
  });

  test("is shown as settled with a receipt of the failure, counts as spent, and is not paid again", async () => {
    const attack = await world.attack((request, honest) =>
      isPayment(request) ? new Response("thanks", { status: 503 }) : honest(),
    );
    const request = { idempotencyKey: crypto.randomUUID() };
    await expect(attack.buy(request)).rejects.toMatchObject({ code: "seller_error", money: "may-move" });
    expect(await attack.plunder()).toBe(PRICE);
    // It may have looked by itself before.
    await eventually(async () => {
      await attack.buyer.reconcile();
      expect((await attack.buyer.spending()).recent[0]).toMatchObject({ state: "settled" });
    });
    const { recent, assets } = await attack.buyer.spending();
    expect(recent[0]).toMatchObject({ state: "settled", verdict: "failed", amount: String(PRICE) });
    expect(assets[0]).toMatchObject({ spent: String(PRICE), reserved: "0" });
    await expect(attack.buy(request)).rejects.toMatchObject({ code: "paid_not_served", money: "moved" });
    expect(attack.payments()).toHaveLength(1);
    expect(await attack.plunder()).toBe(PRICE);
  });
});

describe("T29: a facilitator that lies", () => {
  test("about a settlement: the answer stays pending, and the money goes on counting", async () => {
    // It serves the answer, and the payment is never handed on.
    const attack = await world.attack(async (request, honest) => {
      if (!isPayment(request)) return honest();
      const { body } = request;
      const claim = { success: true, transaction: `0x${"cd".repeat(32)}`, network: "eip155:31337", payer: "0x0" };
      return new Response(JSON.stringify({ model_name: "eth-risk", id: JSON.parse(body).id, outputs: OUTPUTS }), {
        status: 200,
        headers: { "content-type": "application/json", "payment-response": responseHeader(claim) },
      });
    });
    const { receipt } = await attack.buy({ assurance: "none" });
    const seen = await attack.buyer.getReceipt(receipt.id);
    expect(newestAppraisal(seen).layers.settlement.status).toBe("pending");
    expect((await attack.buyer.spending()).assets[0]).toMatchObject({ spent: "0", reserved: String(PRICE) });
    // Once it is redeemed after all, the chain says so and the books follow.
    expect(await attack.plunder()).toBe(PRICE);
    await attack.buyer.reconcile();
    expect((await attack.buyer.spending()).assets[0]).toMatchObject({ spent: String(PRICE), reserved: "0" });
  });
});

const OUTPUTS = [{ name: "label", datatype: "INT64", shape: [1], data: [0] }];
