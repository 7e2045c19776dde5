import { keyIdOfPoint } from "../evidence/oyster.ts";
import type { Config } from "../config/schema.ts";
import type { Http } from "../http/client.ts";
import type { CarrierOf } from "../market/carriers/carriers.ts";
import type { Catalog } from "../market/catalog.ts";
import type { Provider, Seller } from "../market/types.ts";
import type { Chain } from "../chain/chain.ts";
import type { Funds } from "../payment/funds.ts";
import type { Wallet } from "../payment/wallet.ts";
import type { Assurance, Evidence, Receipt, Verdict } from "../receipts/schema.ts";
import type { Db } from "../storage/database.ts";
import type { AppraisalPolicy, SellerPolicy } from "../verify/policy.ts";
import type { VerificationCache } from "../verify/verification-cache.ts";
import type { EzklEngine } from "../verify/types.ts";
import type { JobHandler } from "./background/jobs/types.ts";
import type { JobQueue } from "./background/queue.ts";
import type { ChannelLeases } from "./channel-leases.ts";
import type { QuoteCache } from "./quotes.ts";
import { tell } from "./tell.ts";
import type { Warning } from "./types.ts";

/** What the rooms of one buyer share. Made once by `openBuyer`. */
export type BuyerContext = {
  config: Config;
  db: Db;
  http: Http;
  catalog: Catalog;
  quotes: QuoteCache;
  providerOf: (seller: Pick<Seller, "provider">) => Provider;
  carrierOf: CarrierOf;
  /** Chain per CAIP-2 network. */
  chains: ReadonlyMap<string, Chain>;
  wallet: Wallet | null;
  /** Nonces are derived from it (docs/architecture.md §6.5). */
  nonceSecret: string;
  warnings: readonly Warning[];
  session: VerificationCache;
  /** Checks EZKL proofs. */
  ezkl: EzklEngine;
  clock: () => Date;
  events: ReceiptEvents;
  /** Attestation evidence by seller id, as the database holds it or fresher. */
  attestations: Map<string, KeptAttestation>;
  /** What the second clock waits for, and its durable queue. */
  handlers: readonly JobHandler<BuyerContext>[];
  queue: JobQueue;
  channelLeases: ChannelLeases;
  /** The wallet's balances as seen last. */
  funds: KnownFunds;
  /** Makes the background worker look at its queue now. */
  wakeSecondClock: () => void;
};

/** Attestation evidence, when it was fetched, and when the machine was started by the clock of then, unix ms. */
export type KeptAttestation = { evidence: Evidence[]; fetchedAt: number; startedAt: number | null };

/** The wallet's funds as the chain showed them last, per network and asset. */
type KnownFunds = Map<string, Funds>;

/** Tells listeners about stored changes of receipts. */
export type ReceiptEvents = {
  emit: (receipt: Receipt) => void;
  on: (listener: (receipt: Receipt) => unknown) => () => void;
};

/** Listeners must not be able to break a purchase: what they throw or reject with is dropped. */
export function createReceiptEvents(): ReceiptEvents {
  const listeners = new Set<(receipt: Receipt) => unknown>();
  return {
    emit(receipt) {
      for (const listener of listeners) tell(listener, receipt);
    },
    on(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

/** A listener that is told of a receipt only where its newest verdict is not the one before. */
export const verdictChanges =
  (listener: (change: { receipt: Receipt; verdict: Verdict }) => void) =>
  (receipt: Receipt): void => {
    const [before, newest] = [receipt.appraisals.at(-2), receipt.appraisals.at(-1)];
    if (newest !== undefined && newest.verdict !== before?.verdict)
      tell(listener, { receipt, verdict: newest.verdict });
  };

/** A seller's reference values, and what the configuration says of it itself. */
const sellerPolicyOf = ({
  reference,
  origin,
  path,
  registry,
  provider,
  payTo,
  facilitators,
  former,
  channel,
  signingKey,
}: Seller): SellerPolicy => ({
  ...reference,
  keyIds: [...reference.keyIds, ...(signingKey === undefined ? [] : [keyIdOfPoint(signingKey)])],
  ...(origin === undefined ? {} : { origin }),
  ...(path === undefined ? {} : { path }),
  ...(registry === undefined ? {} : { registry }),
  provider,
  payees: payTo,
  facilitators,
  ...(former.length === 0 ? {} : { former: former.map(({ payTo: payees, ...rest }) => ({ ...rest, payees })) }),
  ...(channel === undefined ? {} : { channel }),
});

/** The appraisal policy of this configuration for one wanted assurance. */
export const appraisalPolicyOf = (config: Config, assurance: Assurance): AppraisalPolicy => ({
  assurance,
  simulatedRoots: config.verification.simulatedRoots,
  developmentSetups: config.verification.developmentSetups,
  sellers: Object.fromEntries(config.sellers.map((seller) => [seller.id, sellerPolicyOf(seller)])),
  assets: config.payment.assets.map(({ network, asset, decimals, domain }) => ({ network, asset, decimals, domain })),
  reportedSuffices: config.verification.reportedSuffices,
  maxAttestationAgeSeconds: config.verification.maxAttestationAgeSeconds,
  clockSkewSeconds: config.verification.clockSkewSeconds,
  replayTolerance: config.verification.replayTolerance,
});

/** How often the quickest of the configured chains is looked at, ms. */
export const pollMilliseconds = (config: Config): number =>
  Math.min(...config.networks.map((network) => network.pollMilliseconds));
