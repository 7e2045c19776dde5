import { readFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import * as z from "zod";

/** A whole number of base units, written as text. */
const amount = z
  .string()
  .regex(/^\d{1,40}$/)
  .transform(BigInt);
const address = z.string().regex(/^0x[0-9a-fA-F]{40}$/) as unknown as z.ZodType<`0x${string}`>;

/** What `bot.json` says. ETH amounts in wei (18 decimals), money in base units of its token. Files lie beside it. */
const schema = z.strictObject({
  /** Names the bot: in the keys of its purchases, its actions and its decisions. Another bot has another name. */
  name: z.string().regex(/^[a-z0-9-]{1,40}$/),
  chain: z.strictObject({ rpcUrl: z.url(), id: z.int().positive() }),
  pool: address,
  traderKeyFile: z.string(),
  database: z.string(),
  /** Of the invented market, and its first day. A round is a day. */
  seed: z.int(),
  firstDay: z.int().min(0),
  /** Ends after so many rounds; never, if left out. */
  rounds: z.int().positive().optional(),
  /** Between rounds, and between tries of one that waits. */
  everySeconds: z.number().min(0.02),
  limits: z.strictObject({
    stepEth: amount,
    positionEth: amount,
    /** A round that could lead above this position needs a proof; below it an attested answer will do. */
    provenAboveEth: amount,
    slippageBps: z.int().min(1).max(1000),
    maxAgeSeconds: z.int().positive(),
    /** Answers asked for in one round before it ends without a trade. */
    answers: z.int().min(1).max(10),
  }),
  /** The alarm rings when less than this is left, of the caps or of the wallet. */
  topUpBelow: amount,
  /** Of `/metrics` on 127.0.0.1. 0 takes a free one. */
  metricsPort: z.int().min(0).max(65535),
});

export type Settings = z.infer<typeof schema>;
export type Limits = Settings["limits"];

/** Reads a file of settings. Paths in it are beside it. */
export async function readSettings(path: string): Promise<Settings> {
  const settings = schema.parse(JSON.parse(await readFile(path, "utf8")));
  const beside = (name: string): string => resolve(dirname(path), name);
  return {
    ...settings,
    traderKeyFile: beside(settings.traderKeyFile),
    database: beside(settings.database),
  };
}
