import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Config } from "../../src/config/schema.ts";
import { devUsd } from "../../src/devnet/contracts/dev-usd.artifact.ts";
import { USDC_SPEC } from "../../src/devnet/bank.ts";
import {
  isCatalog,
  isPayment,
  isPurchase,
  listAt,
  offering,
  openWorld,
  PRICE,
  quoteWith,
  refusal,
  unpaid,
  untouched,
  type Attack,
  type Trick,
  type World,
} from "./world.ts";

let world: World;
beforeAll(async () => {
  world = await openWorld();
});
afterAll(() => world.stop());

const STRANGER = `0x${"5e".repeat(20)}`;
const PERMIT2 = "0x000000000022D473030F116dDEE9F6B43aC78BA3";

const allowanceOf = (owner: string, spender: string): Promise<bigint> =>
  world.market.devnet.bank.client.readContract({
    address: world.market.devnet.token,
    abi: devUsd.abi,
    functionName: "allowance",
    args: [owner as `0x${string}`, spender as `0x${string}`],
  });

describe("T3: an offer that changes between what was shown and what is paid", () => {
  /** Shows the honest offer once, and another one to whoever pays it. */
  const switching =
    (change: Record<string, unknown>): Trick =>
    (request, honest) =>
      isPayment(request)
        ? quoteWith(unpaid(world, request), ({ accepts }) => void Object.assign(accepts[0] ?? {}, change))
        : honest();

  test("to another payee: the payment that went out was for the one that was judged, and no other is made", async () => {
    const attack = await world.attack(switching({ payTo: STRANGER }));
    await expect(attack.buy()).rejects.toMatchObject({ code: "payment_rejected", money: "may-move" });
    expect(attack.payments().map(({ payload }) => payload.authorization.to)).toEqual([
      world.market.devnet.sellers.honest.payTo,
    ]);
    expect(await attack.plunder()).toBe(PRICE);
    expect(await world.market.devnet.balanceOf(STRANGER)).toBe(0n);
  });

  test("to another price: what a person approved is what is signed, and the new price asks again", async () => {
    let dear = false;
    const attack = await world.attack(
      async (request, honest) => {
        if (dear && isCatalog(request)) return listAt(honest, "90000");
        if (!isPurchase(request)) return honest();
        if (dear) {
          return quoteWith(
            unpaid(world, request),
            ({ accepts }) => void Object.assign(accepts[0] ?? {}, { amount: "90000" }),
          );
        }
        return honest();
      },
      (config) => config.payment.assets.forEach((asset) => (asset.approveAbove = "5000")),
    );
    const asked: string[] = [];
    const approve = ({ amount }: { amount: string }) => {
      asked.push(amount);
      return Promise.resolve(BigInt(amount) <= PRICE ? ("approved" as const) : ("declined" as const));
    };
    await attack.buy({}, { approve });
    dear = true;
    // The quote is cached, so the same price is approved again; only the seller's answer shows the new one.
    await expect(attack.buy({}, { approve })).rejects.toMatchObject({ code: "approval_declined" });
    // The first payment may still be taken, so the person is asked about both.
    expect(asked).toEqual(["10000", "10000", "100000"]);
    expect(await attack.plunder()).toBe(2n * PRICE);
  });
});

describe("T7: a price that rises", () => {
  test("over what the caller allowed is refused", async () => {
    expect(await refusal(await world.attack(offering({ amount: "10001" })), { maxUsd: 0.01 })).toEqual(
      untouched("over_call_limit"),
    );
  });

  /** Serves one call honestly, then asks 0.01 more each time it is paid, and never serves again. */
  const greedy = async (): Promise<Attack> => {
    let price = Number(PRICE);
    let served = false;
    const attack = await world.attack(async (request, honest) => {
      if (isCatalog(request)) return listAt(honest, served ? "100000" : String(PRICE));
      if (!isPurchase(request)) return honest();
      if (!served) return honest();
      price += Number(PRICE);
      return quoteWith(
        unpaid(world, request),
        ({ accepts }) => void Object.assign(accepts[0] ?? {}, { amount: String(price) }),
      );
    });
    await attack.buy();
    served = true;
    return attack;
  };

  test("with every payment: one fresh offer is paid, both together within the call's bound, and there it ends", async () => {
    const attack = await greedy();
    await expect(attack.buy({ maxUsd: 0.035, seller: "honest" })).rejects.toMatchObject({
      code: "payment_rejected",
      money: "may-move",
    });
    expect(attack.payments().map(({ payload }) => payload.authorization.value)).toEqual(["10000", "10000", "20000"]);
    expect(await attack.plunder()).toBe(PRICE + 30_000n);
  });

  test("goes back to the choice where the caller named no seller: it was chosen at the old price", async () => {
    const attack = await greedy();
    const refused = await attack.buy({ maxUsd: 0.035 }).catch((error: unknown) => error);
    expect(refused).toMatchObject({ code: "payment_rejected", money: "may-move" });
    expect(`${(refused as Error).message} ${(refused as { next: string }).next}`).not.toMatch(/policy|owner/);
    expect(attack.payments().map(({ payload }) => payload.authorization.value)).toEqual(["10000", "10000"]);
    expect(await attack.plunder()).toBe(2n * PRICE);
  });

  test("so that it would not fit beside what was signed already is refused, and the refusal says what may still move", async () => {
    const attack = await greedy();
    await expect(attack.buy({ maxUsd: 0.025, seller: "honest" })).rejects.toMatchObject({
      code: "payment_rejected",
      money: "may-move",
      details: { reason: "over_call_limit" },
    });
    expect(attack.payments().map(({ payload }) => payload.authorization.value)).toEqual(["10000", "10000"]);
    expect(await attack.plunder()).toBe(2n * PRICE);
  });
});

describe("T3: a fresh offer after a payment at the known price", () => {
  test.each([
    ["another asset", { asset: STRANGER }],
    ["another payee", { payTo: STRANGER }],
    ["a price over the cap", { amount: "100001" }],
    ["a price over the listed one", { amount: "10001" }],
    ["a malformed amount", { amount: "1e3" }],
    ["nothing new in it", {}],
  ])(
    "with %s is a payment turned down, which says that it may still move and nothing of the owner's policy",
    async (_name, change) => {
      let served = false;
      const attack = await world.attack((request, honest) =>
        served && isPurchase(request)
          ? quoteWith(unpaid(world, request), ({ accepts }) => void Object.assign(accepts[0] ?? {}, change))
          : honest(),
      );
      await attack.buy();
      served = true;
      const refused = await attack.buy().catch((error: unknown) => error);
      expect(refused).toMatchObject({ code: "payment_rejected", money: "may-move" });
      expect(`${(refused as Error).message} ${(refused as { next: string }).next}`).not.toMatch(/policy|owner/);
      expect(await attack.plunder()).toBe(2n * PRICE);
      expect((await attack.buyer.spending()).assets[0]?.windows[0]?.used).toBe(String(2n * PRICE));
    },
  );
});

describe("T9: an authorization that would live long", () => {
  test("is cut to the policy's lifetime", async () => {
    const attack = await world.attack((request, honest) =>
      isPurchase(request) && !isPayment(request)
        ? quoteWith(honest, ({ accepts }) => void Object.assign(accepts[0] ?? {}, { maxTimeoutSeconds: 315_360_000 }))
        : honest(),
    );
    await expect(attack.buy()).rejects.toMatchObject({ code: "payment_rejected" });
    const [payment] = attack.payments();
    const left = Number(payment?.payload.authorization.validBefore) - Date.now() / 1000;
    expect(left).toBeLessThanOrEqual(300);
    expect(left).toBeGreaterThan(200);
  });
});

describe("T11: a wish for a wide approval", () => {
  test.each([
    ["Permit2", { extra: { ...USDC_SPEC, assetTransferMethod: "permit2" } }, "method_not_allowed"],
    ["a delegation", { extra: { ...USDC_SPEC, assetTransferMethod: "erc7710" } }, "scheme_not_supported"],
  ])("by %s is refused", async (_name, change, code) => {
    expect(await refusal(await world.attack(offering(change)))).toEqual(untouched(code));
  });

  test("by an extension that sponsors the gas of an approval is not answered: no allowance is left behind", async () => {
    const attack = await world.attack((request, honest) =>
      isPurchase(request) && !isPayment(request)
        ? quoteWith(honest, (required) => {
            const sponsoring = { info: { description: "free gas", version: "1" }, schema: {} };
            required["extensions"] = { erc20ApprovalGasSponsoring: sponsoring, eip2612GasSponsoring: sponsoring };
          })
        : honest(),
    );
    await attack.buy();
    expect(Object.keys(attack.payments()[0] ?? {}).toSorted()).toEqual(["accepted", "payload", "x402Version"]);
    for (const spender of [PERMIT2, attack.payments()[0]?.payload.authorization.to ?? STRANGER]) {
      expect(await allowanceOf(attack.payer, spender)).toBe(0n);
    }
  });

  const viaPermit2 = (config: Config): void => config.payment.assets.forEach((asset) => (asset.methods = ["permit2"]));

  test("by a seller paid through Permit2 that offers to sponsor it is not answered: the owner is told what to allow", async () => {
    const sponsoring = { info: { description: "free gas", version: "1" }, schema: {} };
    const attack = await world.attack(
      (request, honest) =>
        isPurchase(request)
          ? quoteWith(honest, (required) => {
              Object.assign(required.accepts[0] ?? {}, { extra: { ...USDC_SPEC, assetTransferMethod: "permit2" } });
              required["extensions"] = { erc20ApprovalGasSponsoring: sponsoring, eip2612GasSponsoring: sponsoring };
            })
          : honest(),
      viaPermit2,
    );
    expect(await refusal(attack)).toEqual(untouched("allowance_too_low"));
    expect(await allowanceOf(attack.payer, PERMIT2)).toBe(0n);
  });

  test.each(["spender", "permit2Address", "settlementProxy"])(
    "by naming a spender (%s) of its own is refused",
    async (name) => {
      const extra = { ...USDC_SPEC, assetTransferMethod: "permit2", [name]: STRANGER };
      expect(await refusal(await world.attack(offering({ extra }), viaPermit2))).toEqual(
        untouched("spender_not_allowed"),
      );
    },
  );
});

describe("T23: a scheme whose price is known only afterwards", () => {
  test.each([
    ["upto", "method_not_allowed"],
    ["auth-capture", "scheme_not_supported"],
    ["escrow", "scheme_not_supported"],
  ])("%s is refused where the policy does not allow it", async (scheme, code) => {
    expect(await refusal(await world.attack(offering({ scheme, extra: USDC_SPEC })))).toEqual(untouched(code));
  });

  test("by a facilitator that is not the seller's pinned one is refused, although the policy allows upto", async () => {
    const extra = { assetTransferMethod: "permit2", facilitatorAddress: STRANGER };
    const attack = await world.attack(offering({ scheme: "upto", extra }), (config) =>
      config.payment.assets.forEach((asset) => (asset.methods = ["eip3009", "upto"])),
    );
    expect(await refusal(attack)).toEqual(untouched("facilitator_not_allowed"));
  });

  test("is refused as settled before delivery, too", async () => {
    expect(await refusal(await world.attack(offering({ extra: { ...USDC_SPEC, paymentFlow: "upfront" } })))).toEqual(
      untouched("scheme_not_supported"),
    );
  });
});

describe("T24: a channel with a deposit", () => {
  test("is refused where the policy does not allow it, whatever it asks to lock", async () => {
    const extra = { ...USDC_SPEC, minDeposit: "1000000", withdrawDelay: 2_592_000, receiverAuthorizer: STRANGER };
    expect(await refusal(await world.attack(offering({ scheme: "batch-settlement", extra })))).toEqual(
      untouched("method_not_allowed"),
    );
  });
});
