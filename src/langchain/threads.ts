import type { Buyer } from "../buyer/types.ts";
import { createBudget, type Budget } from "../tools/budget.ts";

/** More than anyone has: a budget that only counts. */
export const UNBOUND = 1e12;
/** Most threads of a buyer that are held in memory: those used last. One that was dropped is read from its state again. */
const MAX_THREADS = 10_000;

/** Purchases by idempotency key, with the run each one counts to. */
type Spent = Record<string, { usd: string; run: string }>;

/** A thread's budget in this process, shared by all its runs. */
export type Thread = {
  /** The thread's budget, for the purchases of a run. */
  budgetFor(run: string): Budget;
  /** Counts the purchases of a state, unless this process counted them itself: then it knows them better. */
  merge(spent: Spent): void;
  /** All counted purchases. */
  counted(): Map<string, { usd: string; run: string }>;
  /** The counted amounts of a run. */
  countedBy(run: string): [key: string, usd: string][];
};

const byBuyer = new WeakMap<Buyer, Map<string, Thread>>();

/** The thread of an id, one per process for a buyer and limit. Without an id a new one. */
export function openThreads(buyer: Buyer, maxUsd: number | undefined, id: unknown): Thread {
  if (typeof id !== "string" && typeof id !== "number") return openThread(maxUsd);
  const threads = byBuyer.get(buyer) ?? new Map<string, Thread>();
  byBuyer.set(buyer, threads);
  const key = JSON.stringify([maxUsd ?? null, `${id}`]);
  const thread = threads.get(key) ?? openThread(maxUsd);
  threads.delete(key);
  threads.set(key, thread);
  const [oldest] = threads.keys();
  if (threads.size > MAX_THREADS && oldest !== undefined) threads.delete(oldest);
  return thread;
}

export function openThread(maxUsd: number | undefined): Thread {
  const budget = createBudget(maxUsd ?? UNBOUND, "this thread's budget");
  const runs = new Map<string, { run: string; isOwn: boolean }>();
  const counted: Thread["counted"] = () =>
    new Map([...budget.counted()].map(([key, usd]) => [key, { usd, run: runs.get(key)?.run ?? "" }]));
  return {
    budgetFor: (run) => ({
      ...budget,
      hold(cost, by) {
        budget.hold(cost, by);
        runs.set(cost.idempotencyKey, { run, isOwn: true });
      },
    }),
    merge(spent) {
      const before = budget.counted();
      for (const [key, { usd, run }] of Object.entries(spent)) {
        if (runs.get(key)?.isOwn === true || Number(usd) <= Number(before.get(key) ?? -1)) continue;
        // Another process paid on for the same call.
        budget.settle(key, 0n, budget);
        budget.take([[key, usd]]);
        runs.set(key, { run, isOwn: false });
      }
    },
    counted,
    countedBy: (run) => [...counted()].flatMap(([key, one]) => (one.run === run ? [[key, one.usd]] : [])),
  };
}
