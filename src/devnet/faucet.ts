import type { Hono } from "hono";
import { lowered } from "../evidence/bytes.ts";
import type { Bank } from "./bank.ts";

/** What an address gets: 100 whole tokens. */
const BASE_UNITS = 100_000_000n;

/** Adds `POST /fund` to a devnet's server: play money, and coins for gas, for the `address` in the body's JSON. */
export function addFaucet(app: Hono, bank: Bank): void {
  app.post("/fund", async (c) => {
    const body = (await c.req.json<unknown>().catch(() => null)) as { address?: unknown } | null;
    const address = body?.address;
    if (typeof address !== "string" || !/^0x[0-9a-fA-F]{40}$/.test(address))
      return c.json({ error: "the body is not JSON with an address" }, 400);
    const funded = lowered(`0x${address.slice(2)}`);
    await bank.token.mint(funded, BASE_UNITS);
    await bank.fund(funded);
    return c.json({ symbol: bank.token.symbol, decimals: bank.token.decimals, amount: BASE_UNITS.toString() });
  });
}
