import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Buyer, BuyOptions, BuyResult } from "../../src/buyer/types.ts";
import type { ConfigInput } from "../../src/config/schema.ts";
import { Proof402Error } from "../../src/errors.ts";
import { serveLocally } from "../../src/devnet/index.ts";
import { openMarket, type Market } from "../support/devnet.ts";
import { mcpEntry, mcpSeller, type McpSeller } from "../support/mcp-seller.ts";
import { openPurse } from "./purse.ts";

const PRICE = 2500n;
const CHEAP = { assurance: "none" } as const;
const PLACE = { place: "Rome" };
let market: Market;
const ends: (() => Promise<void>)[] = [];
beforeAll(async () => {
  market = await openMarket({ chat: true });
});
afterAll(async () => {
  for (const end of ends.toReversed()) await end();
  await market.stop();
});

type Victim = {
  seller: McpSeller;
  buyer: Buyer;
  buy: (options?: BuyOptions) => Promise<BuyResult | Proof402Error>;
  /** What left the wallet, and how many authorizations were used. */
  lost: () => Promise<{ left: bigint; used: number }>;
  /** How many different authorizations the seller was shown. */
  shown: () => number;
};

async function victim(
  options: Parameters<typeof mcpSeller>[1],
  change: (config: ConfigInput) => void = () => undefined,
): Promise<Victim> {
  const seller = await mcpSeller(market, options);
  const purse = await openPurse(market, (config) => {
    config.sellers = [mcpEntry(market, seller) as NonNullable<ConfigInput["sellers"]>[number]];
    change(config);
  });
  const buyer = await purse.open();
  ends.push(
    () => seller.stop(),
    () => buyer.close(),
  );
  return {
    seller,
    buyer,
    buy: (more = {}) =>
      buyer.buy("forecast", PLACE, { ...CHEAP, ...more }).catch((error: unknown) => {
        if (Proof402Error.isInstance(error)) return error;
        throw error;
      }),
    async lost() {
      const { left, nonces } = await purse.chain();
      return { left, used: nonces.length };
    },
    shown: () => new Set(seller.calls.flatMap(({ _meta: meta }) => JSON.stringify(meta?.["x402/payment"]) ?? [])).size,
  };
}

const NOTHING = { left: 0n, used: 0 };
const ONCE = { left: PRICE, used: 1 };
const KEY = "one-call-of-a-tool";

describe("T194: a server that forgets its session in the middle of a paid call", () => {
  /** A server before the seller: it hands every request on until the first paid one came, and then takes over. */
  async function fronted(later: (text: string) => Response): Promise<Victim> {
    const taken: { origin?: string; isPaid: boolean } = { isPaid: false };
    const front = await serveLocally(async (request) => {
      const [text, headers] = [await request.text(), new Headers(request.headers)];
      for (const name of ["host", "content-length", "connection"]) headers.delete(name);
      if (taken.isPaid) return later(text);
      const answer = await fetch(`${taken.origin}/mcp`, { method: "POST", headers, body: text });
      const body = await answer.text();
      taken.isPaid = text.includes('"x402/payment"');
      if (taken.isPaid) return new Response("no session", { status: 404 });
      return new Response(body, { status: answer.status, headers: { "content-type": "application/json" } });
    });
    ends.push(() => front.stop());
    return victim({}, (config) => {
      const [entry] = config.sellers ?? [];
      Object.assign(taken, { origin: entry?.origin });
      Object.assign(entry ?? {}, { origin: front.origin });
    });
  }

  test("and answers no handshake after it took the payment: the error never says that nothing was sent", async () => {
    const one = await fronted(() => new Response("gone", { status: 500 }));
    const error = (await one.buy({ idempotencyKey: KEY })) as Proof402Error;
    expect(error).toMatchObject({ code: "seller_error", money: "may-move" });
    expect(error.message).not.toContain("was sent");
    expect([await one.lost(), one.shown()]).toEqual([ONCE, 1]);
  });

  test("and is waited for no longer by its caller: the error says that the call was sent", async () => {
    const caller = new AbortController();
    const one = await fronted(() => {
      caller.abort();
      return new Response("gone", { status: 500 });
    });
    const error = (await one.buy({ idempotencyKey: KEY, signal: caller.signal })) as Proof402Error;
    expect(error).toMatchObject({ code: "aborted", money: "may-move" });
    expect(error.message).not.toContain("was sent");
    expect(await one.lost()).toEqual(ONCE);
  });

  test.each([400, 404])("a whole response under HTTP %i is the answer, and the call is sent once", async (status) => {
    const one = await victim({
      async paid({ settle, result }) {
        const told = { resultType: "complete", ...result(await settle()) };
        return Response.json({ jsonrpc: "2.0", id: idIn(one.seller), result: told }, { status });
      },
    });
    expect(await one.buy()).toMatchObject({ answer: { text: "Fair weather in Rome." } });
    expect([await one.lost(), one.seller.calls.length]).toEqual([ONCE, 2]);
  });

  test("an error of the protocol under HTTP 400 is no lost session: an unpaid call is not sent twice", async () => {
    const one = await victim({
      unpaid: () =>
        Response.json(
          { jsonrpc: "2.0", id: idIn(one.seller), error: { code: -32_602, message: "bad" } },
          { status: 400 },
        ),
    });
    expect(await one.buy()).toMatchObject({ money: "not-moved" });
    expect([await one.lost(), one.seller.calls.length]).toEqual([NOTHING, 1]);
  });
});

const idIn = ({ texts }: McpSeller): unknown => (JSON.parse(texts.at(-1)!) as { id: unknown }).id;
