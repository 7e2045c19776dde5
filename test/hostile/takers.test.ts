import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Config } from "../../src/config/schema.ts";
import { TEE_HEADERS } from "../../src/evidence/tee-signature.ts";
import { failure } from "../http/servers.ts";
import {
  isCatalog,
  isPayment,
  isPurchase,
  listAt,
  openWorld,
  PRICE,
  quoteWith,
  refusal,
  unpaid,
  untouched,
  type Attack,
  type Seen,
  type Trick,
  type World,
} from "./world.ts";
import { eventually } from "../support/eventually.ts";
import { buyWith } from "../support/buy.ts";

let world: World;
beforeAll(async () => {
  world = await openWorld();
});
afterAll(() => world.stop());

/** The honest seller beside the hostile one, which keeps the first name. */
function withHonest(config: Config): void {
  const [hostile] = config.sellers;
  if (hostile === undefined) throw new Error("there is a hostile seller");
  config.sellers.push({
    ...structuredClone(hostile),
    id: "beside",
    origin: world.market.devnet.sellers.honest.origin,
  });
}
const sellerOf = async (attack: Attack): Promise<string> => (await attack.buy()).receipt.core.seller.id;
const holdOf = async (attack: Attack): Promise<string | null> =>
  (await attack.buyer.sellers()).find(({ id }) => id === "honest")?.hold?.reason ?? null;

/** Lists one price and asks another. `listed` may change with what was seen. */
const baiting =
  (listed: (catalogs: number) => string, asked: Record<string, unknown>): Trick =>
  async (request, honest) => {
    if (isCatalog(request)) return listAt(honest, listed(catalogs++));
    return isPurchase(request) ? quoteWith(unpaid(world, request), change(asked)) : honest();
  };
let catalogs = 0;
const change =
  (asked: Record<string, unknown>) =>
  ({ accepts }: { accepts: Record<string, unknown>[] }): void =>
    void Object.assign(accepts[0] ?? {}, asked);

describe("T35: a listed price that is not what is asked", () => {
  test.each(["0", "1", "9999"])(
    "%s base units: nothing is signed for it, and the call goes on to an honest seller",
    async (listed) => {
      const attack = await world.attack(
        baiting(() => listed, { amount: "100000" }),
        withHonest,
      );
      expect(await sellerOf(attack)).toBe("beside");
      expect(attack.payments()).toEqual([]);
    },
  );

  test("ends a call that named the seller, and leaves no trace", async () => {
    const attack = await world.attack(
      baiting(() => "9999", {}),
      withHonest,
    );
    expect(await refusal(attack, { seller: "honest" })).toEqual(untouched("over_listed_price"));
  });

  test("binds the most that an upto offer may take: one above it goes back to the choice, or is refused", async () => {
    const extra = {
      assetTransferMethod: "permit2",
      facilitatorAddress: world.market.config().sellers[0]?.facilitators[0],
    };
    const asking = (amount: bigint): Trick =>
      baiting(() => String(PRICE), { scheme: "upto", amount: String(amount), extra });
    const payUpto = (config: Config): void => config.payment.assets.forEach((asset) => asset.methods.push("upto"));
    const chosen = await world.attack(asking(PRICE + 1n), (config) => {
      payUpto(config);
      withHonest(config);
    });
    expect(await sellerOf(chosen)).toBe("beside");
    expect(chosen.payments()).toEqual([]);
    expect(await refusal(await world.attack(asking(PRICE + 1n), payUpto))).toEqual(untouched("over_listed_price"));
    // As much as is listed is let through, to what comes next.
    expect(await refusal(await world.attack(asking(PRICE), payUpto))).toEqual(untouched("allowance_too_low"));
  });

  test("binds in its asset: cheap in one is not cheap in another", async () => {
    const { chainId } = world.market.devnet;
    const attack = await world.attack(async (request, honest) => {
      if (!isCatalog(request)) return honest();
      const catalog = (await (await honest()).json()) as { models: { price: Record<string, string> }[] };
      // 10^16 of 10^18 are a cent; 10^15 are a tenth of one.
      const dai = { network: `eip155:${chainId}`, asset: world.market.devnet.bank.dai.address.toLowerCase() };
      for (const model of catalog.models) model.price = { ...dai, amount: "1000000000000000" };
      return Response.json(catalog);
    });
    expect(await refusal(attack)).toEqual(untouched("over_listed_price"));
  });

  test("cannot be compared with an asset that is worth something else: it is refused", async () => {
    const attack = await world.attack(
      async (request, honest) => {
        if (!isCatalog(request)) return honest();
        const catalog = (await (await honest()).json()) as { models: { price: Record<string, string> }[] };
        const { dai } = world.market.devnet.bank;
        for (const { price } of catalog.models) Object.assign(price, { asset: dai.address.toLowerCase() });
        return Response.json(catalog);
      },
      ({ payment }) => payment.assets.forEach((asset) => (asset.usdStable = asset.symbol === "USDC")),
    );
    expect(await refusal(attack)).toEqual(untouched("over_listed_price"));
  });

  test("that was raised since it was listed is asked for once more, and binds as it is now", async () => {
    catalogs = 0;
    let rising = 0;
    const attack = await world.attack(async (request, honest) => {
      if (isCatalog(request)) return listAt(honest, rising++ === 0 ? "5000" : String(PRICE));
      return honest();
    });
    expect(await attack.buy()).toMatchObject({
      paidNow: true,
      receipt: { core: { offer: { amount: String(PRICE) } } },
    });
    expect(await attack.plunder()).toBe(PRICE);
  });

  test("that was lowered below a known quote is not paid by that quote", async () => {
    let listed = String(PRICE);
    const attack = await world.attack((request, honest) => (isCatalog(request) ? listAt(honest, listed) : honest()));
    await attack.buy();
    listed = "9999";
    await attack.buyer.listModels({ refresh: true });
    await eventually(async () => expect((await attack.buyer.listModels()).models[0]?.price?.amount).toBe("9999"));
    expect(await failure(attack.buy())).toMatchObject({ code: "over_listed_price", money: "not-moved" });
    expect(attack.payments()).toHaveLength(1);
    expect(await attack.plunder()).toBe(PRICE);
  });
});

/** Lists itself cheapest, so that it is chosen, and asks what it lists; what it does with a payment is the trick's. */
const thief =
  (answer: (request: Seen, honest: () => Promise<Response>) => Response | Promise<Response>): Trick =>
  async (request, honest) => {
    if (isCatalog(request)) return listAt(honest, "9999");
    if (isPayment(request)) return answer(request, honest);
    return isPurchase(request) ? quoteWith(honest, change({ amount: "9999" })) : honest();
  };
const redirect = (): Response => new Response(null, { status: 302, headers: { location: "/later" } });
/** A connection that ends before a byte of the body came. */
const nothing = (): Response =>
  new Response(new ReadableStream({ start: (stream) => stream.error(new Error("gone")) }));
/** Buys until another seller serves. Returns what the calls before came to. */
async function untilServed(attack: Attack): Promise<string[]> {
  const codes: string[] = [];
  for (let call = 0; call < 8; call += 1) {
    const served = await attack.buy().then(
      ({ receipt }) => receipt.core.seller.id,
      (error: unknown) => (error as { code: string }).code,
    );
    if (served === "beside") return codes;
    codes.push(served);
    await attack.plunder();
    await attack.buyer.reconcile();
  }
  throw new Error(`no honest seller was asked: ${codes.join(", ")}`);
}

describe("T36: a seller that takes money and serves nothing", () => {
  test.each<[string, (request: Seen, honest: () => Promise<Response>) => Response | Promise<Response>, RegExp]>([
    ["answers 402 again", () => new Response("{}", { status: 402 }), /^paid_not_served/],
    [
      "answers 402 with the same offer",
      (request) => quoteWith(unpaid(world, request), change({ amount: "9999" })),
      /^paid_not_served/,
    ],
    ["answers 500", () => new Response("x", { status: 500 }), /^paid_and_refused: it was paid and answered 500/],
    ["answers 200 and nothing", () => new Response(null, { status: 200 }), /malformed|withheld|mismatch/],
    ["redirects", () => redirect(), /^paid_and_refused: it was paid and answered 302/],
    ["closes the connection", () => nothing(), /^paid_not_served/],
    [
      "leaves the signature out",
      (request) => {
        const { id } = JSON.parse(request.body) as { id: string };
        return Response.json({
          model_name: "eth-risk",
          id,
          outputs: [{ name: "class", datatype: "INT64", shape: [1], data: [2] }],
        });
      },
      /^evidence_withheld/,
    ],
  ])("and %s is paid once: it is on hold, and the next call goes to another", async (_name, answer, reason) => {
    const attack = await world.attack(thief(answer), withHonest);
    const codes = await untilServed(attack);
    expect(codes).toHaveLength(1);
    expect(await holdOf(attack)).toMatch(reason);
    expect(attack.payments()).toHaveLength(1);
    expect(attack.payments().map(({ payload }) => payload.authorization.value)).toEqual(["9999"]);
  });

  test.each<[string, () => Response]>([
    ["nothing", () => nothing()],
    ["a redirect", () => redirect()],
    ["errors", () => new Response("busy", { status: 503 })],
  ])(
    "and redeems nothing yet is on hold after three payments that brought %s, until they ended unused",
    async (_name, answer) => {
      const attack = await world.attack(thief(answer), withHonest);
      for (const _call of [1, 2, 3]) expect(await failure(attack.buy())).toMatchObject({ money: "may-move" });
      expect(await holdOf(attack)).toMatch(/^payments_in_doubt: 3 or more/);
      expect(await sellerOf(attack)).toBe("beside");
      expect(attack.payments()).toHaveLength(3);
      await attack.using((db) =>
        db.updateTable("purchases").set({ state: "released" }).where("seller_id", "=", "honest").execute(),
      );
      await attack.buyer.reconcile();
      expect(await holdOf(attack)).toBeNull();
    },
  );

  test("and redeems one when the others ended unused is on hold all the same", async () => {
    const attack = await world.attack(
      thief(() => nothing()),
      withHonest,
    );
    for (const _call of [1, 2, 3]) await failure(attack.buy());
    const ended = (await attack.buyer.spending()).recent.slice(0, 2).map(({ idempotencyKey }) => idempotencyKey);
    await attack.using((db) =>
      db.updateTable("purchases").set({ state: "released" }).where("idempotency_key", "in", ended).execute(),
    );
    await attack.plunder();
    await attack.buyer.reconcile();
    expect(await holdOf(attack)).not.toBeNull();
    expect(await sellerOf(attack)).toBe("beside");
  });

  test("is bought from again once it serves what it owes, without anybody's word", async () => {
    let serving = false;
    const attack = await world.attack((request, honest) => (isPayment(request) && !serving ? nothing() : honest()));
    const request = { idempotencyKey: crypto.randomUUID() };
    await failure(attack.buy(request));
    await attack.plunder();
    await attack.buyer.reconcile();
    expect(await holdOf(attack)).toMatch(/^paid_not_served/);
    const { idempotencyKey } = request;
    const [held] = await attack.buyer.sellers();
    expect(held?.hold).toMatchObject({ receiptId: null, callKey: idempotencyKey });
    const refused = await failure(attack.buy());
    expect(refused).toMatchObject({ code: "seller_on_hold", money: "not-moved", details: { calls: [idempotencyKey] } });
    expect(refused.message).toContain(`; call ${idempotencyKey})`);
    expect(refused.next).toContain("Calling again with that key");
    serving = true;
    // The call that is owed is not held up by the hold that it caused.
    expect(await attack.buy(request)).toMatchObject({ paidNow: false });
    expect(await holdOf(attack)).toBeNull();
    expect(await attack.buy()).toMatchObject({ paidNow: true });
  });

  test.each<[string, (times: number) => Response, RegExp]>([
    ["an error, and then another", () => new Response("busy", { status: 503 }), /^paid_and_refused/],
    ["nothing, and then an error", (times) => (times === 1 ? nothing() : new Response("", { status: 500 })), /^paid/],
    ["nothing, and then a refusal", (times) => (times === 1 ? nothing() : new Response("", { status: 400 })), /^paid/],
    ["an empty answer, and then another", () => new Response(""), /^(?:answer_empty|model: )/],
  ])("and answers with %s when the same payment asks again stays on hold", async (_what, answer, reason) => {
    let times = 0;
    const attack = await world.attack((request, honest) => (isPayment(request) ? answer(++times) : honest()));
    const request = { idempotencyKey: crypto.randomUUID() };
    await failure(attack.buy(request));
    await attack.plunder();
    await attack.buyer.reconcile();
    await eventually(async () => expect(await holdOf(attack)).toMatch(reason));
    for (const _again of [1, 2]) {
      expect(await failure(attack.buy(request))).toMatchObject({ money: "moved" });
      expect(await holdOf(attack)).toMatch(reason);
    }
    expect(await failure(attack.buy())).toMatchObject({ code: "seller_on_hold", money: "not-moved" });
    expect(attack.payments()).toHaveLength(1);
  });

  test("and that the owner released stays released, until it takes another payment", async () => {
    const attack = await world.attack((request, honest) => (isPayment(request) ? nothing() : honest()));
    await failure(attack.buy());
    await attack.plunder();
    await attack.buyer.reconcile();
    expect(await holdOf(attack)).toMatch(/^paid_not_served/);
    await attack.buyer.releaseSeller("honest");
    await attack.buyer.reconcile();
    expect(await holdOf(attack)).toBeNull();
    await failure(attack.buy());
    await attack.plunder();
    await attack.buyer.reconcile();
    expect(await holdOf(attack)).toMatch(/^paid_not_served/);
  });

  test("in one process is left alone by the next", async () => {
    const attack = await world.attack(
      thief(() => new Response("{}", { status: 402 })),
      withHonest,
    );
    await failure(attack.buy());
    await attack.plunder();
    await attack.buyer.reconcile();
    await attack.buyer.close();
    const later = await attack.reopen();
    const result = await buyWith(later, { model: "eth-risk", input: { features: [0, 0, 0, 0, 0, 0, 0, 0] } });
    expect(result).toMatchObject({ receipt: { core: { seller: { id: "beside" } } } });
  });

  test("answers with a signature of nothing fails its receipt and is on hold for that", async () => {
    const attack = await world.attack(async (request, honest) => {
      const answer = await honest();
      if (!isPayment(request)) return answer;
      const headers = new Headers(answer.headers);
      headers.set(TEE_HEADERS.signature, "AAAA");
      return new Response(answer.body, { headers });
    }, withHonest);
    await attack.buy({ seller: "honest" });
    expect(await holdOf(attack)).toMatch(/^(?!paid|payments|evidence)/);
    expect(await sellerOf(attack)).toBe("beside");
  });

  test.each(["perHour", "perDay", "total"] as const)(
    "gets no more than the owner's cap %s for it, while others are paid",
    async (name) => {
      const attack = await world.attack(
        (_request, honest) => honest(),
        (config) => {
          withHonest(config);
          const [asset] = config.payment.assets;
          const [first] = config.sellers;
          if (asset === undefined || first === undefined) throw new Error("there is an asset and a seller");
          config.payment.assets = [asset];
          first.limits = [{ network: asset.network, asset: asset.asset, [name]: String(2n * PRICE) }];
        },
      );
      for (const _call of [1, 2]) await attack.buy({ seller: "honest" });
      expect(await failure(attack.buy({ seller: "honest" }))).toMatchObject({
        code: "over_seller_cap",
        money: "not-moved",
        details: { limit: String(2n * PRICE), remaining: "0" },
      });
      expect(await attack.buy({ seller: "beside" })).toMatchObject({ paidNow: true });
      expect(attack.payments()).toHaveLength(2);
    },
  );
});

describe("T36: an honest seller", () => {
  test.each([90_000, -90_000])(
    "is not blamed for a buyer's clock that is off by %i ms: the call ends before payment",
    async (ms) => {
      const attack = await world.attack((_request, honest) => honest());
      const buyer = await attack.reopen(undefined, { clock: () => new Date(Date.now() + ms) });
      const call = { model: "eth-risk", input: { features: [0, 0, 0, 0, 0, 0, 0, 0] } };
      const error = await failure(buyWith(buyer, call));
      expect(error).toMatchObject({ code: "clocks_differ", money: "not-moved" });
      expect(error.next).toMatch(/Your clock or the seller's/);
      expect(await holdOf(attack)).toBeNull();
      expect(attack.seen.filter(isPurchase)).toEqual([]);
    },
  );

  test.each([90_000, -90_000])(
    "is not blamed for a clock that is set by %i ms after it attested, by the same process or a later one",
    async (ms) => {
      const attack = await world.attack((_request, honest) => honest());
      let off = 0;
      const clock = (): Date => new Date(Date.now() + off);
      const buyer = await attack.reopen(undefined, { clock });
      const call = { model: "eth-risk", input: { features: [0, 0, 0, 0, 0, 0, 0, 0] } };
      await buyWith(buyer, call);
      off = ms;
      const later = await attack.reopen(undefined, { clock });
      for (const one of [buyer, later])
        expect(await failure(buyWith(one, call))).toMatchObject({ code: "clocks_differ", money: "not-moved" });
      expect(await holdOf(attack)).toBeNull();
      expect(attack.payments()).toHaveLength(1);
    },
  );
});
