import { join } from "node:path";
import fc from "fast-check";
import { expect, it } from "vitest";
import { budgetIn, clientSpending, requireClient, type ClientBudget } from "../../src/payment/client-budget.ts";
import { markSettled, markSigned, release } from "../../src/payment/journal.ts";
import { refusalOfReserved } from "../../src/payment/judge.ts";
import { reserve } from "../../src/payment/reserve.ts";
import { openDatabase, type Db } from "../../src/storage/database.ts";
import type { AssetPolicy } from "../../src/payment/policy.ts";
import { accept, policyWith, requirement, reservation, temporaryDirectory, usdc } from "./fixtures.ts";

const HOUR = 3_600_000;
/** A dollar token of 18 decimals, beside one of 6. */
const dai: AssetPolicy = {
  ...usdc,
  asset: `0x${"0d".repeat(20)}`,
  symbol: "DAI",
  decimals: 18,
  perCall: "9".repeat(20),
  perHour: "9".repeat(22),
  perDay: "9".repeat(22),
  total: "9".repeat(22),
};
const wide: AssetPolicy = {
  ...usdc,
  perCall: "9".repeat(12),
  perHour: "9".repeat(12),
  perDay: "9".repeat(12),
  total: "9".repeat(12),
};
const worthless: AssetPolicy = { ...wide, asset: `0x${"0e".repeat(20)}`, symbol: "PTS", usdStable: false };
const policy = policyWith([wide, dai, worthless], { callsPerHour: 100_000 });
const ASSETS = [wide, dai];

/** Buys for a client; a thousandth of a dollar is the unit of these tests. */
async function buy(db: Db, client: ClientBudget | undefined, milli: number, asset: AssetPolicy, now: number) {
  const amount = (BigInt(milli) * 10n ** BigInt(asset.decimals - 3)).toString();
  const { offer, accepted } = accept(requirement({ asset: asset.asset, amount }), policy);
  const request = { ...reservation({ policy, offer, accepted, now: new Date(now) }), client };
  return { request, result: await reserve(db, request) };
}

it("T201: a client's budget is a sum over all its dollar tokens, whatever happens in whatever order", async () => {
  const clients = ["one", "two"];
  const step = fc.oneof(
    fc.record({ do: fc.constant("buy" as const), who: fc.nat(1), milli: fc.nat(400), asset: fc.nat(1) }),
    fc.record({ do: fc.constant("end" as const), pick: fc.nat(), moved: fc.nat(400), isReleased: fc.boolean() }),
    fc.record({ do: fc.constant("wait" as const), ms: fc.constantFrom(1, 59_999, HOUR - 1, HOUR, HOUR + 1) }),
  );
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom("hour" as const, "total" as const),
      fc.array(step, { maxLength: 25 }),
      async (per, steps) => {
        const db = await openDatabase(":memory:");
        const bought: { id: string; who: string; at: number; milli: number; asset: AssetPolicy; isOpen: boolean }[] =
          [];
        /** Of each wish: whether it is over the budget, and whether it was refused for that. */
        const decided: [boolean, boolean][] = [];
        let now = 1.7e12;
        for (const one of steps) {
          if (one.do === "wait") now += one.ms;
          else if (one.do === "end") {
            const open = bought.filter(({ isOpen }) => isOpen);
            const entry = open[one.pick % Math.max(open.length, 1)];
            if (entry === undefined) continue;
            entry.isOpen = false;
            const moved = Math.min(entry.milli, one.moved);
            entry.milli = one.isReleased ? 0 : moved;
            const amount = (BigInt(moved) * 10n ** BigInt(entry.asset.decimals - 3)).toString();
            await (one.isReleased
              ? release(db, entry.id, { reason: "test", now: new Date(now) })
              : markSettled(db, entry.id, { transaction: `0x${"01".repeat(32)}`, amount, now: new Date(now) }));
          } else {
            const [who = "", asset = wide] = [clients[one.who], ASSETS[one.asset]];
            const { result } = await buy(db, { name: who, maxUsd: 0.9, per }, one.milli, asset, now);
            const used = bought
              .filter((entry) => entry.who === who && (per === "total" || entry.at > now - HOUR))
              .reduce((sum, { milli }) => sum + milli, 0);
            decided.push([
              used + one.milli > 900,
              result.kind === "refused" && result.refusal.code === "over_client_cap",
            ]);
            if (result.kind === "reserved")
              bought.push({ id: result.purchase.id, who, at: now, milli: one.milli, asset, isOpen: true });
          }
        }
        await db.destroy();
        expect(decided.map(([, refused]) => refused)).toEqual(decided.map(([over]) => over));
      },
    ),
    { numRuns: 40 },
  );
});

it("holds over a restart, counts a reserved payment once, and leaves others alone", async () => {
  const file = join(temporaryDirectory(), "buyer.db");
  const client: ClientBudget = { name: "bot", maxUsd: 0.03, per: "day" };
  const now = 1.7e12;
  const first = await openDatabase(file);
  const { request, result } = await buy(first, client, 20, wide, now);
  if (result.kind !== "reserved") throw new Error(result.kind);
  const { id } = result.purchase;
  expect(await refusalOfReserved(first, request, { id })).toBeNull();
  expect(await refusalOfReserved(first, { ...request, client: { ...client, maxUsd: 0.019 } }, { id })).toMatchObject({
    code: "over_client_cap",
    remaining: "19000",
  });
  await markSigned(first, id, { now: new Date(now) });
  await first.destroy();
  const second = await openDatabase(file);
  expect((await buy(second, client, 20, dai, now + 1)).result).toMatchObject({
    kind: "refused",
    refusal: { code: "over_client_cap", message: expect.stringContaining('"bot"') as string },
  });
  expect((await buy(second, { ...client, name: "other" }, 20, wide, now + 1)).result.kind).toBe("reserved");
  expect((await buy(second, undefined, 20, wide, now + 1)).result.kind).toBe("reserved");
  // A token without a declared value cannot be held to a budget in dollars.
  expect((await buy(second, { ...client, name: "third" }, 1, worthless, now + 1)).result.kind).toBe("refused");
  expect((await buy(second, { name: "free" }, 1, worthless, now + 1)).result.kind).toBe("reserved");
  expect(await clientSpending(second, client, policy, new Date(now + 1))).toMatchObject({
    name: "bot",
    per: "day",
    assets: [
      { symbol: "USDC", used: "20000", limit: "30000", remaining: "10000" },
      { symbol: "DAI", used: (2n * 10n ** 16n).toString() },
    ],
  });
  expect(await budgetIn(second, { name: "bot" }, policy, wide, new Date(now))).toBeUndefined();
  await second.destroy();
});

it("counts what was paid in a retired token, and has nothing left where none says its worth", async () => {
  const db = await openDatabase(":memory:");
  const client: ClientBudget = { name: "bot", maxUsd: 0.03 };
  expect((await buy(db, client, 20, wide, 1.7e12)).result.kind).toBe("reserved");
  const now = new Date(1.7e12 + 1);
  const { network, asset } = wide;
  const unit = 10n ** 15n;
  const declared = policyWith([dai], { formerAssets: [{ network, asset, usdDecimals: 6 }] });
  expect(await budgetIn(db, client, declared, dai, now)).toEqual({
    client: "bot",
    used: 20n * unit,
    limit: 30n * unit,
  });
  for (const silent of [
    policyWith([dai]),
    policyWith([dai], { formerAssets: [{ network, asset }] }),
    policyWith([dai, { ...wide, usdStable: false }]),
  ]) {
    expect(await budgetIn(db, client, silent, dai, now)).toMatchObject({ limit: 0n, isUncounted: true });
    expect((await clientSpending(db, client, silent, now))?.assets).toMatchObject([{ symbol: "DAI", remaining: "0" }]);
    expect(await budgetIn(db, { ...client, name: "other" }, silent, dai, now)).toMatchObject({ limit: 30n * unit });
  }
  await db.destroy();
});

it("refuses names and budgets that are none", () => {
  for (const name of ["", "a b", "x".repeat(65), "é"])
    expect(() => requireClient({ name })).toThrow(expect.objectContaining({ code: "invalid_input" }) as Error);
  for (const maxUsd of [-1, Number.NaN, Number.POSITIVE_INFINITY])
    expect(() => requireClient({ name: "a", maxUsd })).toThrow(
      expect.objectContaining({ code: "invalid_max_usd" }) as Error,
    );
  expect(() => requireClient({ name: "claude-desktop", maxUsd: 0 })).not.toThrow();
});
