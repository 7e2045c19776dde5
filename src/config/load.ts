import { homedir } from "node:os";
import { dirname, join, resolve } from "node:path";
import type { z } from "zod";
import { Proof402Error } from "../errors.ts";
import { OTHERS, readTextFile, type Unread } from "../files/read-file.ts";
import { parseJsonText } from "../evidence/json-text.ts";
import { isPostgres, requireAddress } from "../storage/postgres-address.ts";
import { configSchema, type Config } from "./schema.ts";

/** Name of the configuration file where no path is given. */
const CONFIG_FILE = "proof402.config.json";
const MAX_BYTES = 1_000_000;
const DATABASES_FOLDER = "proof402-databases";

type Env = Readonly<Record<string, string | undefined>>;

/**
 * Loads the configuration: the given path, else `PROOF402_CONFIG`, else `~/.proof402/proof402.config.json`. Never reads
 * a file merely found in the working directory: agents work in folders written by others, and a configuration names
 * payees and amounts. `PROOF402_DATABASE` takes the place of `database`. Relative paths inside are relative to the
 * file; `cwd` is what a relative `path` is relative to.
 *
 * Throws Proof402Error `config_not_found`, `config_unreadable`, `config_permissions` where others may write to it, or
 * `config_invalid`, which names file and field.
 *
 * @example
 * ```ts
 * import { loadConfig } from "proof402";
 *
 * const config = await loadConfig({ path: "proof402.config.json" });
 * const caps = config.payment.assets.map(({ symbol, perDay }) => `${symbol}: ${perDay} base units a day`);
 * ```
 */
export async function loadConfig(options: { path?: string; env?: Env; cwd?: string } = {}): Promise<Config> {
  const { env = process.env, cwd = process.cwd() } = options;
  const path = configPath(options.path, env, cwd);
  const { value } = await readConfigFile(path);
  const base = dirname(path);
  const { wallet, database, verification, ...rest } = validConfig(value, path);
  const { replay } = verification;
  return {
    ...rest,
    verification: {
      ...verification,
      replay: replay && {
        ...replay,
        models: Object.fromEntries(Object.entries(replay.models).map(([name, file]) => [name, resolve(base, file)])),
      },
    },
    database: databaseAt(base, nonEmpty(env["PROOF402_DATABASE"]) ?? database),
    wallet: {
      databasesFolder: join(
        dirname(resolve(base, wallet.privateKeyFile ?? wallet.keystoreFile ?? path)),
        DATABASES_FOLDER,
      ),
      ...Object.fromEntries(
        Object.entries(wallet).flatMap(([name, file]) => (file === undefined ? [] : [[name, resolve(base, file)]])),
      ),
    },
  };
}

/** A configuration as its file has it. */
export type ConfigFile = { path: string; text: string; value: unknown };

/** Reads a configuration's file and judges nothing in it but that it is JSON. Throws as {@link loadConfig} does. */
export async function readConfigFile(path: string): Promise<ConfigFile> {
  const text = await read(path);
  return { path, text, value: parse(text, path) };
}

/** A file's value as a configuration, with its defaults. Throws Proof402Error `config_invalid`, which names file and fields. */
export function validConfig(value: unknown, path: string): Config {
  const parsed = configSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new Proof402Error("config_invalid", `${path} is not a valid configuration:\n${describe(parsed.error)}`, {
    next: "Correct the named fields.",
  });
}

/** A file's path in full; a server's address as it is. */
function databaseAt(base: string, database: string): string {
  if (!isPostgres(database)) return resolve(base, database);
  requireAddress(database);
  return database;
}

const nonEmpty = (text: string | undefined): string | undefined =>
  text === undefined || text === "" ? undefined : text;

/** The path that a configuration is read from. */
export function configPath(given: string | undefined, env: Env = process.env, cwd = process.cwd()): string {
  const named = given ?? nonEmpty(env["PROOF402_CONFIG"]);
  return named === undefined ? join(nonEmpty(env["HOME"]) ?? home(), ".proof402", CONFIG_FILE) : resolve(cwd, named);
}

/** The home folder of a user that the system does not know, as containers have them, is no folder's name. */
function home(): string {
  try {
    return homedir();
  } catch {
    return "~";
  }
}

async function read(path: string): Promise<string> {
  const read = await readTextFile(path, { maxBytes: MAX_BYTES, denied: OTHERS.write });
  if ("text" in read) return read.text;
  throw unread(path, read);
}

function unread(path: string, why: Unread): Proof402Error {
  switch (why.problem) {
    case "missing":
    case "not_a_file":
      return new Proof402Error(
        "config_not_found",
        `No configuration at ${path}${why.problem === "missing" ? "" : ": it is no regular file"}.`,
        {
          next: "If you have one, name it with --config or PROOF402_CONFIG. To try without one, run `proof402 demo`; or run `proof402 devnet --dir market` in another terminal and add --config market/proof402.config.json here. To buy with real money, make one with `proof402 init`; docs/configuration.md in the package explains it.",
        },
      );
    case "permissions":
      return new Proof402Error(
        "config_permissions",
        why.of === "file"
          ? `${path} can be written by others than its owner, and it says who is paid and how much.`
          : `Everyone may write to the folder of ${path}, and so replace what says who is paid and how much.`,
        {
          next: `Run chmod ${why.of === "file" ? "go-w on it" : "o-w on the folder"}, then check what it says.`,
          details: { mode: why.mode },
        },
      );
    case "too_large":
      return new Proof402Error("config_invalid", `${path} is larger than ${MAX_BYTES} bytes.`, {
        next: "Name another file.",
      });
    case "not_utf8":
      return new Proof402Error("config_invalid", `${path} is not UTF-8 text.`, {
        next: "Save it with the encoding UTF-8.",
      });
    case "unreadable":
      return new Proof402Error("config_unreadable", `${path} could not be read.`, {
        next: "Check the file's permissions.",
      });
  }
}

function parse(text: string, path: string): unknown {
  const parsed = parseJsonText(text);
  if (parsed.ok) return parsed.value;
  throw new Proof402Error("config_invalid", `${path}: ${parsed.message}${placeOf(text)}`, {
    next: "Correct the file, or name another one.",
  });
}

/** Where JSON breaks off. The engine's own words quote the text, and a file named by mistake may hold a key. */
function placeOf(text: string): string {
  try {
    JSON.parse(text);
    return "";
  } catch (error) {
    const place = / at position \d+(?: \(line \d+ column \d+\))?/.exec(error instanceof Error ? error.message : "");
    return place === null ? "" : ` It breaks off${place[0]}.`;
  }
}

/** One line per problem: the field's path and what is wrong with it. */
const describe = (error: z.ZodError): string =>
  error.issues
    .slice(0, 20)
    .map((issue) => `  ${issue.path.map(String).join(".") || "(top)"}: ${issue.message}`)
    .join("\n");
