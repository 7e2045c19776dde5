import { setTimeout as sleep } from "node:timers/promises";
import type { Client, ClientConfig, Pool, PoolClient, types as pgTypes } from "pg";
import { PEERS, requirePeers } from "../peers.ts";
import { requireAddress } from "./postgres-address.ts";
import { PATIENCE_MS, toldAtOpening } from "./postgres-errors.ts";

async function driver() {
  const { default: pg } = await import("pg").catch((error: unknown) => {
    requirePeers(PEERS.postgres);
    throw error;
  });
  return pg;
}

const connection = (address: string): ClientConfig => ({
  connectionString: address,
  application_name: "proof402",
  connectionTimeoutMillis: PATIENCE_MS,
  keepAlive: true,
  keepAliveInitialDelayMillis: PATIENCE_MS,
});

/** Makes one connection outside of any pool, not opened yet. Throws as `openPool`. */
export async function openClient(address: string): Promise<Client> {
  requireAddress(address);
  const { Client: One } = await driver();
  return new One(connection(address));
}

/** Makes the connections of a process. Throws Proof402Error `config_invalid` and `peers_missing`. */
export async function openPool(
  address: string,
  max: number,
  /** How long one answer is waited for, ms; without an end where absent. */
  answerMs?: number,
): Promise<Pool> {
  requireAddress(address);
  const pg = await driver();
  const pool = new pg.Pool({
    ...connection(address),
    max,
    ...(answerMs === undefined ? {} : { query_timeout: answerMs }),
    allowExitOnIdle: true,
    types: { getTypeParser: parserOf(pg.types) },
  });
  // A connection that breaks between two statements is replaced at the next use.
  pool.on("error", () => undefined);
  pool.on("connect", (client) => client.on("error", () => undefined));
  return pool;
}

/** The driver's readers of values, but for 64-bit integers. Its own types know no such choice. */
const parserOf = ({ getTypeParser }: Types): Types["getTypeParser"] =>
  ((oid: number, format?: "text"): unknown => (oid === INT8 ? exact : (getTypeParser as Reader)(oid, format))) as never;
type Types = Pick<typeof pgTypes, "getTypeParser">;
type Reader = (oid: number, format?: "text") => unknown;

/** The type of 64-bit integers: times in ms, numbers of rows and counts. */
const INT8 = 20;

function exact(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value)) throw new RangeError(`${text} is no integer that a number holds exactly`);
  return value;
}

/** Hands out places in the order of asking. Their wait has no end: a long queue is no silent server. */
export function createPlaces(count: number): { take(): Promise<void>; give(): void } {
  const waiting: (() => void)[] = [];
  let free = count;
  return {
    async take() {
      if (free > 0) free -= 1;
      else await new Promise<void>((resolve) => waiting.push(resolve));
    },
    give() {
      const next = waiting.shift();
      if (next === undefined) free += 1;
      else next();
    },
  };
}

/** Connects, and waits for a server known from before: it may be starting again. */
export function connector(pool: Pool): () => Promise<PoolClient> {
  let answered = false;
  return async () => {
    const deadline = performance.now() + PATIENCE_MS;
    for (let wait = 20; ; wait = Math.min(wait * 2, 500)) {
      try {
        const client = await pool.connect();
        answered = true;
        return client;
      } catch (error) {
        const told = toldAtOpening(error);
        const passes = told.code === "database_unreachable" || told.code === "database_busy";
        if (!passes || !answered || performance.now() > deadline) throw told;
        await sleep(wait * (0.5 + Math.random()));
      }
    }
  };
}
