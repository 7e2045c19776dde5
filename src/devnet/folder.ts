import { join } from "node:path";
import type { Hex } from "viem";
import * as z from "zod";
import { Proof402Error } from "../errors.ts";
import { sha256, toHex, utf8 } from "../evidence/bytes.ts";
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
    key: key == null ? null : (key.trim() as Hex),
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
    files: { [KEY]: hashOf(texts[KEY]), [CONFIG]: hashOf(texts[CONFIG]) },
  };
  for (const name of own) if (name !== KEY) await removeOwn(join(directory, name));
  await writeNew(join(directory, MARKER), `${JSON.stringify(marker, null, 2)}\n`);
  if (key === null) await writeNew(join(directory, KEY), texts[KEY], { mode: 0o600 });
  await writeNew(config, texts[CONFIG]);
  return { config, files: [config, join(directory, KEY), join(directory, MARKER)] };
}

/** The market that a devnet left in a folder: its configuration's path, and its faucet. Null where it left none. */
export async function readDevnet(directory: string): Promise<{ config: string; faucet: string } | null> {
  const text = await readText(join(directory, MARKER));
  const faucet = text === null ? undefined : readMarker(text)?.faucet;
  return faucet === undefined ? null : { config: join(directory, CONFIG), faucet };
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
