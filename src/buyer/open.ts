import { loadConfig } from "../config/load.ts";
import type { Config } from "../config/schema.ts";
import { createEzklEngine } from "../ezkl/engine.ts";
import { openChain } from "../chain/chain.ts";
import { loadWallet } from "../payment/load-wallet.ts";
import { reconcile } from "../payment/reconcile.ts";
import type { Wallet } from "../payment/wallet.ts";
import { Proof402Error } from "../errors.ts";
import type { Receipt, Verdict } from "../receipts/schema.ts";
import { auditLog } from "../receipts/log.ts";
import { listReceipts } from "../receipts/store.ts";
import { openDatabase, type Db } from "../storage/database.ts";
import { createVerificationCache } from "../verify/verification-cache.ts";
import { answerOf, inputOf } from "./answer.ts";
import { createActions } from "./actions.ts";
import { createChannelLeases } from "./channel-leases.ts";
import { createClaims } from "./claims.ts";
import { createDecisions } from "./decide.ts";
import { createReceiptEvents, verdictChanges, type BuyerContext } from "./context.ts";
import { JOB_HANDLERS } from "./background/jobs/handlers.ts";
import { holdUnserved, releaseHold, viewSellers } from "./holds.ts";
import { importJudged } from "./import.ts";
import { judgeAgain } from "./judge.ts";
import { newestAppraisal } from "../receipts/newest.ts";
import { openMarket, viewModels } from "./listing.ts";
import { buyQuorum } from "./quorum/quorum.ts";
import { openNonceSecret } from "./one-database.ts";
import { createQuestions } from "./questions.ts";
import { openQueue } from "./background/open-queue.ts";
import { createQuoteCache } from "./quotes.ts";
import { readArguments } from "./request.ts";
import { startSecondClock } from "./background/clock.ts";
import { createCallCosts, viewSpending } from "./spending.ts";
import type { Buyer, BuyArguments, BuyOptions, BuyRequest, BuyResult } from "./types.ts";
import { createCalls } from "./under-way.ts";
import { waitEnded, waitForVerdict, whatCame } from "./background/wait.ts";

/** How long `wait: "verified"` waits for the second clock, seconds. */
const VERIFIED_WAIT_SECONDS = 55;

/** What a buyer is opened with. The environment gives what is left out. */
export type OpenOptions = {
  /** Where absent, `loadConfig` reads it: from `PROOF402_CONFIG`, else from the home folder. */
  config?: Config | undefined;
  /** Where absent, `loadWallet` reads it: from `PROOF402_PRIVATE_KEY`, else from the configuration's file. Null for none. */
  wallet?: Wallet | null | undefined;
  /** Told of every stored verdict that differs from the one before it, the first included. What it throws is dropped. */
  onVerdict?: ((change: { receipt: Receipt; verdict: Verdict }) => void) | undefined;
  /** Does the background work of all processes over the database; on a server it shares it with other workers. */
  worker?: boolean | undefined;
  /** For tests. */
  clock?: (() => Date) | undefined;
};

/**
 * Opens the buyer over its one SQLite file and starts the second clock. Without a wallet it can list, keep and verify,
 * but not buy.
 *
 * Throws the driver's error when the database cannot be opened, Proof402Error `tls_unchecked`, and what `loadConfig` and
 * `loadWallet` throw.
 *
 * @example
 * ```ts
 * import { openBuyer } from "proof402";
 *
 * await using buyer = await openBuyer();
 * const features = [-0.012, -0.034, -0.081, 0.62, 0.74, -0.19, 1.8, 0.21];
 * const { verdict, answer } = await buyer.buy("eth-risk", { features }, { assurance: "attested", wait: "verified" });
 * if (verdict === "verified") process.stdout.write(JSON.stringify(answer));
 * ```
 */
export async function openBuyer(options: OpenOptions = {}): Promise<Buyer> {
  const config = options.config ?? (await loadConfig());
  const wallet =
    options.wallet === undefined ? await loadWallet({ ...config.wallet, env: process.env }) : options.wallet;
  const clock = options.clock ?? ((): Date => new Date());
  const chains = new Map(config.networks.map((network) => [network.network, openChain(network)]));
  const db = await openDatabase(config.database);
  const market = openMarket(config, clock);
  const { nonces, queue } = await orClosed(db, async () => ({
    nonces: await openNonceSecret(db, wallet, config),
    queue: await openQueue(db, config, options),
  }));
  const ctx: BuyerContext = {
    config,
    db,
    wallet,
    clock,
    ...market,
    quotes: createQuoteCache(config.market.quoteSeconds * 1000),
    chains,
    ...nonces,
    session: createVerificationCache(),
    ezkl: createEzklEngine(),
    events: createReceiptEvents(),
    attestations: new Map(),
    funds: new Map(),
    handlers: JOB_HANDLERS,
    queue,
    channelLeases: createChannelLeases({ db, clock }),
    wakeSecondClock: () => secondClock.wake(),
  };
  const { onVerdict } = options;
  if (onVerdict !== undefined) ctx.events.on(verdictChanges(onVerdict));
  const secondClock = startSecondClock(ctx);
  const calls = createCalls(ctx);
  const { actions, isActing } = createActions(ctx);
  let closed: Promise<void> | null = null;
  const close = (): Promise<void> =>
    (closed ??= (async () => {
      await calls.drain();
      await secondClock.stop();
      await ctx.channelLeases.close();
      await queue.close();
      await market.http.close();
      await db.destroy();
    })());

  const buyOne = (request: BuyRequest, buyOptions: BuyOptions, most?: number): Promise<BuyResult> =>
    calls.make(
      request,
      buyOptions,
      async (result, call, closing) => {
        const { wait } = request;
        const { signal } = buyOptions;
        if (wait !== "verified" || !result.stored) return result;
        const receipt = await waitForVerdict(ctx, result.receipt.id, {
          waitSeconds: VERIFIED_WAIT_SECONDS,
          onLanded: (one) => call.progress("landed", whatCame(one)),
          signal: signal === undefined ? closing : AbortSignal.any([signal, closing]),
        }).catch((error: unknown) => {
          throw waitEnded(error, result.receipt.id);
        });
        const appraisal = newestAppraisal(receipt);
        return { ...result, verdict: appraisal.verdict, receipt, appraisal };
      },
      most,
    );
  const buy = (async (...given: BuyArguments) => {
    const { request, options: buyOptions } = readArguments(given);
    const { quorum, ...one } = request;
    return quorum === undefined ? buyOne(one, buyOptions) : buyQuorum(ctx, buyOne, { ...one, quorum }, buyOptions);
  }) as Buyer["buy"];

  return {
    warnings: ctx.warnings,
    tokens: config.payment.assets,

    listModels: (listOptions = {}) => viewModels(ctx, listOptions),

    buy,

    getReceipt: (id, { waitSeconds = 0, settled, signal } = {}) =>
      waitForVerdict(ctx, id, { waitSeconds, settled, signal }),

    listReceipts: ({ limit = 50 } = {}) => listReceipts(db, { limit }),

    verify: (receipt, verifyOptions = {}) => judgeAgain(ctx, receipt, verifyOptions),

    inputOf,
    answerOf,

    spending: (options) => viewSpending(ctx, options),
    ...createCallCosts(ctx),

    async reconcile() {
      const summary = await reconcile({ db, chains: ctx.chains, now: clock() });
      await holdUnserved(ctx);
      return summary;
    },

    audit: () => auditLog(db),

    async importReceipt(receipt) {
      const stored = await importJudged(ctx, receipt);
      ctx.events.emit(stored);
      return stored;
    },

    ...createClaims(ctx, isActing),
    actions,
    ...createDecisions(ctx),
    ...createQuestions(db, clock),

    sellers: () => viewSellers(db, config.sellers),

    async releaseSeller(id) {
      if (await releaseHold(db, id, clock().getTime())) return;
      throw new Proof402Error("seller_not_on_hold", `No seller "${id.slice(0, 64)}" is on hold.`, {
        next: "List the sellers to see which are.",
      });
    },

    onReceipt: (listener) => ctx.events.on(listener),

    close,
    [Symbol.asyncDispose]: close,
  };
}

async function orClosed<T>(db: Db, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    await db.destroy();
    throw error;
  }
}
