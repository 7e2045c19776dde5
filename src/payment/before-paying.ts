import type { Db } from "../storage/database.ts";
import { requireAsset } from "./asset-check.ts";
import { isUnread, type Chain } from "../chain/chain.ts";
import type { AssetPolicy } from "./policy.ts";

/** Longest that the chain may hold up a payment, seconds; without an answer it is made all the same. */
const PATIENCE_SECONDS = 2;
/** How long a look at the chain's clock is used as it is, and how long while another is under way, ms. */
const FRESH_MS = 60_000;
const USABLE_MS = 600_000;
/** How long a chain that did not answer is not asked again, ms. */
const UNREACHED_MS = 30_000;
/** How far the newest block of a chain that shows no next one may lie back and still tell the time, seconds. */
const RECENT_SECONDS = 30;

/** A chain's clock as it was read: unix seconds, and whether it runs on between blocks. */
type ChainClock = { time: number; runs: boolean };
/** `at` as of `performance.now()`; no clock where the chain did not answer. */
type Look = { at: number; clock: ChainClock | null };

const looks = new WeakMap<Chain, Look>();

/**
 * Conditions for signing an authorization: the RPC serves its configured chain, and the asset's token is as configured
 * ({@link requireAsset}). Both are read once and kept. A chain that does not answer holds up nothing for long: an
 * authorization is bound to its chain and its token, and moves nothing elsewhere.
 *
 * Returns the chain's own time in unix seconds, for the payment's end to be reckoned by; undefined where it is not known.
 * Throws Proof402Error `wrong_chain` or `asset_mismatch`.
 */
export async function beforePaying(options: {
  db: Db;
  chain: Chain;
  asset: AssetPolicy;
  now: Date;
}): Promise<number | undefined> {
  const { db, chain, asset, now } = options;
  const { at, clock } = await lookAtClock(chain);
  if (clock === null) return undefined;
  await requireAsset(db, chain, asset, PATIENCE_SECONDS);
  const time = Math.floor(clock.time + (performance.now() - at) / 1000);
  // The newest block of a chain that makes blocks only when they are needed says nothing of the time.
  return clock.runs || time > now.getTime() / 1000 - RECENT_SECONDS ? time : undefined;
}

/** Whether a chain answers, and is the one it is configured as: asked once, and believed for a while. */
export const answersInTime = (chain: Chain): Promise<boolean> =>
  lookAtClock(chain).then(
    ({ clock }) => clock !== null,
    () => false,
  );

async function lookAtClock(chain: Chain): Promise<Look> {
  const last = looks.get(chain);
  const age = performance.now() - (last?.at ?? -Infinity);
  if (last !== undefined && age < (last.clock === null ? UNREACHED_MS : FRESH_MS)) return last;
  const next = readClock(chain).then((clock) => {
    const look = { at: performance.now(), clock };
    looks.set(chain, look);
    return look;
  });
  if (last === undefined || last.clock === null || age > USABLE_MS) return next;
  // The next payment awaits what this look failed by.
  next.catch(() => looks.delete(chain));
  return last;
}

async function readClock(chain: Chain): Promise<ChainClock | null> {
  try {
    return await chain.read(
      async (client) => {
        const [latest, next] = await Promise.all([client.getBlock(), client.getPendingBlock().catch(() => null)]);
        const runs = next?.number !== null && next !== null && next.number > latest.number;
        return { time: Number(runs ? next.timestamp : latest.timestamp), runs };
      },
      { seconds: PATIENCE_SECONDS },
    );
  } catch (error) {
    if (isUnread(error)) return null;
    throw error;
  }
}
