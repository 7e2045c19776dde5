import { join } from "node:path";
import type { PaymentPayload, PaymentRequirements } from "@x402/core/types";
import LibsqlDatabase from "libsql";
import type { Hex } from "viem";
import { generatePrivateKey } from "viem/accounts";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { identityOf } from "../../src/node/payment-key.ts";
import { newAccount } from "../devnet/authorizations.ts";
import { openMarket, type Market } from "../support/devnet.ts";
import {
  changed,
  facilitatorWith,
  isUsed,
  openSeller,
  postPaid,
  purseFor,
  requestOf,
  takenBy,
} from "../support/selling.ts";
import type { OwnSeller, Purse } from "../support/selling.ts";
import { openVoucherPayer } from "../support/voucher-payer.ts";

const PRICE = 10_000n;
const CHANNEL = `0x${"c4".repeat(32)}` as const;

let market: Market;
beforeAll(async () => {
  market = await openMarket();
});
afterAll(() => market.stop());

const open: { stop(): Promise<void> }[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((one) => one.stop()));
});
const opened = <T extends { stop(): Promise<void> }>(one: T): T => (open.push(one), one);

const voucherOver = (channelId: Hex, sum: bigint) => ({ channelId, maxClaimableAmount: String(sum), signature: "0x" });
const beside = (purse: Purse, fields: object): string =>
  changed(purse.header, ({ payload }) => void Object.assign(payload, fields));

describe("T94: a payment with the fields of another method beside its own", () => {
  test.each<[string, object]>([
    ["a voucher's", { type: "voucher", voucher: voucherOver(CHANNEL, 1n) }],
    ["a whole voucher's", { type: "voucher", channelConfig: {}, voucher: voucherOver(CHANNEL, 1n) }],
    ["a deposit's", { type: "deposit", channelConfig: {}, voucher: voucherOver(CHANNEL, 1n), deposit: {} }],
    ["a permit's", { permit2Authorization: null }],
    ["a type alone", { type: "voucher" }],
  ])("%s is worked for by no request of many, and without them by one", async (_which, fields) => {
    const database = join(market.directory, `${crypto.randomUUID()}.db`);
    const seller = opened(await openSeller(market, { records: { database } }));
    const purse = await purseFor(market, seller.origin);
    const bodies = Array.from({ length: 12 }, (_, n) => requestOf(n));
    const count = async (header: string): Promise<number> => {
      const answers = await Promise.all(bodies.map((body) => postPaid(seller.origin, header, body)));
      return answers.filter(({ status }) => status === 200).length;
    };
    expect(await count(beside(purse, fields))).toBe(0);
    const records = new LibsqlDatabase(database);
    expect(records.prepare("select key from calls").all()).toEqual([]);
    records.close();
    expect(await isUsed(market, purse)).toBe(false);
    expect(await count(purse.header)).toBe(1);
    expect(await takenBy(market, seller)).toBe(PRICE);
  });

  test("is not paid by an old voucher that it names", async () => {
    const shop = voucherShop();
    const first = await shop.start();
    const payer = await openVoucherPayer(market, shop);
    expect((await postPaid(first.origin, await payer.voucher(first.origin, PRICE))).status).toBe(200);
    await first.stop();
    // As a day later, when it is forgotten what was answered for it.
    const records = new LibsqlDatabase(shop.database);
    records.exec("delete from calls");
    records.close();
    const { origin } = opened(await shop.start());
    const purse = await purseFor(market, origin);
    const named = { type: "voucher", channelConfig: {}, voucher: voucherOver(payer.channelId, PRICE) };
    expect((await postPaid(origin, beside(purse, named), requestOf(2))).status).toBe(400);
    expect(await isUsed(market, purse)).toBe(false);
    expect(await postPaid(origin, purse.header, requestOf(2))).toMatchObject({ status: 200 });
    expect(await isUsed(market, purse)).toBe(true);
  });

  test("does not keep the channel busy that it names", async () => {
    const shop = voucherShop();
    const { origin } = opened(await shop.start());
    const victim = await openVoucherPayer(market, shop);
    const purse = await purseFor(market, origin);
    const named = { type: "voucher", channelConfig: {}, voucher: voucherOver(victim.channelId, PRICE) };
    expect((await postPaid(origin, beside(purse, named), requestOf(3))).status).toBe(400);
    // Nor does a voucher that has all but the payer's signature.
    const genuine = await victim.voucher(origin, PRICE);
    const forged = changed(genuine, ({ payload }) => {
      payload["voucher"] = { ...(payload["voucher"] as object), signature: `0x${"11".repeat(65)}` };
    });
    expect((await postPaid(origin, forged, requestOf(4))).status).toBe(402);
    // Nor one with an authorization beside.
    const both = changed(genuine, ({ payload }) => void Object.assign(payload, { authorization: {} }));
    expect((await postPaid(origin, both, requestOf(4))).status).toBe(400);
    expect((await postPaid(origin, genuine, requestOf(5))).status).toBe(200);
  });
});

/** A seller that takes transfers and vouchers, again and again on the same file. */
function voucherShop() {
  const authorizerKey = generatePrivateKey();
  const payTo = newAccount().address;
  const database = join(market.directory, `node-${payTo}.db`);
  const start = (): Promise<OwnSeller> =>
    openSeller(market, {
      records: { database },
      payment: { payTo, methods: ["eip3009", "voucher"], channels: { authorizerKey, claimSeconds: 300 } },
    });
  return { authorizerKey, payTo, database, start };
}

describe("T94: an answer that is kept for a payment", () => {
  test("is not given for the same nonce used for another payee, whichever terms are claimed", async () => {
    const elsewhere = newAccount().address;
    const purses: Purse[] = [];
    const facilitator = opened(
      await facilitatorWith(market, {
        "/settle": async (honest) => {
          if (!(await isUsed(market, purses[0] as Purse))) await purses[0]?.redeem(elsewhere);
          return honest();
        },
      }),
    );
    const payment = { facilitatorUrl: facilitator.origin, waitSeconds: 0 };
    const seller = opened(await openSeller(market, { payment }));
    const purse = await purseFor(market, seller.origin);
    purses.push(purse);
    expect((await purse.post()).status).not.toBe(200);
    expect(await market.devnet.balanceOf(elsewhere)).toBe(PRICE);
    const claimed = changed(purse.header, ({ accepted }) => void (accepted["payTo"] = elsewhere));
    expect((await postPaid(seller.origin, claimed)).status).not.toBe(200);
    expect(await takenBy(market, seller)).toBe(0n);
  });
});

describe("T94: what a payment is known by", () => {
  const asset = `0x${"a5".repeat(20)}`;
  const payer = `0x${"b0".repeat(20)}`;
  const termsOf = (scheme: string, extra: object): PaymentRequirements =>
    ({ scheme, extra, network: "eip155:31337", asset, payTo: payer, amount: "1", maxTimeoutSeconds: 60 }) as never;
  const known = (payload: object, terms: PaymentRequirements): string | null =>
    identityOf({ x402Version: 2, accepted: terms, payload } as unknown as PaymentPayload, terms)?.key ?? null;
  const exact = termsOf("exact", { name: "USD", version: "1" });
  const permit2 = termsOf("exact", { assetTransferMethod: "permit2" });
  const upto = termsOf("upto", { assetTransferMethod: "permit2" });
  const batch = termsOf("batch-settlement", {});

  const transfer = (nonce: string) => ({
    signature: "0x",
    authorization: { from: payer, value: "1", validAfter: "0", validBefore: "9", nonce },
  });
  const permit = (nonce: string) => ({
    signature: "0x",
    permit2Authorization: {
      from: payer,
      permitted: { token: asset, amount: "1" },
      nonce,
      deadline: "9",
      witness: { validAfter: "0" },
    },
  });
  const voucher = (channelId: string, maxClaimableAmount: string) => ({
    type: "voucher",
    channelConfig: {},
    voucher: { channelId, maxClaimableAmount, signature: "0x" },
  });
  const NONCE = `0x${"0a".repeat(32)}`;

  test.each(["asset", "payTo"])(
    "is an address for its %s: claimed terms with any other text are no payment's",
    (field) => {
      for (const [payload, terms] of [
        [transfer(NONCE), exact],
        [permit("10"), permit2],
        [permit("10"), upto],
      ] as const) {
        expect(known(payload, terms)).not.toBeNull();
        for (const text of [`zz${"a5".repeat(20)}`, `0x${"a5".repeat(19)}`, ""])
          expect(known(payload, { ...terms, [field]: text })).toBeNull();
      }
    },
  );
  const upper = (hex: string): string => `0x${hex.slice(2).toUpperCase()}`;

  test("is the same however its nonce, channel or sum is spelled", () => {
    expect(known(transfer(upper(NONCE)), exact)).toBe(known(transfer(NONCE), exact));
    expect(known(permit("0010"), permit2)).toBe(known(permit("10"), permit2));
    expect(known(voucher(upper(NONCE), "007"), batch)).toBe(known(voucher(NONCE, "7"), batch));
    for (const key of [known(transfer(NONCE), exact), known(permit("10"), permit2), known(voucher(NONCE, "7"), batch)])
      expect(key).not.toBeNull();
  });

  test("is the same for a permit under exact and under upto, which share its nonces", () => {
    expect(known(permit("10"), upto)).toBe(known(permit("10"), permit2));
  });

  test.each<[string, object]>([
    ["decimal for hex", transfer("10")],
    ["short hex", transfer("0x0a")],
    ["with a space", transfer(`${NONCE} `)],
    ["hex for decimal", permit("0x0a")],
    ["negative", permit("-10")],
    ["a fraction", permit("10.0")],
    ["an exponent", permit("1e1")],
    ["longer than any", permit("1".repeat(79))],
    ["an empty sum", voucher(NONCE, "")],
    ["a hex sum", voucher(NONCE, "0x7")],
  ])("is nothing where a number is spelled otherwise: %s", (_how, payload) => {
    for (const terms of [exact, permit2, upto, batch]) expect(known(payload, terms)).toBeNull();
  });

  test("is by the method of the terms alone, and nothing for any two methods at once", () => {
    const forms = [
      [exact, transfer(NONCE)],
      [permit2, permit("10")],
      [batch, voucher(NONCE, "7")],
    ] as const;
    for (const [terms, own] of forms) {
      expect(known(own, terms)).not.toBeNull();
      for (const [, other] of forms.filter(([, form]) => form !== own)) {
        expect(known(other, terms)).toBeNull();
        expect(known({ ...own, ...other }, terms)).toBeNull();
        for (const [name, value] of Object.entries(other).filter(([field]) => !(field in own)))
          expect(known({ ...own, [name]: value }, terms)).toBeNull();
      }
    }
    expect(known(transfer(NONCE), termsOf("other", {}))).toBeNull();
    expect(known(transfer(NONCE), { ...exact, extra: undefined } as never)).toBe(known(transfer(NONCE), exact));
  });
});
