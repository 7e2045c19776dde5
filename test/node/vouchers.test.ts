import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import LibsqlDatabase from "libsql";
import type { Address } from "viem";
import { generatePrivateKey } from "viem/accounts";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { serveLocally, type Served } from "../../src/devnet/index.ts";
import { packageModelsDirectory } from "../../src/node/index.ts";
import { newAccount } from "../devnet/authorizations.ts";
import { openMarket, type Market } from "../support/devnet.ts";
import { postPaid, requestOf } from "../support/selling.ts";
import { openVoucherPayer } from "../support/voucher-payer.ts";
import { bundled } from "../support/bundled.ts";

const PRICE = 10_000n;
const PATIENCE = { timeout: 60_000, interval: 100 };
const worker = bundled(join(import.meta.dirname, "voucher-worker.ts"));

let market: Market;
beforeAll(async () => {
  market = await openMarket();
  await worker.make();
});
const running: ChildProcess[] = [];
const served: Served[] = [];
afterEach(async () => {
  for (const child of running.splice(0)) child.kill("SIGKILL");
  await Promise.all(served.splice(0).map((one) => one.stop()));
});
afterAll(async () => {
  await market.stop();
  worker.remove();
});

/** A node as its owner starts it, again and again on the same file, and a payer with a channel of it. */
async function openShop() {
  const { devnet } = market;
  const authorizerKey = generatePrivateKey();
  const payTo = newAccount().address.toLowerCase() as Address;
  const { name, version } = devnet.bank.token;
  /** What the facilitator does not do for now, and how: it says so, says that it did, or does it and never says so. */
  let spoilt: { what: "claim" | "settle"; how: "refused" | "told" | "unheard" } | null = null;
  let asked = { claim: 0, settle: 0 };
  let spoils = 0;
  const facilitator = await serveLocally(async (request) => {
    const { pathname } = new URL(request.url);
    const headers = { "content-type": "application/json" };
    const text = request.method === "POST" ? await request.text() : null;
    const what = (["claim", "settle"] as const).find((one) => text?.includes(`"type":"${one}"`) === true);
    if (what !== undefined) asked = { ...asked, [what]: asked[what] + 1 };
    const how = what !== undefined && what === spoilt?.what ? spoilt.how : null;
    const spoil = (body: string, status: number): Response => {
      spoils += 1;
      return new Response(body, { status, headers });
    };
    if (how === "refused") return spoil("gone", 503);
    if (how === "told") {
      const said = { success: true, transaction: `0x${"11".repeat(32)}`, network: payment.network };
      return spoil(JSON.stringify(said), 200);
    }
    const body = text === null ? {} : { body: text };
    const answer = await fetch(`${devnet.facilitatorUrl}${pathname}`, { method: request.method, headers, ...body });
    const said = await answer.text();
    if (how === null) return new Response(said, { status: answer.status, headers });
    spoils += 1;
    // Until the node is gone.
    await new Promise((resolve) => request.signal.addEventListener("abort", resolve));
    return new Response(null, { status: 503 });
  });
  served.push(facilitator);
  const database = join(market.directory, `node-${payTo}.db`);
  const options = {
    modelsDir: await packageModelsDirectory(),
    models: [{ name: "eth-risk", price: String(PRICE) }],
    enclave: null,
    records: { database },
  };
  const payment = {
    network: `eip155:${devnet.chainId}`,
    asset: devnet.token,
    domain: { name, version },
    payTo,
    facilitatorUrl: facilitator.origin,
    methods: ["voucher"],
  };
  const payer = await openVoucherPayer(market, { payTo, authorizerKey });
  return {
    database,
    async start({ claimSeconds = 300, ...more }: { claimSeconds?: number; dies?: boolean } = {}) {
      const channels = { authorizerKey, claimSeconds };
      const orders = { ...options, payment: { ...payment, channels }, ...more };
      const child = spawn(process.execPath, [worker.file], {
        env: { ...process.env, PROOF402_TEST_NODE: JSON.stringify(orders) },
        stdio: ["ignore", "pipe", "inherit"],
      });
      running.push(child);
      const [origin] = (await once(createInterface(child.stdout), "line")) as [string];
      const ended = once(child, "exit");
      return { origin, ended, kill: () => (child.kill("SIGKILL"), ended) };
    },
    /** Asks with a voucher over so much in all. */
    async ask(origin: string, sum: bigint, request = requestOf(Number(sum / PRICE))) {
      const { status, text } = await postPaid(origin, await payer.voucher(origin, sum), request);
      return { status, text };
    },
    /** What the seller was paid out. */
    earned: () => devnet.balanceOf(payTo),
    spoil: (what: "claim" | "settle", how: "refused" | "told" | "unheard") => void (spoilt = { what, how }),
    mend: () => void (spoilt = null),
    spoils: () => spoils,
    claims: () => asked.claim,
    /** When each channel's claims began to fail, ms; then, as if that had been so much earlier. */
    failingSince: (earlier = 0) => {
      const records = new LibsqlDatabase(database);
      records.exec("pragma busy_timeout = 60000");
      if (earlier > 0) records.prepare("update unclaimed set since = since - ?").run(earlier);
      const rows = records.prepare("select since from unclaimed").all() as { since: number }[];
      records.close();
      return rows.map(({ since }) => since);
    },
  };
}

describe("T78: vouchers that a node took and had not claimed when it was killed", () => {
  test("are claimed by the next process on its file, and paid out", async () => {
    const shop = await openShop();
    const first = await shop.start();
    for (const sum of [1n, 2n, 3n]) expect((await shop.ask(first.origin, sum * PRICE)).status).toBe(200);
    await first.kill();
    expect(await shop.earned()).toBe(0n);
    await shop.start();
    await vi.waitFor(async () => expect(await shop.earned()).toBe(3n * PRICE), PATIENCE);
  });

  test("are claimed though the facilitator does not at first", async () => {
    const shop = await openShop();
    const first = await shop.start();
    await shop.ask(first.origin, PRICE);
    await first.kill();
    shop.spoil("claim", "refused");
    await shop.start({ claimSeconds: 1 });
    await vi.waitFor(() => expect(shop.spoils()).toBeGreaterThan(0), PATIENCE);
    expect(await shop.earned()).toBe(0n);
    shop.mend();
    await vi.waitFor(async () => expect(await shop.earned()).toBe(PRICE), PATIENCE);
  });

  test("and had claimed, and not had paid out, are paid out by the next process", async () => {
    const shop = await openShop();
    shop.spoil("settle", "refused");
    const first = await shop.start({ claimSeconds: 1 });
    await shop.ask(first.origin, PRICE);
    await vi.waitFor(() => expect(shop.spoils()).toBeGreaterThan(0), PATIENCE);
    await first.kill();
    expect(await shop.earned()).toBe(0n);
    shop.mend();
    await shop.start();
    await vi.waitFor(async () => expect(await shop.earned()).toBe(PRICE), PATIENCE);
  });

  test("and whose claim was made unheard are not claimed again: they are paid out, and the next ones claimed", async () => {
    const shop = await openShop();
    shop.spoil("claim", "unheard");
    const first = await shop.start({ claimSeconds: 1 });
    await shop.ask(first.origin, PRICE);
    await vi.waitFor(() => expect(shop.spoils()).toBe(1), PATIENCE);
    await first.kill();
    expect([shop.claims(), await shop.earned()]).toEqual([1, 0n]);
    shop.mend();
    const { origin } = await shop.start({ claimSeconds: 1 });
    await vi.waitFor(async () => expect(await shop.earned()).toBe(PRICE), PATIENCE);
    expect(shop.claims()).toBe(1);
    expect((await shop.ask(origin, 2n * PRICE)).status).toBe(200);
    await vi.waitFor(async () => expect(await shop.earned()).toBe(2n * PRICE), PATIENCE);
    expect(shop.claims()).toBe(2);
  });

  test("are not taken a second time, and the channel goes on where it stood", async () => {
    const shop = await openShop();
    const first = await shop.start();
    for (const sum of [1n, 2n, 3n]) await shop.ask(first.origin, sum * PRICE);
    await first.kill();
    const { origin } = await shop.start();
    for (const sum of [1n, 2n, 3n])
      expect((await shop.ask(origin, sum * PRICE, requestOf(50 + Number(sum)))).status).toBe(402);
    expect((await shop.ask(origin, 4n * PRICE)).status).toBe(200);
  });

  test.each(["paid", "answered"])("one whose answer had not left is answered, and charged once (%s)", async (state) => {
    const shop = await openShop();
    const first = await shop.start({ dies: true });
    await expect(shop.ask(first.origin, PRICE)).rejects.toThrow("fetch failed");
    await first.ended;
    // A process may also end between the charge and the note of it.
    const records = new LibsqlDatabase(shop.database);
    records.prepare("update calls set state = ?").run(state);
    records.close();
    const { origin } = await shop.start();
    const answer = await shop.ask(origin, PRICE);
    expect(answer).toMatchObject({ status: 200, text: expect.stringContaining("eth-risk") as string });
    expect(await shop.ask(origin, PRICE)).toEqual(answer);
    expect((await shop.ask(origin, 2n * PRICE)).status).toBe(200);
  });
});

describe("T99: a facilitator that finds vouchers good and claims nothing for them", () => {
  test.each(["refused", "told"] as const)(
    "is served for on credit for a while and then no more, which is said, until it claims (%s)",
    async (how) => {
      const shop = await openShop();
      shop.spoil("claim", how);
      const { origin } = await shop.start({ claimSeconds: 1 });
      expect((await shop.ask(origin, PRICE)).status).toBe(200);
      await vi.waitFor(() => expect(shop.failingSince()).toHaveLength(1), PATIENCE);
      expect((await shop.ask(origin, 2n * PRICE)).status).toBe(200);
      shop.failingSince(600_000);
      expect(await shop.ask(origin, 3n * PRICE)).toMatchObject({
        status: 402,
        text: expect.stringContaining("channel_not_claimed") as string,
      });
      expect(await shop.earned()).toBe(0n);
      shop.mend();
      await vi.waitFor(async () => expect(await shop.earned()).toBe(2n * PRICE), PATIENCE);
      expect(shop.failingSince()).toEqual([]);
      expect((await shop.ask(origin, 3n * PRICE)).status).toBe(200);
    },
  );
});
