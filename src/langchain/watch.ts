import { AsyncLocalStorage } from "node:async_hooks";
import type { Buyer } from "../buyer/types.ts";
import { buyWithin, type Budget } from "../tools/budget.ts";
import type { ToolDefinition, ToolOutcome, ToolContext } from "../tools/definition.ts";

/** What watches the purchases within a tool call, those of nested agents included. */
export type Watch = {
  budgets: readonly Budget[];
  /** Told of each receipt that a tool gives. Never throws. */
  seen(receiptId: string): Promise<void>;
};

const here = new AsyncLocalStorage<readonly Watch[]>();

/** Runs a tool call under a watch, and under those around it. */
export const watched = <Result>(watch: Watch, work: () => Result): Result =>
  here.run([...(here.getStore() ?? []), watch], work);

/** Runs one of proof402's tools under the watches here. */
export async function runWatched(
  { annotations }: ToolDefinition,
  buyer: Buyer,
  run: (admit: ToolContext["admit"]) => Promise<ToolOutcome<unknown>>,
): Promise<ToolOutcome<unknown>> {
  const watches = here.getStore() ?? [];
  const budgets = annotations.readOnlyHint ? [] : [...new Set(watches.flatMap((one) => one.budgets))];
  const outcome = await buyWithin(buyer, budgets, run);
  const receipt = outcome.status === "ok" ? (outcome.data as { receipt?: { id: string } }).receipt : undefined;
  if (receipt !== undefined) for (const watch of watches) await watch.seen(receipt.id);
  return outcome;
}
