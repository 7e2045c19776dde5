import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Address } from "../../src/evidence/bytes.ts";
import { pendingApproval } from "../../src/buyer/pending-approval.ts";
import type { ApprovalDecision, ApprovalRequest } from "../../src/buyer/types.ts";
import type { Config } from "../../src/config/schema.ts";
import { approvePermit2 } from "../../src/payment/allowance.ts";
import { openChain } from "../../src/chain/chain.ts";
import { walletFromPrivateKey } from "../../src/payment/wallet.ts";
import {
  isCatalog,
  isPayment,
  isPurchase,
  listAt,
  openWorld,
  PRICE,
  quoteWith,
  unpaid,
  type Attack,
  type Trick,
  type World,
} from "../hostile/world.ts";
import { failure } from "../http/servers.ts";
import { ETH_FEATURES } from "../support/devnet.ts";
import { buyWith } from "../support/buy.ts";

let world: World;
beforeAll(async () => {
  world = await openWorld();
});
afterAll(() => world.stop());

const STRANGER: Address = `0x${"5e".repeat(20)}`;
const CALL = { model: "eth-risk", input: ETH_FEATURES };

/** Hours that begin and end while it is not now. */
function closedNow(): NonNullable<Config["payment"]["hours"]> {
  const at = (hours: number): string =>
    `${String(new Date(Date.now() + hours * 3_600_000).getUTCHours()).padStart(2, "0")}:00`;
  return {
    timeZone: "UTC",
    days: ["mon", "tue", "wed", "thu", "fri", "sat", "sun"],
    from: at(5),
    to: at(6),
  };
}
/** An attack on a buyer that pays in one asset, so that no other takes its place. */
const attackOn = (trick: Trick, change?: (config: Config) => void): Promise<Attack> =>
  world.attack(trick, (config) => {
    config.payment.assets = config.payment.assets.slice(0, 1);
    change?.(config);
  });
const asset = (config: Config) => {
  const [first] = config.payment.assets;
  if (first === undefined) throw new Error("the devnet has an asset");
  return first;
};
const eachSeller = (change: (seller: Config["sellers"][number]) => void) => (config: Config) =>
  config.sellers.forEach(change);

describe("T34: a call that was reserved when its policy changed", () => {
  const CHANGES: [string, (config: Config) => void, string][] = [
    ["a cap per call", (config) => (asset(config).perCall = "1"), "over_per_call_cap"],
    ["a total cap", (config) => (asset(config).total = "0"), "over_total_cap"],
    ["a cap per hour", (config) => (asset(config).perHour = "9999"), "over_hour_cap"],
    ["a cap per day", (config) => (asset(config).perDay = "9999"), "over_day_cap"],
    ["the count per hour", (config) => (config.payment.callsPerHour = 0), "over_count_cap"],
    ["the hours", (config) => (config.payment.hours = closedNow()), "outside_hours"],
    ["the longest life", (config) => (config.payment.maxAuthorizationSeconds = 1), "authorization_too_long"],
    ["the asset", ({ payment }) => void payment.assets.splice(0), "asset_not_allowed"],
  ];

  test.each(CHANGES)("by %s, in the moment before it is signed, is not signed", async (_name, change, code) => {
    const attack = await attackOn((_request, honest) => honest());
    const onProgress = ({ step }: { step: string }): void => {
      if (step === "reserved") change(attack.config);
    };
    const error = await failure(attack.buy({}, { onProgress }));
    expect(error).toMatchObject({ code, money: "not-moved" });
    expect(attack.payments()).toEqual([]);
  });

  const MORE: [string, (config: Config) => void, string][] = [
    ...CHANGES.filter(([, , code]) => code !== "authorization_too_long"),
    [
      "the seller's own cap",
      (config) => {
        const { network, asset: paid } = asset(config);
        for (const seller of config.sellers) seller.limits = [{ network, asset: paid, total: "9999" }];
      },
      "over_seller_cap",
    ],
    ["another payee", eachSeller((seller) => (seller.payTo = [STRANGER])), "payee_not_allowed"],
    ["another way to pay", (config) => (asset(config).methods = ["permit2"]), "allowance_too_low"],
    ["a person's word", (config) => (asset(config).approveAbove = "0"), "approval_required"],
    ["a seller less", ({ sellers }) => void sellers.splice(0), "model_not_found"],
  ];
  test.each(MORE)("by %s, before a later process takes it up, is not signed", async (_name, change, code) => {
    const attack = await attackOn((_request, honest) => honest());
    const idempotencyKey = crypto.randomUUID();
    const abort = new AbortController();
    const stop = ({ step }: { step: string }): void => {
      if (step === "reserved") abort.abort();
    };
    await failure(attack.buy({ idempotencyKey }, { signal: abort.signal, onProgress: stop }));
    expect((await attack.buyer.spending()).recent).toMatchObject([{ state: "reserved" }]);
    await attack.buyer.close();
    const buyer = await attack.reopen(change);
    const error = await failure(buyWith(buyer, { ...CALL, idempotencyKey }));
    expect(error).toMatchObject({ code, money: "not-moved" });
    expect(attack.payments()).toEqual([]);
  });

  test("by another origin is paid for there and nowhere else", async () => {
    const attack = await attackOn((_request, honest) => honest());
    const idempotencyKey = crypto.randomUUID();
    const abort = new AbortController();
    const stop = ({ step }: { step: string }): void => {
      if (step === "reserved") abort.abort();
    };
    await failure(attack.buy({ idempotencyKey }, { signal: abort.signal, onProgress: stop }));
    const before = attack.seen.length;
    const { origin } = world.market.devnet.sellers.honest;
    const buyer = await attack.reopen(eachSeller((seller) => (seller.origin = origin)));
    const result = await buyWith(buyer, { ...CALL, idempotencyKey });
    expect(result).toMatchObject({ receipt: { core: { seller: { origin } } } });
    expect(attack.seen.slice(before).filter(isPurchase)).toEqual([]);
    expect((await buyer.spending()).recent.map(({ state }) => state).toSorted()).not.toContain("reserved");
  });
});

describe("T34: a call that was sent when its policy changed", () => {
  /** Sends once; the answer never arrives. */
  async function sent(change?: (config: Config) => void, prepare?: (attack: Attack) => Promise<void>) {
    let lost = true;
    const attack = await attackOn((request, honest) => {
      if (!isPayment(request) || !lost) return honest();
      lost = false;
      return new Response(null, { status: 302, headers: { location: "/elsewhere" } });
    }, change);
    await prepare?.(attack);
    const idempotencyKey = crypto.randomUUID();
    expect(await failure(attack.buy({ idempotencyKey }))).toMatchObject({ money: "may-move" });
    await attack.buyer.close();
    return { attack, idempotencyKey };
  }
  const payments = ({ seen }: Attack): number => seen.filter(isPayment).length;

  test.each<[string, (config: Config) => void, string]>([
    ["its seller", ({ sellers }) => void sellers.splice(0), "seller_not_found"],
    ["its origin", eachSeller((seller) => (seller.origin = "http://127.0.0.1:9")), "resend_not_allowed"],
    ["its payee", eachSeller((seller) => (seller.payTo = [STRANGER])), "resend_not_allowed"],
    ["its asset", ({ payment }) => void payment.assets.shift(), "resend_not_allowed"],
    ["its way to pay", (config) => (asset(config).methods = ["permit2"]), "resend_not_allowed"],
  ])(
    "and allows %s no more is not sent again, and once it does the same payment brings the answer",
    async (_name, change, code) => {
      const { attack, idempotencyKey } = await sent();
      const changed = await attack.reopen(change);
      expect(await failure(buyWith(changed, { ...CALL, idempotencyKey }))).toMatchObject({
        code,
        money: "may-move",
        idempotencyKey,
      });
      expect(payments(attack)).toBe(1);
      const restored = await attack.reopen();
      expect(await buyWith(restored, { ...CALL, idempotencyKey })).toMatchObject({ paidNow: false });
      expect(attack.payments()).toHaveLength(1);
      expect(await attack.plunder()).toBe(PRICE);
    },
  );

  test("and trusts its facilitator no more is not sent again", async () => {
    const { attack, idempotencyKey } = await sent(
      (config) => (asset(config).methods = ["upto"]),
      async (made) => {
        const { bank } = world.market.devnet;
        await bank.fund(made.payer);
        const [network] = made.config.networks;
        if (network === undefined) throw new Error("the devnet has a network");
        const wallet = walletFromPrivateKey(made.key);
        await made.using((db) =>
          approvePermit2({ db, chain: openChain(network), wallet, asset: asset(made.config), amount: 10n * PRICE }),
        );
      },
    );
    const changed = await attack.reopen(eachSeller((seller) => (seller.facilitators = [STRANGER])));
    expect(await failure(buyWith(changed, { ...CALL, idempotencyKey }))).toMatchObject({
      code: "resend_not_allowed",
      details: { changed: "facilitators" },
      money: "may-move",
    });
    expect(payments(attack)).toBe(1);
  });

  test("and lowers every cap is sent again: it can move nothing more than it could", async () => {
    const { attack, idempotencyKey } = await sent();
    const lowered = await attack.reopen((config) => {
      Object.assign(asset(config), { perCall: "0", perHour: "0", perDay: "0", total: "0", approveAbove: "0" });
      config.payment.callsPerHour = 0;
    });
    expect(await buyWith(lowered, { ...CALL, idempotencyKey })).toMatchObject({ paidNow: false });
    expect(await attack.plunder()).toBe(PRICE);
  });
});

describe("T34: a person's word", () => {
  /** Serves once, then turns every payment down and asks a little more. */
  async function greedy(threshold: string) {
    let asked = Number(PRICE);
    let honestly = true;
    const attack = await attackOn(
      async (request, honest) => {
        if (isCatalog(request)) return listAt(honest, honestly ? String(PRICE) : "100000");
        if (!isPurchase(request) || honestly) return honest();
        asked += 1000;
        return quoteWith(
          unpaid(world, request),
          ({ accepts }) => void Object.assign(accepts[0] ?? {}, { amount: String(asked) }),
        );
      },
      (config) => (asset(config).approveAbove = threshold),
    );
    await attack.buy({}, { approve: () => Promise.resolve("approved") });
    honestly = false;
    return attack;
  }

  test("is asked for all that the call may still cost: two payments of half the threshold are more than it", async () => {
    const attack = await greedy("20000");
    // A caller that names the seller pays its fresh price; without a name the call would go back to the choice.
    const error = await failure(attack.buy({ seller: "honest" }));
    expect(error).toMatchObject({ code: "approval_required", money: "may-move", details: { amount: "21000" } });
    expect(await attack.plunder()).toBe(2n * PRICE);
  });

  test("says in the units people read what is paid to whom, and what may still be taken beside", async () => {
    const attack = await greedy("20000");
    const questions: ApprovalRequest[] = [];
    const approve = (question: ApprovalRequest): Promise<ApprovalDecision> => {
      questions.push(question);
      return Promise.resolve("declined");
    };
    expect(await failure(attack.buy({ seller: "honest" }, { approve }))).toMatchObject({
      code: "approval_declined",
      money: "may-move",
    });
    const { payTo } = world.market.devnet.sellers.honest;
    expect(questions.map(({ message }) => message)).toEqual([
      `Pay 0.011 USDC ($0.011) on eip155:${world.market.devnet.chainId} to ${payTo} (honest) for one inference of eth-risk? An earlier payment for the same call may still take 0.01 USDC ($0.01): 0.021 USDC ($0.021) in all.`,
    ]);
  });

  test("is for one key and one attempt: no two questions are the same", async () => {
    const attack = await greedy("0");
    const digests: string[] = [];
    const keys = [crypto.randomUUID(), crypto.randomUUID()];
    for (const idempotencyKey of keys) {
      const approve = ({ digest, idempotencyKey: named }: ApprovalRequest): Promise<ApprovalDecision> => {
        expect(named).toBe(idempotencyKey);
        digests.push(digest);
        return Promise.resolve("approved");
      };
      await failure(attack.buy({ idempotencyKey, seller: "honest" }, { approve }));
    }
    expect(digests.length).toBeGreaterThan(2);
    expect(new Set(digests).size).toBe(digests.length);
  });

  test("given later is for the call that asked: made again under its key it is paid, once", async () => {
    const attack = await attackOn(
      (_request, honest) => honest(),
      (config) => (asset(config).approveAbove = "0"),
    );
    const asked = await failure(buyWith(attack.buyer, CALL, { approve: () => Promise.resolve("ask_later") }));
    expect(asked).toMatchObject({ code: "approval_pending", money: "not-moved" });
    const question = pendingApproval(asked);
    if (question === null) throw new Error("it should have asked");
    const { idempotencyKey, digest } = question;
    expect(asked.idempotencyKey).toBe(idempotencyKey);
    expect(attack.payments()).toEqual([]);
    const yes = (question: ApprovalRequest): Promise<ApprovalDecision> =>
      Promise.resolve(question.digest === digest ? "approved" : "declined");
    const bought = await buyWith(attack.buyer, { ...CALL, idempotencyKey }, { approve: yes });
    expect(bought).toMatchObject({ paidNow: true, idempotencyKey });
    // The same yes buys nothing more.
    expect(
      await failure(buyWith(attack.buyer, { ...CALL, idempotencyKey: crypto.randomUUID() }, { approve: yes })),
    ).toMatchObject({
      code: "approval_declined",
      money: "not-moved",
    });
    expect(await attack.plunder()).toBe(PRICE);
  });
});
