import fc from "fast-check";
import { generatePrivateKey } from "viem/accounts";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Address } from "../../src/evidence/bytes.ts";
import { moneyOf } from "../../src/buyer/money.ts";
import type { Buyer } from "../../src/buyer/types.ts";
import type { Config } from "../../src/config/schema.ts";
import { buyInference } from "../../src/tools/index.ts";
import { callTool } from "../../src/tools/call.ts";
import type { PurchaseState } from "../../src/storage/tables.ts";
import { isPayment, isPurchase, openWorld, PRICE, type Attack, type Trick, type World } from "../hostile/world.ts";
import { failure } from "../http/servers.ts";
import { ETH_FEATURES } from "../support/devnet.ts";
import { eventually } from "../support/eventually.ts";
import { rpcInFront } from "../support/rpc.ts";
import { buyWith } from "../support/buy.ts";

let world: World;
beforeAll(async () => {
  world = await openWorld();
});
afterAll(() => world.stop());

const STATES = ["reserved", "signed", "sent", "answered", "settled", "released"] as const satisfies PurchaseState[];
/** What an authorization in this state can have done, from the least. */
const REACH = { reserved: 0, released: 0, signed: 1, sent: 1, answered: 1, settled: 2 } as const;

test("T31: over all attempts of a call the money is what the one that got furthest may have done", () => {
  const attempts = fc.array(
    fc.constantFrom(...STATES).map((state) => ({ state })),
    { maxLength: 6 },
  );
  fc.assert(
    fc.property(attempts, (all) => {
      const furthest = Math.max(0, ...all.map(({ state }) => REACH[state]));
      expect(moneyOf(all)).toBe((["not-moved", "may-move", "moved"] as const)[furthest]);
    }),
  );
});

/** Calls through the tool, as an agent does, and returns what it is told of a failure. */
async function told(buyer: Buyer, args: Record<string, unknown>, signal?: AbortSignal) {
  const context = { buyer, ...(signal === undefined ? {} : { signal }) };
  const outcome = await callTool(buyInference, context, { model: "eth-risk", input: ETH_FEATURES, ...args });
  if (outcome.status !== "error") throw new Error("it did not fail");
  return { text: outcome.text, ...outcome.error };
}

/** Ways in which a later call of the same key fails before a byte of its own is sent. */
const LATER: { name: string; seller?: Trick; change?: (config: Config) => void; stranger?: true; gone?: true }[] = [
  { name: "the seller is gone", seller: () => new Response("gone", { status: 503 }) },
  { name: "it attests no more", seller: onAttestation(() => new Response("no", { status: 404 })) },
  { name: "its attestation is none", seller: onAttestation(() => new Response("AAAA")) },
  { name: "the caller gives up at once", gone: true },
  { name: "another wallet is configured", stranger: true },
  { name: "the seller is configured no more", change: (config) => config.sellers.forEach((one) => (one.id = "other")) },
  { name: "the payee has changed", change: (config) => config.sellers.forEach((one) => (one.payTo = [STRANGER])) },
  { name: "the asset may be paid no more", change: ({ payment }) => void payment.assets.shift() },
];
const STRANGER: Address = `0x${"5e".repeat(20)}`;

function onAttestation(answer: () => Response): Trick {
  return (request, honest) => (["/enclave/attestation", "/signing-key"].includes(request.path) ? answer() : honest());
}

describe("T31: a call whose payment is out, and whose next try fails before it sends anything", () => {
  test.each(LATER)("because $name: says that money may move, then that it moved, and names the key", async (later) => {
    const seller: { later?: Trick } = {};
    const attack = await world.attack((request, honest) => {
      if (seller.later !== undefined) return seller.later(request, honest);
      return isPayment(request) ? new Response("oops", { status: 500 }) : honest();
    });
    const key = crypto.randomUUID();
    expect(await told(attack.buyer, { idempotency_key: key })).toMatchObject({
      money: "may-move",
      idempotencyKey: key,
    });
    await attack.buyer.close();
    seller.later = later.seller ?? ((_request, honest) => honest());
    await attack.using((db) => db.deleteFrom("attestations").execute());
    const buyer = await attack.reopen(later.change, later.stranger ? { key: generatePrivateKey() } : {});
    const again = () => told(buyer, { idempotency_key: key }, later.gone ? AbortSignal.abort() : undefined);
    const first = await again();
    expect(first.money).toBe("may-move");
    // The thief redeems: from when the journal knows, the words follow.
    expect(await attack.plunder()).toBe(PRICE);
    await eventually(async () => {
      await buyer.reconcile();
      expect((await buyer.spending()).recent[0]?.state).toBe("settled");
    });
    const last = await again();
    expect(last.money).toBe("moved");
    for (const said of [first, last]) {
      expect(said).toMatchObject({ idempotencyKey: key, text: expect.stringContaining(key) });
      expect(said.text).not.toMatch(/no money moved|nothing was (?:paid|signed)/i);
    }
    expect(attack.payments()).toHaveLength(1);
  });
});

describe("T31: a call that nothing was signed for", () => {
  const NONE_MOVED = { money: "not-moved", idempotencyKey: undefined, text: expect.stringContaining("No money moved") };
  /** What was signed, and what the journal knows of. */
  const signedIn = async (attack: Attack) => ({
    payments: attack.payments(),
    journal: (await attack.buyer.spending()).recent.filter(({ state }) => state !== "reserved"),
  });

  test("because the RPC that Permit2 needs is down says that none moved", async () => {
    const down = await rpcInFront(world.market.devnet.rpcUrl, () => ({ status: 500 }));
    const attack = await world.attack(
      (_request, honest) => honest(),
      (config) => {
        for (const network of config.networks) network.rpcUrl = down.url;
        for (const asset of config.payment.assets) asset.methods = ["permit2"];
      },
    );
    const said = await told(attack.buyer, {});
    expect({ idempotencyKey: undefined, ...said }).toMatchObject(NONE_MOVED);
    expect(said.text).not.toMatch(/was signed/);
    expect(await signedIn(attack)).toEqual({ payments: [], journal: [] });
  });

  test.each(["price", "reserved"])(
    "because the caller gave up when it heard of %s says that none moved",
    async (at) => {
      const attack = await world.attack((_request, honest) => honest());
      const abort = new AbortController();
      const outcome = await callTool(
        buyInference,
        {
          buyer: attack.buyer,
          signal: abort.signal,
          progress: ({ message }) => (message.includes(at) ? abort.abort() : undefined),
        },
        { model: "eth-risk", input: ETH_FEATURES },
      );
      if (outcome.status !== "error") throw new Error("it did not fail");
      expect(outcome.error.code).toBe("aborted");
      expect({ text: outcome.text, idempotencyKey: undefined, ...outcome.error }).toMatchObject(NONE_MOVED);
      expect(await signedIn(attack)).toEqual({ payments: [], journal: [] });
    },
  );

  test("because the wallet is empty is told what it holds and where to send more, before anything is signed", async () => {
    const attack = await world.attack((_request, honest) => honest());
    const key = generatePrivateKey();
    const buyer = await attack.reopen(undefined, { key });
    const error = await failure(buyWith(buyer, { model: "eth-risk", input: ETH_FEATURES }));
    expect(error).toMatchObject({ code: "insufficient_funds", money: "not-moved" });
    expect(error.message).toMatch(/holds 0 .* asks 0\.01 /);
    expect(error.next).toContain((await buyer.spending()).payer);
    expect(attack.seen.filter(isPurchase).filter(isPayment)).toEqual([]);
    expect((await buyer.spending()).recent).toEqual([]);
  });
});

describe("T31: what is said of payments made before", () => {
  test("an answer to a payment of an earlier call is not said to be paid for now", async () => {
    let lost = true;
    const attack = await world.attack(async (request, honest) => {
      const answer = await honest();
      if (!isPayment(request) || !lost) return answer;
      lost = false;
      return new Response("x", { status: 502 });
    });
    const args = { model: "eth-risk", input: ETH_FEATURES, idempotency_key: crypto.randomUUID() };
    const context = { buyer: attack.buyer };
    expect(await callTool(buyInference, context, args)).toMatchObject({ status: "error" });
    const again = await callTool(buyInference, context, args);
    expect(again).toMatchObject({ status: "ok", data: { paidNow: false, idempotencyKey: args.idempotency_key } });
    expect(again.status === "ok" && again.text).toMatch(/Nothing was paid in this call/);
    expect(await attack.plunder()).toBe(PRICE);
  });

  test("a listing or look that fails says nothing of money", async () => {
    const down = await rpcInFront(world.market.devnet.rpcUrl, () => ({ status: 500 }));
    const attack = await world.attack(
      () => new Response("gone", { status: 503 }),
      (config) => config.networks.forEach((network) => (network.rpcUrl = down.url)),
    );
    const error = await failure(attack.buyer.getReceipt("p402_none"));
    expect(error).toMatchObject({ code: "receipt_not_found", money: undefined, idempotencyKey: undefined });
    expect(await attack.buyer.listModels()).toMatchObject({ models: [] });
  });
});
