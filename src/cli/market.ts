import type { Command } from "commander";
import { openMarket, viewModels } from "../buyer/listing.ts";
import { listModels, spending } from "../tools/index.ts";
import { busy } from "./progress.ts";
import { wholeNumber } from "./numbers.ts";
import { runTool } from "./run-tool.ts";
import { globals, note } from "./globals.ts";
import { configOf, withBuyer, withStore } from "./session.ts";

/** `proof402 models`: the sellers' lists, and the sellers on hold. Asks no chain and opens no wallet. */
export async function showModels(model: string | undefined, _options: unknown, command: Command): Promise<number> {
  const { json = false, ...rest } = globals(command);
  const config = await configOf(rest);
  const market = openMarket(config, () => new Date());
  try {
    return await withStore(rest, (db) => {
      const buyer = { listModels: (options = {}) => viewModels({ ...market, config, db }, options) };
      return runTool(listModels, model === undefined ? {} : { model }, { buyer, json });
    });
  } finally {
    await market.http.close();
  }
}

/** `proof402 spending`. With `--reconcile` every open authorization is first looked up on chain. */
export async function showSpending(
  options: { reconcile?: boolean; limit: string; skip: string },
  command: Command,
): Promise<number> {
  const { json = false, ...rest } = globals(command);
  const limit = wholeNumber(options.limit, "--limit", { from: 1, to: 1000 });
  const skip = wholeNumber(options.skip, "--skip", { from: 0, to: 999_999_999 });
  return withBuyer(rest, async (buyer) => {
    if (options.reconcile === true) {
      const summary = await busy("Asking the chains about open payments", () => buyer.reconcile());
      note(`Reconciled: ${summary.settled} settled, ${summary.released} released, ${summary.pending} still open.`);
      if (summary.unreachable.length > 0) note(`Not reached: ${summary.unreachable.join(", ")}.`);
      if (summary.contradicted.length > 0) {
        note(
          `Contradicted: ${summary.contradicted.join(", ")}. What this RPC shows is not what was seen before, so nothing is released on it; a witnessRpcUrl that agrees decides.`,
        );
      }
      if (summary.overcharged.length > 0)
        note(`A token moved more than was authorized in: ${summary.overcharged.join(", ")}.`);
    }
    return runTool(spending, { limit, skip }, { buyer, json });
  });
}
