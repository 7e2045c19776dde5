import { requireSameTime, judge, NONCE_BYTES } from "../../buyer/attest.ts";
import { openMarket, type OpenMarket } from "../../buyer/listing.ts";
import { openChain, type Chain } from "../../chain/chain.ts";
import type { Config } from "../../config/schema.ts";
import type { Listing, Seller } from "../../market/types.ts";
import { loadWallet } from "../../payment/load-wallet.ts";
import type { Wallet } from "../../payment/wallet.ts";
import { isThere } from "../../files/write-new.ts";
import { openToRead, type Db } from "../../storage/database.ts";
import { isPostgres } from "../../storage/postgres-address.ts";
import { SCHEMA_VERSION } from "../../storage/migrations.ts";
import { createVerificationCache } from "../../verify/verification-cache.ts";
import { PATIENCE_SECONDS } from "./patience.ts";

/** A chain's newest block. Times in unix ms. */
export type Head = { number: bigint; time: number; readAt: number; latencyMs: number };
/** What a seller lists (null: it keeps no list), or why nothing is known of it. */
export type Listed = { listing: Listing | null; latencyMs: number } | { error: unknown; timedOut: boolean };
/** `absent`: it serves no attestation. `unjudged`: it lists no model to judge it for. */
export type Attestation =
  | { state: "good"; simulated: boolean }
  | { state: "absent" }
  | { state: "unjudged" }
  | { state: "bad"; error: unknown };

/** The things that checks look at. Each is asked for once, at its first use, and shared. */
export type Surroundings = {
  path: string;
  config: Config;
  env: Readonly<Record<string, string | undefined>>;
  market: OpenMarket;
  chains: ReadonlyMap<string, Chain>;
  wallet(): Promise<Wallet | null>;
  /** The database to read, with its schema; null where there is none yet. */
  database(): Promise<{ db: Db; schema: number } | null>;
  /** The database, where it can be read as this program's own. */
  records(): Promise<Db | null>;
  head(chain: Chain): Promise<Head>;
  listed(seller: Seller): Promise<Listed>;
  attestation(seller: Seller): Promise<Attestation>;
  close(): Promise<void>;
};

/** Opens nothing yet but the way to the sellers. */
export function surroundingsOf(
  path: string,
  config: Config,
  env: Readonly<Record<string, string | undefined>>,
): Surroundings {
  const clock = (): Date => new Date();
  const market = openMarket(config, clock);
  const session = createVerificationCache();
  const wallet = once(() => loadWallet({ ...config.wallet, env }));
  const database = once(async () =>
    isPostgres(config.database) || (config.database !== ":memory:" && (await isThere(config.database)))
      ? openToRead(config.database)
      : null,
  );
  const listed = onceFor(async (seller: Seller): Promise<Listed> => {
    const end = AbortSignal.timeout(PATIENCE_SECONDS * 1000);
    const began = performance.now();
    try {
      const listing = await market.providerOf(seller).listModels(seller, end);
      return { listing, latencyMs: Math.round(performance.now() - began) };
    } catch (error) {
      return { error, timedOut: end.aborted };
    }
  });
  const attestation = onceFor(async (configured: Seller): Promise<Attestation> => {
    const nonce = crypto.getRandomValues(new Uint8Array(NONCE_BYTES));
    try {
      const end = AbortSignal.timeout(PATIENCE_SECONDS * 1000);
      const provider = market.providerOf(configured);
      // Of several places the first stands for all.
      const [seller = configured] = (await provider.places?.(configured, end)) ?? [];
      const [found, told] = await Promise.all([provider.attest(seller, nonce, end), listed(configured)]);
      if (found === null) return { state: "absent" };
      const ctx = { config, session, clock };
      await requireSameTime(ctx, seller, found.evidence);
      const models = "listing" in told ? (told.listing?.models ?? []) : [];
      if (models.length === 0) return { state: "unjudged" };
      const wanted = seller.assurance === "signed" ? "signed" : "attested";
      let simulated = false;
      for (const model of models) {
        const judged = await judge(ctx, { seller, model }, found.evidence, wanted);
        if (!judged.ok) return { state: "bad", error: new Error(`${model.name}: ${judged.message}`) };
        ({ simulated } = judged.attested);
      }
      return { state: "good", simulated };
    } catch (error) {
      return { state: "bad", error };
    }
  });
  return {
    path,
    config,
    env,
    market,
    chains: new Map(config.networks.map((network) => [network.network, openChain(network)])),
    wallet,
    database,
    async records() {
      const opened = await database().catch(() => null);
      return opened?.schema === SCHEMA_VERSION ? opened.db : null;
    },
    head: onceFor((chain: Chain) =>
      chain.read(
        async (client): Promise<Head> => {
          const began = performance.now();
          const { number, timestamp } = await client.getBlock();
          const latencyMs = Math.round(performance.now() - began);
          return { number, time: Number(timestamp) * 1000, readAt: Date.now(), latencyMs };
        },
        { seconds: PATIENCE_SECONDS },
      ),
    ),
    listed,
    attestation,
    async close() {
      await market.http.close();
      const opened = await database().catch(() => null);
      await opened?.db.destroy();
    },
  };
}

function once<T>(work: () => Promise<T>): () => Promise<T> {
  let begun: Promise<T> | null = null;
  return () => (begun ??= work());
}

function onceFor<Key extends object, T>(work: (key: Key) => Promise<T>): (key: Key) => Promise<T> {
  const begun = new Map<Key, Promise<T>>();
  return (key) => {
    const known = begun.get(key) ?? work(key);
    begun.set(key, known);
    return known;
  };
}
