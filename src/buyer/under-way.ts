import { stat } from "node:fs/promises";
import { Proof402Error } from "../errors.ts";
import { openDatabase } from "../storage/database.ts";
import { isPostgres } from "../storage/postgres-address.ts";
import { pendingApproval } from "./pending-approval.ts";
import { aborted, namesOf, openCall, type Call } from "./call.ts";
import { noteTold } from "./calls.ts";
import type { BuyerContext } from "./context.ts";
import { holdUnserved } from "./holds.ts";
import { isServed } from "../receipts/transfer.ts";
import { withMoney } from "./money.ts";
import { purchase } from "./purchase.ts";
import type { BuyOptions, BuyRequest, BuyResult } from "./types.ts";

/** `closing` ends what it waits for: the buyer is being closed. */
type Finish = (result: BuyResult, call: Call, closing: AbortSignal) => Promise<BuyResult>;

/** The calls of one process. */
export type Calls = {
  /**
   * Makes a call, then has `finish` turn its result into what the caller gets. The call's error states the fate of its
   * money. `most` is its part of a larger call's bound, USD. A caller that gives up after the payment went out ends its own waiting and nothing else.
   */
  make(request: BuyRequest, options: BuyOptions, finish: Finish, most?: number): Promise<BuyResult>;
  /** Takes no more calls, ends what waits for a verdict, and resolves once the last exchange has come to its end. */
  drain(): Promise<void>;
};

/** Runs calls of one key one after another: each finds in the journal what the one before it came to. */
export function createCalls(ctx: BuyerContext): Calls {
  const underWay = new Map<string, Promise<unknown>>();
  /** Calls, and exchanges that their callers no longer wait for. */
  const running = new Set<Promise<unknown>>();
  const closing = new AbortController();

  const tracked = <T>(work: Promise<T>): Promise<T> => {
    const ended = work.catch(() => undefined).finally(() => running.delete(ended));
    running.add(ended);
    return work;
  };

  const inTurn = async (call: Call): Promise<BuyResult> => {
    for (let before = underWay.get(call.key); before !== undefined; before = underWay.get(call.key)) {
      await orStopped(call, before);
    }
    const work = purchase(ctx, call).finally(() => underWay.delete(call.key));
    underWay.set(
      call.key,
      work.catch(() => undefined),
    );
    return work;
  };

  const make: Calls["make"] = async (request, options, finish, most) => {
    let call: Call | null = null;
    try {
      call = await openCall(ctx, request, options, closing.signal, most);
      const result = await whileWanted(call, tracked(inTurn(call)));
      if (!isServed(result.receipt.core)) await holdUnserved(ctx).catch(() => undefined);
      call.parts.tellRest(result.receipt);
      const finished = await finish(result, call, closing.signal);
      // A caller that gave up in this moment is not told: an equal call gets the answer. So it does where no copy was stored.
      const told = (): boolean => finished.stored && options.signal?.aborted !== true;
      await noteTold(ctx, call.key, told).catch(() => undefined);
      return finished;
    } catch (error) {
      const keys = call === null ? await namesOf(ctx, request) : [call.key];
      const told = await withMoney(ctx, keys, error, request.client);
      if (told.money !== "not-moved") await holdUnserved(ctx).catch(() => undefined);
      // With nothing at stake there is nothing to take up, unless a person is asked about it: an equal call is a new one. The note
      // is another's to make while one still makes the call.
      const { key } = call ?? {};
      if (key !== undefined && told.money === "not-moved" && pendingApproval(told) === null)
        await noteTold(ctx, key, () => !underWay.has(key)).catch(() => undefined);
      throw told;
    }
  };

  return {
    make: (request, options, finish, most) =>
      closing.signal.aborted ? refuseClosed(ctx, request) : tracked(make(request, options, finish, most)),

    async drain() {
      closing.abort();
      while (running.size > 0) await Promise.all(running);
    },
  };
}

/** Waits for the work, or until the caller gives up. Work that has paid goes on without the caller. */
function whileWanted<T>(call: Call, work: Promise<T>): Promise<T> {
  const { signal } = call.options;
  if (signal === undefined) return work;
  return new Promise((resolve, reject) => {
    const onAbort = (): void => {
      // Before the payment is sent the work itself ends, and says how far it had come.
      call.stop();
      if (call.committed()) reject(aborted());
    };
    if (signal.aborted) onAbort();
    else signal.addEventListener("abort", onAbort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}

/** Waits for an earlier call of the same key. Throws Proof402Error `aborted` when the caller gives up first. */
function orStopped(call: Call, before: Promise<unknown>): Promise<void> {
  call.goOn();
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(aborted());
    call.signal.addEventListener("abort", onAbort, { once: true });
    void before.then(() => {
      call.signal.removeEventListener("abort", onAbort);
      resolve();
    });
  });
}

/**
 * The fate of the call's money stands in the file, read once more: this buyer is giving up its own hold on it. Where
 * the journal was in memory, or its file is gone, that can be read no more.
 */
async function refuseClosed(ctx: BuyerContext, request: BuyRequest): Promise<never> {
  const error = new Proof402Error("buyer_closed", "This buyer is closed.", {
    next: "Open a buyer again and call with the same idempotency key: nothing is paid twice.",
  });
  const { database } = ctx.config;
  const isThere = isPostgres(database) ? Promise.resolve() : stat(database);
  const again = await isThere.then(() => openDatabase(database)).catch(() => null);
  try {
    const reading = again === null ? ctx : { ...ctx, db: again };
    throw await withMoney(reading, await namesOf(reading, request), error, request.client);
  } finally {
    await again?.destroy();
  }
}
