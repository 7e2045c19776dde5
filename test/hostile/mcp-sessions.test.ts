import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ConfigInput } from "../../src/config/schema.ts";
import type { Proof402Error } from "../../src/errors.ts";
import { serveLocally } from "../../src/devnet/index.ts";
import { openMarket, type Market } from "../support/devnet.ts";
import type { mcpSeller, McpSeller } from "../support/mcp-seller.ts";
import { KEY, mcpVictim, NOTHING, ONCE, type Victim } from "./mcp-victim.ts";

let market: Market;
const ends: (() => Promise<void>)[] = [];
beforeAll(async () => {
  market = await openMarket({ chat: true });
});
afterAll(async () => {
  for (const end of ends.toReversed()) await end();
  await market.stop();
});

const victim = (...[options, change]: [Parameters<typeof mcpSeller>[1], ((config: ConfigInput) => void)?]) =>
  mcpVictim({ market, ends }, options, change);

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
