import { describe, expect, it } from "vitest";
import type { ChainClient } from "../../src/chain/client.ts";
import { lowered, type Address } from "../../src/evidence/bytes.ts";
import { PAYMENT_METHODS } from "../../src/evidence/methods/methods.ts";
import { planVoucher } from "../../src/payment/channels.ts";
import { readPurchase } from "../../src/payment/journal.ts";
import { toRow } from "../../src/payment/journal-rows.ts";
import { PAYERS, payerOf } from "../../src/payment/methods/methods.ts";
import { chooseOffer, readOffers } from "../../src/payment/offers.ts";
import { reserve } from "../../src/payment/reserve.ts";
import type { Payment } from "../../src/receipts/schema.ts";
import { openDatabase } from "../../src/storage/database.ts";
import type { ChannelsTable } from "../../src/storage/tables.ts";
import { PAYEE, PAYER, policyWith, requirement, reservation, usdc } from "./fixtures.ts";

const FACILITATOR: Address = `0x${"fa".repeat(20)}`;
const { offer, payment } = reservation();
const { authorizationHash, ...terms } = payment;
const channel = {
  payerAuthorizer: PAYER,
  receiverAuthorizer: FACILITATOR,
  withdrawDelay: 900,
  salt: `0x${"05".repeat(32)}`,
};
const voucher = planVoucher({ charged: "700", payer: PAYER, terms: JSON.stringify(channel) } as ChannelsTable, offer);
const { previous: _previous, ...old } = voucher;

it.each([
  ["EIP-3009", payment],
  ["Permit2", { ...terms, scheme: "exact", method: "permit2", authorizationHash }],
  ["an upto permit", { ...terms, scheme: "upto", method: "permit2", facilitator: FACILITATOR, authorizationHash }],
  ["a voucher", voucher],
  ["a voucher from before its base was noted", old],
] as [string, Payment][])(
  "a payment by %s is read from the journal as it was written there",
  async (_name, written) => {
    const db = await openDatabase(":memory:");
    const result = await reserve(db, reservation());
    if (result.kind !== "reserved") throw new Error(result.kind);
    const { id } = result.purchase;
    await db
      .updateTable("purchases")
      .set(toRow({ ...result.purchase, payment: written }))
      .where("id", "=", id)
      .execute();
    expect((await readPurchase(db, id))?.payment).toStrictEqual(written);
    await db.destroy();
  },
);

it("permits alone need an allowance, and are signed in Permit2's domain; the others in the token's", () => {
  expect(PAYMENT_METHODS.map((name) => [name, PAYERS[name].needsAllowance, PAYERS[name].needsDomain])).toEqual([
    ["eip3009", false, true],
    ["permit2", true, false],
    ["upto", true, false],
    ["voucher", false, true],
  ]);
});

it("knows no method that it has no table for", () => {
  for (const names of [
    { scheme: "upto", method: "eip3009" },
    { scheme: "escrow", method: "permit2" },
  ])
    expect(() => payerOf(names as Payment)).toThrow(TypeError);
});

it("uses up no voucher on chain: it has no nonce there", async () => {
  expect(await PAYERS.voucher.isSpent({} as ChainClient, voucher, 1n)).toBe(false);
});

describe("an offer by a permit", () => {
  const policy = policyWith([{ ...usdc, methods: ["permit2", "upto"] }]);
  const refusalOf = (changes: Record<string, unknown>, facilitators: Address[] = [FACILITATOR]) => {
    const read = readOffers({ x402Version: 2, accepts: [requirement(changes)] });
    if (!read.ok) throw new Error("it is an offer");
    const payTo = [lowered(PAYEE)];
    const chosen = chooseOffer({ policy, payTo, facilitators, required: read.required });
    return chosen.ok ? null : chosen.refusals[0]?.code;
  };
  const permit = (extra: object) => ({ extra: { assetTransferMethod: "permit2", ...extra } });
  const upto = (extra: object) => ({ scheme: "upto", ...permit({ facilitatorAddress: FACILITATOR, ...extra }) });

  it("is refused where it names a spender of its own, beside whatever else it names", () => {
    expect(refusalOf(permit({}))).toBeNull();
    expect(refusalOf(permit({ name: "USD Coin" }))).toBeNull();
    for (const name of ["spender", "proxyAddress", "permit2Address", "x402ExactPermit2Proxy"])
      for (const offered of [permit, upto])
        expect(refusalOf(offered({ [name]: FACILITATOR }))).toBe("spender_not_allowed");
  });

  it("of an amount named afterwards is refused unless its facilitator is the seller's own", () => {
    expect(refusalOf(upto({}))).toBeNull();
    expect(refusalOf(upto({ facilitatorAddress: PAYER }))).toBe("facilitator_not_allowed");
    expect(refusalOf(upto({ facilitatorAddress: undefined }))).toBe("facilitator_not_allowed");
    expect(refusalOf(upto({}), [])).toBe("facilitator_not_allowed");
  });
});
