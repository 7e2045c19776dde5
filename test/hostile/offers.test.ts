import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { configSchema } from "../../src/config/schema.ts";
import { devUsd } from "../../src/devnet/contracts/dev-usd.artifact.ts";
import { USDC_SPEC } from "../../src/devnet/bank.ts";
import { ETH_FEATURES } from "../support/devnet.ts";
import { rpcInFront } from "../support/rpc.ts";
import {
  FUNDS,
  isPayment,
  isPurchase,
  offering,
  openWorld,
  PRICE,
  quoteWith,
  refusal,
  untouched,
  type World,
} from "./world.ts";

let world: World;
beforeAll(async () => {
  world = await openWorld();
});
afterAll(() => world.stop());

const STRANGER = `0x${"5e".repeat(20)}`;

describe("T1: an offer in another asset", () => {
  test("is refused, although the wallet holds it and it looks the same", async () => {
    const twin = await world.market.devnet.bank.deploy(USDC_SPEC);
    const attack = await world.attack(offering({ asset: twin.address, amount: "1" }));
    await twin.mint(attack.payer, FUNDS);
    expect(await refusal(attack)).toEqual(untouched("asset_not_allowed"));
    const held = await world.market.devnet.bank.client.readContract({
      address: twin.address,
      abi: devUsd.abi,
      functionName: "balanceOf",
      args: [attack.payer],
    });
    expect(held).toBe(FUNDS);
  });

  test("is refused where the token's own name stands in place of its address", async () => {
    expect(await refusal(await world.attack(offering({ asset: "USDC" })))).toEqual(untouched("asset_not_allowed"));
  });
});

describe("T2: an offer that confuses units", () => {
  test.each([
    ["in units of 18 decimals", { amount: "10000000000000000" }, "over_per_call_cap"],
    ["with a decimal point", { amount: "0.01" }, "malformed_offer"],
    ["in hexadecimal", { amount: "0x2710" }, "malformed_offer"],
    ["below nothing", { amount: "-10000" }, "malformed_offer"],
    ["as a number", { amount: 10_000 }, "malformed_offer"],
  ])("%s is refused", async (_name, change, code) => {
    expect(await refusal(await world.attack(offering(change)))).toEqual(untouched(code));
  });

  test("by decimals of its own is paid by the policy's decimals, which is the same amount", async () => {
    const attack = await world.attack(
      (request, honest) =>
        isPurchase(request) && !isPayment(request)
          ? quoteWith(honest, ({ accepts }) => void Object.assign(accepts[0] ?? {}, { decimals: 18 }))
          : honest(),
      (config) => config.payment.assets.forEach((asset) => (asset.perCall = String(PRICE))),
    );
    // The seller behind does not know the decimals it is quoted back, and turns the payment down.
    await expect(attack.buy()).rejects.toMatchObject({ code: "payment_rejected" });
    expect(await attack.plunder()).toBe(PRICE);
  });
});

describe("T4: an offer on another network", () => {
  test.each(["eip155:8453", "eip155:1", "base", "eip155:031337", "solana:mainnet"])(
    "%s is refused",
    async (network) => {
      expect(await refusal(await world.attack(offering({ network })))).toEqual(untouched("asset_not_allowed"));
    },
  );

  test.each(["0x20000000000007a69", "0x", "0xzz", "-0x7a69", 31337])(
    "T37: a chain whose RPC names it %j is not believed: nothing is signed",
    async (result) => {
      const rpc = await rpcInFront(world.market.devnet.rpcUrl, ({ method }) =>
        method === "eth_chainId" ? { result } : undefined,
      );
      const attack = await world.attack(
        (_request, honest) => honest(),
        (config) => config.networks.forEach((network) => (network.rpcUrl = rpc.url)),
      );
      expect(await refusal(attack)).toEqual(untouched("wrong_chain"));
    },
  );

  test("a chain that is not the one its network names is never believed", async () => {
    const attack = await world.attack(offering({ network: "eip155:8453" }), (config) => {
      // The owner's mistake: a test chain's address under a real chain's name.
      for (const network of config.networks) network.network = "eip155:8453";
      for (const asset of config.payment.assets) asset.network = "eip155:8453";
    });
    expect(await refusal(attack)).toEqual(untouched("wrong_chain"));
  });
});

describe("T5: the order of offers", () => {
  test.each(["first", "last"])("the cheap allowed one %s: it alone is signed", async (place) => {
    const attack = await world.attack((request, honest) =>
      isPurchase(request) && !isPayment(request)
        ? quoteWith(honest, (required) => {
            const [one] = required.accepts;
            const others = ["90000", "50000", "99999"].map((amount) => ({ ...one, amount }));
            required.accepts = [
              ...(place === "first" ? [one ?? {}] : []),
              ...others,
              ...(place === "last" ? [one ?? {}] : []),
            ];
          })
        : honest(),
    );
    await attack.buy();
    expect(attack.payments().map(({ payload }) => payload.authorization.value)).toEqual([String(PRICE)]);
    expect(FUNDS - (await world.market.devnet.balanceOf(attack.payer))).toBe(PRICE);
  });

  test("a cheap forbidden one leads to no dear one", async () => {
    const attack = await world.attack((request, honest) =>
      isPurchase(request)
        ? quoteWith(honest, (required) => {
            const [one] = required.accepts;
            required.accepts = [
              { ...one, asset: STRANGER, amount: "1" },
              { ...one, amount: "100001" },
            ];
          })
        : honest(),
    );
    expect(await refusal(attack)).toEqual(untouched("over_per_call_cap"));
  });
});

describe("T26: a place that is not where it says", () => {
  test("a resource URL elsewhere is not visited, not paid for by its name, and its words are in no error", async () => {
    const loot = await world.attack(() => new Response("caught"));
    const attack = await world.attack((request, honest) =>
      isPurchase(request) && !isPayment(request)
        ? quoteWith(
            honest,
            (required) => void (required["resource"] = { url: `${loot.origin}/v2/models/eth-risk/infer` }),
          )
        : honest(),
    );
    const { receipt } = await attack.buy();
    expect(receipt.core.seller.origin).toBe(attack.origin);
    expect(loot.seen).toEqual([]);
    expect(JSON.stringify(attack.payments())).not.toContain(loot.origin);
  });

  test.each([
    "https://user@seller.example",
    "https://seller.example@evil.example",
    "https://seller.example/path",
    "https://seller.example?x=1",
    "https://séller.example",
    "ftp://seller.example",
    "seller.example",
  ])("an origin written as %s is no origin", (origin) => {
    const config = world.market.config();
    const written = { ...config, sellers: config.sellers.map((seller) => ({ ...seller, origin })) };
    expect(configSchema.safeParse(written).success).toBe(false);
  });
});

describe("T30: a known offer somewhere else", () => {
  test("a cheap model's offer does not pay for a dear one, nor the other way round", async () => {
    const attack = await world.attack((request, honest) =>
      isPurchase(request) && !isPayment(request)
        ? quoteWith(honest, ({ accepts }) => {
            const amount = request.path.includes("payroll") ? "1000" : String(PRICE);
            Object.assign(accepts[0] ?? {}, { amount });
          })
        : honest(),
    );
    await attack.buy();
    await expect(
      attack.buy({ model: "payroll-check", input: { features: [1, 0.1, 1, 0.9, 0, 0.5, 1, 1] } }),
    ).rejects.toMatchObject({ code: "payment_rejected" });
    await attack.buy({ input: ETH_FEATURES });
    expect(attack.seen.filter(isPayment).map(({ path }) => path.split("/")[3])).toEqual([
      "eth-risk",
      "payroll-check",
      "eth-risk",
    ]);
    expect(attack.payments().map(({ payload }) => payload.authorization.value)).toEqual(["10000", "1000", "10000"]);
    // The third call paid its own cached offer: a quote for eth-risk was asked once.
    const quotes = attack.seen.filter((one) => isPurchase(one) && !isPayment(one));
    expect(quotes.map(({ path }) => path.split("/")[3])).toEqual(["eth-risk", "payroll-check"]);
  });
});
