import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Buyer, BuyOptions, QuorumResult } from "../../src/buyer/types.ts";
import type { QuorumTerms } from "../../src/buyer/quorum/terms.ts";
import type { Config } from "../../src/config/schema.ts";
import { tampering } from "../../src/devnet/dishonest.ts";
import { runCli } from "../support/cli.ts";
import { ETH_FEATURES, openMarket, type Market } from "../support/devnet.ts";
import { openSeller, takenBy, type OwnSeller } from "../support/selling.ts";
import { databasePlace } from "../support/database-place.ts";

type Name = "exact" | "drifting" | "lying" | "spare" | "twin" | "broken";
let market: Market;
let own: Record<Name, OwnSeller>;

/** A node whose probabilities lie a little apart from the model's, as another machine's may. */
const drifting: typeof tampering = (fetch) => async (request) => {
  const response = await fetch(request);
  if (response.status !== 200 || !new URL(request.url).pathname.endsWith("/infer")) return response;
  const answer = (await response.json()) as { outputs: { datatype: string; data: number[] }[] };
  for (const output of answer.outputs) if (output.datatype !== "INT64") output.data[0]! += 1e-4;
  const headers = new Headers(response.headers);
  headers.delete("content-length");
  return new Response(JSON.stringify(answer), { status: 200, headers });
};
/** Asks for money, and gives no answer that anyone could be paid for. */
const broken: typeof tampering = (fetch) => async (request) =>
  new URL(request.url).pathname.endsWith("/infer") ? new Response("gone", { status: 503 }) : fetch(request);

beforeAll(async () => {
  market = await openMarket();
  const [exact, drift, lying, spare, gone] = await Promise.all([
    openSeller(market),
    openSeller(market, { through: drifting }),
    openSeller(market, { through: tampering }),
    openSeller(market, { models: [{ name: "eth-risk", price: "30000" }] }),
    openSeller(market, { through: broken }),
  ]);
  // Another place that is paid at the same wallet.
  const twin = await openSeller(market, { payment: { payTo: exact.payTo } });
  own = { exact, drifting: drift, lying, spare, twin, broken: gone };
});
afterAll(async () => {
  await Promise.all(Object.values(own).map((one) => one.stop()));
  await market.stop();
});

const among =
  (names: readonly Name[], change: (config: Config) => void = () => undefined) =>
  (config: Config): void => {
    const [first] = config.sellers;
    config.sellers = names.map((id) => ({
      ...first!,
      id,
      origin: own[id].origin,
      payTo: [own[id].payTo.toLowerCase() as `0x${string}`],
      assurance: "none",
      reference: { ...first!.reference },
    }));
    change(config);
  };
const NEAR: QuorumTerms = { of: 3, agree: 2, tolerance: { probabilities: { absolute: 0.001 } } };
const asking = (buyer: Buyer, quorum: QuorumTerms = NEAR, options: BuyOptions = {}): Promise<QuorumResult> =>
  buyer.buy("eth-risk", ETH_FEATURES, { assurance: "none", ...options, quorum });
/** All wallets, each by one of its sellers. */
const PAID = ["exact", "drifting", "lying", "spare", "broken"] as const;
const taken = async (): Promise<Record<(typeof PAID)[number], bigint>> =>
  Object.fromEntries(await Promise.all(PAID.map(async (name) => [name, await takenBy(market, own[name])]))) as Record<
    (typeof PAID)[number],
    bigint
  >;
/** What each seller was paid by a piece of work, as the chain shows it. */
async function paidFor(work: () => Promise<unknown>): Promise<Partial<Record<Name, number>>> {
  const before = await taken();
  await work();
  const after = await taken();
  return Object.fromEntries(
    PAID.map((name) => [name, Number(after[name] - before[name])] as const).filter(([, sum]) => sum !== 0),
  );
}
const idsOf = ({ receipts }: QuorumResult): string[] => receipts.map(({ id }) => id);
const sellersOf = (results: { receipt: { core: { seller: { id: string } } } }[]): string[] =>
  results.map(({ receipt }) => receipt.core.seller.id);

describe("a quorum", () => {
  test("gives the answer that enough sellers agree on, keeps the other, and a retry pays nothing", async () => {
    const buyer = await market.buyer(among(["exact", "drifting", "lying"]));
    const idempotencyKey = "quorum-of-three";
    let result!: QuorumResult;
    const first = async (): Promise<unknown> => (result = await asking(buyer, NEAR, { idempotencyKey, maxUsd: 0.03 }));
    expect(await paidFor(first)).toEqual({ exact: 10_000, drifting: 10_000, lying: 10_000 });
    expect(sellersOf(result.agreeing)).toEqual(["drifting", "exact"]);
    expect(result.dissenting).toMatchObject([
      { why: "differs", result: { receipt: { core: { seller: { id: "lying" } } } } },
    ]);
    expect(result).toMatchObject({
      code: null,
      verdict: "unverified",
      assurance: "none",
      idempotencyKey,
      unanswered: [],
    });
    expect(result.answer).toEqual(result.agreeing[0]!.readable && result.agreeing[0]!.answer);
    expect(result.answer).not.toEqual(result.dissenting[0]!.result.answer);
    expect(idsOf(result)).toHaveLength(3);
    const again = async (): Promise<void> =>
      expect(idsOf(await asking(buyer, NEAR, { idempotencyKey, maxUsd: 0.03 }))).toEqual(idsOf(result));
    expect(await paidFor(again)).toEqual({});
    // One key is one call: other terms or a plain purchase are others.
    const others = [
      asking(buyer, { of: 3, agree: 3 }, { idempotencyKey, maxUsd: 0.03 }),
      buyer.buy("eth-risk", ETH_FEATURES, { assurance: "none", idempotencyKey }),
    ];
    for (const other of others) await expect(other).rejects.toMatchObject({ code: "idempotency_conflict" });
    // A decision rests on all of them.
    const decision = await buyer.decide({
      purpose: "trade",
      subject: "ETH",
      receipts: idsOf(result),
      action: { quorum: result.terms, agreeing: result.agreeing.map(({ receipt }) => receipt.id) },
      outcome: "held",
    });
    expect(decision.receipts).toHaveLength(3);
  });

  test("chooses no side where too few agree", async () => {
    const buyer = await market.buyer(among(["exact", "drifting", "lying"]));
    const result = await asking(buyer, { of: 3, agree: 2 });
    expect(result).toMatchObject({ code: "quorum_disagrees", verdict: "failed", answer: null, assurance: "none" });
    expect([result.agreeing.length, result.dissenting.length, result.receipts.length]).toEqual([0, 3, 3]);
  });

  test("counts places with one wallet as one seller, before anything is paid", async () => {
    const buyer = await market.buyer(among(["exact", "twin", "lying"]));
    const call = async (): Promise<unknown> =>
      expect(asking(buyer)).rejects.toMatchObject({ code: "quorum_sellers", money: "not-moved" });
    expect(await paidFor(call)).toEqual({});
  });

  test("is held to its bound as a whole, before anything is paid", async () => {
    const buyer = await market.buyer(among(["exact", "drifting", "spare"]));
    const refused = async (): Promise<unknown> =>
      expect(asking(buyer, NEAR, { maxUsd: 0.049 })).rejects.toMatchObject({
        code: "over_call_limit",
        money: "not-moved",
      });
    expect(await paidFor(refused)).toEqual({});
    const fits = (): Promise<unknown> => asking(buyer, NEAR, { maxUsd: 0.05 });
    expect(await paidFor(fits)).toEqual({ exact: 10_000, drifting: 10_000, spare: 30_000 });
  });

  test("takes the next seller for one that nothing went out to, within its bound and number", async () => {
    const buyer = await market.buyer(among(["broken", "exact", "drifting", "spare"]));
    let result!: QuorumResult;
    const call = async (): Promise<unknown> => (result = await asking(buyer));
    expect(await paidFor(call)).toEqual({ exact: 10_000, drifting: 10_000, spare: 30_000 });
    expect(result).toMatchObject({ code: null, unanswered: [{ sellerId: "broken", error: { money: "not-moved" } }] });
    const bounded = async (): Promise<unknown> => (result = await asking(buyer, NEAR, { maxUsd: 0.03 }));
    expect(await paidFor(bounded)).toEqual({ exact: 10_000, drifting: 10_000 });
    expect(sellersOf(result.agreeing)).toEqual(["drifting", "exact"]);
  });

  test("stays within the policy's caps, and says what was paid where too few could answer", async () => {
    const capped = among(["exact", "drifting", "lying"], (config) => {
      for (const asset of config.payment.assets) asset.perHour = "19999";
    });
    const buyer = await market.buyer(capped);
    const idempotencyKey = "quorum-within-caps";
    let error: unknown;
    const call = async (): Promise<unknown> =>
      asking(buyer, { of: 3, agree: 3 }, { idempotencyKey }).catch((thrown: unknown) => (error = thrown));
    const paid = await paidFor(call);
    expect(Object.values(paid)).toEqual([10_000]);
    expect(error).toMatchObject({
      code: "quorum_incomplete",
      idempotencyKey,
      details: { receipts: [expect.any(String)] },
    });
    expect((error as Error).message).toMatch(/Paid or still payable: 0\.01 /);
    expect((error as { money: string }).money).not.toBe("not-moved");
  });

  test("is taken up after its process was killed in the middle, and pays each seller once", async () => {
    const config = market.config(among(["exact", "drifting", "lying"]));
    await databasePlace(config.database);
    const script = `
      const [, built, config, key, input] = process.argv;
      const { openBuyer } = await import(built + "buyer/open.js");
      const { walletFromPrivateKey } = await import(built + "payment/wallet.js");
      const buyer = await openBuyer({ config: JSON.parse(config), wallet: walletFromPrivateKey(key) });
      const onProgress = ({ step }) => step === "answered" && process.kill(process.pid, "SIGKILL");
      await buyer.buy("eth-risk", JSON.parse(input), { assurance: "none", idempotencyKey: "quorum-killed", quorum: { of: 3, agree: 2, tolerance: { probabilities: { absolute: 0.001 } } }, onProgress });
    `;
    const built = new URL("../../dist/src/", import.meta.url).href;
    const args = [built, JSON.stringify(config), market.devnet.privateKey, JSON.stringify(ETH_FEATURES)];
    const killed = async (): Promise<void> => {
      const child = spawn(process.execPath, ["--input-type=module", "--eval", script, ...args], { stdio: "inherit" });
      expect(await once(child, "exit")).toEqual([null, "SIGKILL"]);
      const buyer = await market.buyer((made) => Object.assign(made, config));
      expect(sellersOf((await asking(buyer, NEAR, { idempotencyKey: "quorum-killed" })).agreeing)).toHaveLength(2);
    };
    expect(await paidFor(killed)).toEqual({ exact: 10_000, drifting: 10_000, lying: 10_000 });
  });

  test("is refused with terms or arguments that mean nothing", async () => {
    const buyer = await market.buyer(among(["exact", "drifting", "lying"]));
    const wrong: unknown[] = [
      { of: 3, agree: 1 },
      { of: 4, agree: 2 },
      { of: 2, agree: 3 },
      { of: 3, agree: 2, tolerance: { probabilities: {} } },
      { of: 3, agree: 2, tolerance: { probabilities: { absolute: Number.NaN } } },
      { of: 3, agree: 2, tolerance: 0.1 },
      2,
    ];
    for (const quorum of wrong)
      await expect(asking(buyer, quorum as QuorumTerms)).rejects.toMatchObject({ code: "invalid_input" });
    await expect(asking(buyer, NEAR, { seller: "exact" })).rejects.toMatchObject({ code: "invalid_input" });
  });

  test("is bought on the command line, and a disagreement ends in failure", async () => {
    const config = market.config(among(["exact", "drifting", "lying"]));
    await databasePlace(config.database);
    const file = join(market.directory, "quorum.json");
    await writeFile(join(market.directory, "quorum.key"), market.devnet.privateKey, { mode: 0o600 });
    await writeFile(
      file,
      JSON.stringify({ ...config, wallet: { privateKeyFile: join(market.directory, "quorum.key") } }),
    );
    const buy = (...words: string[]) =>
      runCli([
        "--config",
        file,
        "--json",
        "buy",
        "eth-risk",
        "--assurance",
        "none",
        "--input",
        JSON.stringify(ETH_FEATURES),
        ...words,
      ]);
    const agreed = await buy("--quorum", "2/3", "--tolerance", "probabilities=0.001");
    expect([agreed.code, JSON.parse(agreed.stdout)]).toMatchObject([2, { verdict: "unverified", code: null }]);
    const apart = await buy("--quorum", "3/3", "--tolerance", "*=1%");
    expect([apart.code, JSON.parse(apart.stdout)]).toMatchObject([
      1,
      { verdict: "failed", code: "quorum_disagrees", answer: null },
    ]);
    for (const words of [
      ["--quorum", "3"],
      ["--tolerance", "*=1%"],
      ["--quorum", "2/3", "--tolerance", "1%"],
    ])
      expect((await buy(...words)).code).toBe(64);
  });
});
