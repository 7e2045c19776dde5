import { join } from "node:path";
import type { Hex } from "viem";
import * as z from "zod";
import { openRpc } from "../chain/rpc.ts";
import { Proof402Error } from "../errors.ts";
import { fromHex0x, sha256, toHex, toHex0x, utf8 } from "../evidence/bytes.ts";
import { readTextFile } from "../files/read-file.ts";
import { fileExists, removeOwn, writeNew } from "../files/write-new.ts";
import type { Devnet } from "./devnet.ts";

const KEY = "buyer.key";
const CONFIG = "proof402.config.json";
const MARKER = "proof402.devnet.json";
const MAX_BYTES = 1_000_000;

/** Says of a folder's files that a devnet wrote them: SHA-256 hex by name. What was changed since is its owner's. */
const markerSchema = z.strictObject({
  about: z.string(),
  files: z.strictObject({ [KEY]: z.string(), [CONFIG]: z.string() }),
  /** Gives play money to an address. */
  faucet: z.url().optional(),
  /** The id of the market's process. */
  process: z.int().positive().optional(),
});
/** The chain and the token of a market's configuration. */
const placeSchema = z.object({
  networks: z.tuple([z.object({ rpcUrl: z.url() })], z.unknown()),
  payment: z.object({ assets: z.tuple([z.object({ asset: z.string() })], z.unknown()) }),
});
const ABOUT = "These files are a devnet's own: play money, and written again when it starts again here.";

/**
 * Reads the buyer's key left in a folder by an earlier devnet, for the next one there; null without one. Throws
 * Proof402Error `file_exists` or `config_exists` where a devnet's files would take the place of somebody's own.
 *
 * @example
 * ```ts
 * import { readDevnetKey } from "proof402/devnet";
 *
 * const key = await readDevnetKey("market");
 * ```
 */
export const readDevnetKey = async (directory: string): Promise<Hex | null> => (await look(directory)).key;

/** What is in a folder by a devnet's names, all of it as a devnet wrote it. */
async function look(directory: string): Promise<{ key: Hex | null; own: string[] }> {
  const [marker, key, config] = await Promise.all([MARKER, KEY, CONFIG].map((name) => readText(join(directory, name))));
  const ours = marker == null ? null : readMarker(marker);
  if (marker != null && ours === null) throw fileExists(join(directory, MARKER));
  if (config != null && ours?.files[CONFIG] !== hashOf(config)) throw configExists(join(directory, CONFIG));
  if (key != null && ours?.files[KEY] !== hashOf(key)) throw fileExists(join(directory, KEY));
  const own = Object.entries({ [MARKER]: marker, [KEY]: key, [CONFIG]: config });
  return {
    key: key == null ? null : toHex0x(fromHex0x(key.trim())),
    own: own.flatMap(([name, text]) => (text == null ? [] : [name])),
  };
}

/**
 * Writes `proof402.config.json` and the buyer's key (readable by the owner only) into a new directory, or into one
 * written by a devnet of the same key. Throws Proof402Error `file_exists` or `config_exists` for any other file in
 * their place. Returns the configuration's path, and those of all its files in `files`.
 *
 * @example
 * ```ts
 * import { startDevnet, writeDevnet } from "proof402/devnet";
 *
 * const market = await startDevnet();
 * const { config } = await writeDevnet(market, "market");
 * process.stdout.write(`PROOF402_CONFIG=${config}`);
 * ```
 */
export async function writeDevnet(devnet: Devnet, directory: string): Promise<{ config: string; files: string[] }> {
  const { key, own } = await look(directory);
  if (key !== null && key !== devnet.privateKey) throw fileExists(join(directory, KEY));
  const config = join(directory, CONFIG);
  const texts = {
    [KEY]: `${devnet.privateKey}\n`,
    [CONFIG]: `${JSON.stringify({ ...devnet.settings, wallet: { privateKeyFile: KEY } }, null, 2)}\n`,
  };
  const marker = {
    about: ABOUT,
    faucet: `${devnet.facilitatorUrl}/fund`,
    process: process.pid,
    files: { [KEY]: hashOf(texts[KEY]), [CONFIG]: hashOf(texts[CONFIG]) },
  };
  for (const name of own) if (name !== KEY) await removeOwn(join(directory, name));
  await writeNew(join(directory, MARKER), `${JSON.stringify(marker, null, 2)}\n`);
  if (key === null) await writeNew(join(directory, KEY), texts[KEY], { mode: 0o600 });
  await writeNew(config, texts[CONFIG]);
  return { config, files: [config, join(directory, KEY), join(directory, MARKER)] };
}

/** A market by the files in its folder. */
export type LeftDevnet = { config: string; faucet: string | null; process: number | null; isRunning: boolean };

/** Reads a folder's market and asks its chain for a sign of life. Gives null for a folder without one. */
export async function readDevnet(directory: string): Promise<LeftDevnet | null> {
  const config = join(directory, CONFIG);
  const [marker, text] = await Promise.all([readText(join(directory, MARKER)), readText(config)]);
  const ours = marker === null ? null : readMarker(marker);
  if (ours === null) return null;
  const { faucet = null, process: its = null } = ours;
  return { config, faucet, process: its, isRunning: text !== null && (await hasToken(text)) };
}

/** The longest silence of a live chain, ms. A dead one takes no connection. */
const SILENT_MS = 20_000;

/** Tells a live market by its token on its chain: another chain may have the port. */
async function hasToken(config: string): Promise<boolean> {
  try {
    const { networks, payment } = placeSchema.parse(JSON.parse(config));
    const ask = openRpc({ url: networks[0].rpcUrl, timeoutMs: SILENT_MS, retries: 0 });
    const code = await ask("eth_getCode", [payment.assets[0].asset, "latest"]);
    return typeof code === "string" && code !== "0x";
  } catch {
    return false;
  }
}

const hashOf = (text: string): string => toHex(sha256(utf8(text)));

/** Reads a file's text; null if there is no file. What cannot be read is somebody's own. */
async function readText(path: string): Promise<string | null> {
  const read = await readTextFile(path, { maxBytes: MAX_BYTES, denied: 0 });
  if ("text" in read) return read.text;
  if (read.problem === "missing") return null;
  throw fileExists(path);
}

function readMarker(text: string): z.infer<typeof markerSchema> | null {
  try {
    return markerSchema.parse(JSON.parse(text));
  } catch {
    return null;
  }
}

const configExists = (path: string): Proof402Error =>
  new Proof402Error("config_exists", `${path} is not a devnet's own configuration and is not written over.`, {
    next: "Name another directory with --dir.",
    details: { path },
  });
