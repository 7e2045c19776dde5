import { quoted } from "../quoted.ts";
import { resolve } from "node:path";
import { CAPS, PRESETS, RPC_PLACEHOLDER, type Caps, type NewConfig } from "../../config/new-config.ts";
import { loadConfig } from "../../config/load.ts";
import { Proof402Error } from "../../errors.ts";
import { isLocalHost } from "../../http/addresses.ts";
import { parseDollars } from "../../payment/policy.ts";
import { busy } from "../progress.ts";
import { isKeystore, KEPT, keyFrom, readKeyFile, readPassword, type Kept } from "./key.ts";
import type { Asker } from "./question.ts";

/** The options of `proof402 init`, as commander reads them. */
export type Options = Partial<Record<keyof Caps, string>> & {
  network?: string;
  devnet?: string;
  rpc?: string;
  wallet?: string;
  import?: string;
  passwordFile?: string;
  seller?: string[];
  yes?: boolean;
};

/** A market to make a configuration for. A devnet brings a faucet, and a seller that its own folder vouches for. */
export type Place = Pick<NewConfig, "network" | "token" | "also"> & {
  title: string;
  rpcUrl: string;
  devnet: { faucet: string; seller: { id: string; origin: string } | null } | null;
};

/** Everything that `proof402 init` has to know, sellers apart. */
export type Answers = {
  place: Place;
  kept: Kept;
  from: string | undefined;
  password: () => Promise<string>;
  caps: Caps;
};

/**
 * Takes each answer from its flag, else from the person, else its default. Without a person to ask it throws
 * Proof402Error `usage`, with all missing flags.
 */
export async function readAnswers(options: Options, ask: Asker | null): Promise<Answers> {
  const inEnv = process.env["PROOF402_KEYSTORE_PASSWORD"] ?? "";
  // Later commands take the variable's: a keystore under the file's would not open.
  if (options.passwordFile !== undefined && inEnv !== "")
    throw new Proof402Error(
      "usage",
      "Two passwords are given, by --password-file and by PROOF402_KEYSTORE_PASSWORD. Nothing was written.",
      { next: "Unset the variable, or leave the option out." },
    );
  if (ask === null) {
    const missing = [
      ...(options.network === undefined ? ["--network base, base-sepolia or devnet"] : []),
      ...(options.wallet === undefined ? ["--wallet keystore or file"] : []),
      ...(options.wallet === "keystore" && options.passwordFile === undefined && inEnv === ""
        ? ["--password-file FILE (or PROOF402_KEYSTORE_PASSWORD)"]
        : []),
      ...(options.seller !== undefined && options.yes !== true ? ["--yes, to pin sellers without a question"] : []),
    ];
    if (missing.length > 0)
      throw new Proof402Error("usage", `No person can be asked here, and these are missing: ${missing.join("; ")}.`, {
        next: "Add them, or run proof402 init at a terminal.",
      });
  }
  const place = await placeOf(options, ask);
  const kept = options.wallet === undefined ? await ask?.choose("How is the wallet's key kept?", WAYS) : options.wallet;
  const asked = options.wallet === undefined && options.import === undefined;
  const from = asked && ask !== null ? await importedFrom(ask) : options.import;
  const { passwordFile } = options;
  return {
    place,
    kept: KEPT.find((one) => one === kept) ?? "keystore",
    from,
    password: once(async () => {
      if (passwordFile !== undefined) return readPassword(passwordFile);
      return inEnv !== "" || ask === null ? inEnv : askPassword(ask, from);
    }),
    caps: await capsOf(options, place.token.decimals, ask),
  };
}

const WAYS = [
  { value: "keystore", label: "in an encrypted keystore, as geth writes it (a password opens it)" },
  { value: "file", label: "in a file that only you can read (for programs that run alone)" },
] as const satisfies readonly { value: Kept; label: string }[];

async function placeOf(options: Options, ask: Asker | null): Promise<Place> {
  const names = [...Object.keys(PRESETS), "devnet"] as (keyof typeof PRESETS | "devnet")[];
  const named = names.find((one) => one === options.network);
  const name =
    named ??
    (await ask?.choose(
      "Where is money to be spent?",
      names.map((value) => ({
        value,
        label: value === "devnet" ? "a devnet on this machine (play money)" : PRESETS[value].title,
      })),
    )) ??
    "base";
  if (name === "devnet") {
    if (options.rpc !== undefined) throw wrong("--rpc is not for a devnet, which brings its own.");
    const check = (folder: string) => faultOf(() => devnetIn(folder));
    return devnetIn(
      options.devnet ?? (await ask?.text("Folder of the running devnet", { initial: FOLDER, check })) ?? FOLDER,
    );
  }
  if (options.devnet !== undefined) throw wrong(`--devnet is for --network devnet, and this is ${name}.`);
  const preset = PRESETS[name];
  const fault = options.rpc === undefined ? undefined : rpcFault(options.rpc);
  if (fault !== undefined) throw wrong(`--rpc ${options.rpc}: ${fault}`);
  const rpcUrl =
    options.rpc ??
    (await ask?.text(`Address of your RPC for ${preset.title} (it can be added later)`, {
      initial: RPC_PLACEHOLDER,
      check: rpcFault,
    }));
  return { ...preset, rpcUrl: rpcUrl ?? RPC_PLACEHOLDER, devnet: null };
}

const FOLDER = ".proof402";

const wrong = (message: string): Proof402Error =>
  new Proof402Error("usage", message, { next: "Correct it and run proof402 init again." });

function rpcFault(url: string): string | undefined {
  const { protocol = "", hostname = "" } = URL.canParse(url) ? new URL(url) : {};
  const isSafe = protocol === "https:" || (protocol === "http:" && isLocalHost(hostname));
  return isSafe ? undefined : "An RPC's address begins with https://, or with http:// in your own network.";
}

/** An error of work in the words of a question. */
const faultOf = (work: () => Promise<unknown>): Promise<string | undefined> =>
  work().then(
    () => undefined,
    (error: unknown) => {
      if (Proof402Error.isInstance(error)) return `${error.message} ${error.next}`;
      throw error;
    },
  );

/** Reads what a running devnet left in its folder. Throws Proof402Error `usage` where it left nothing. */
export async function devnetIn(folder: string): Promise<Place> {
  const { readDevnet } = await import("../../devnet/folder.ts");
  const left = await busy(`Asking the chain of the devnet in ${resolve(folder)}`, () => readDevnet(resolve(folder)));
  if (left?.isRunning === false)
    throw new Proof402Error("devnet_stopped", `The devnet of ${resolve(folder)} is not running.`, {
      next: `Start it in another terminal with: proof402 devnet --dir ${quoted(folder)}. Then run this command again. Nothing was written.`,
    });
  const config = left === null ? null : await loadConfig({ path: left.config });
  const [chain] = config?.networks ?? [];
  const [token] = config?.payment.assets ?? [];
  if (!left?.faucet || config === null || chain === undefined || token === undefined)
    throw new Proof402Error("usage", `No devnet wrote its market into ${resolve(folder)}.`, {
      next: "Run proof402 devnet --dir FOLDER in another terminal, and name the same folder with --devnet.",
    });
  const { asset, symbol, decimals, domain } = token;
  const { simulatedRoots, developmentSetups } = config.verification;
  const seller = config.sellers.find(({ id }) => id === "honest") ?? null;
  return {
    title: "a devnet on this machine",
    network: chain.network,
    rpcUrl: chain.rpcUrl,
    token: { asset, symbol, decimals, domain },
    also: { verification: { simulatedRoots, developmentSetups }, http: { allowPrivateAddresses: true } },
    devnet: {
      faucet: left.faucet,
      seller: seller?.origin === undefined ? null : { id: seller.id, origin: seller.origin },
    },
  };
}

async function importedFrom(ask: Asker): Promise<string | undefined> {
  const how = await ask.choose("Which key?", [
    { value: "new", label: "a new one" },
    { value: "import", label: "one from a file (a private key or a keystore)" },
  ]);
  return how === "new"
    ? undefined
    : ask.text("The key's file", { check: (path) => (path === "" ? "Name a file." : faultOf(() => checkKey(path))) });
}

/** A key in the clear is judged at once. A keystore has to wait for its password. */
async function checkKey(path: string): Promise<void> {
  if (!isKeystore(await readKeyFile(path))) await keyFrom(path, () => Promise.resolve(""));
}

/** Shortest password of a keystore that a person makes here. */
const PASSWORD_LENGTH = 8;

/** Asks for the password of the keystore to import, which the new one keeps, or for a new password twice. */
async function askPassword(ask: Asker, from: string | undefined): Promise<string> {
  if (from !== undefined && from !== "-" && isKeystore(await readKeyFile(from)))
    return ask.secret("Password of the keystore to import (the new keystore keeps it)", (text) =>
      faultOf(() => keyFrom(from, () => Promise.resolve(text))),
    );
  for (;;) {
    const first = await ask.secret("Password of the keystore", (text) =>
      text.length < PASSWORD_LENGTH ? `It has fewer than ${PASSWORD_LENGTH} characters.` : undefined,
    );
    const again = await ask.secret("The same password again (empty: choose another)", (text) =>
      text === "" || text === first ? undefined : "It differs from the first one.",
    );
    if (again === first) return first;
  }
}

const CAP_WORDS: Readonly<Record<keyof Caps, string>> = {
  perCall: "Most for one call, in dollars",
  perHour: "Most in an hour",
  perDay: "Most in a day",
  total: "Most in all",
  approveAbove: "Ask a person above",
};

const FLAGS: Readonly<Record<keyof Caps, string>> = {
  perCall: "--per-call",
  perHour: "--per-hour",
  perDay: "--per-day",
  total: "--total",
  approveAbove: "--approve-above",
};
const NAMES = Object.keys(CAPS) as (keyof Caps)[];

/** The lower bound of a cap. */
const LEAST: Readonly<Partial<Record<keyof Caps, keyof Caps>>> = { perHour: "perCall", perDay: "perHour" };

/** Names the fault of a cap beside the others; `told` names a cap with its value. */
function capFault(
  name: keyof Caps,
  caps: Caps,
  decimals: number,
  told: (name: keyof Caps) => string,
): string | undefined {
  const units = (of: keyof Caps): bigint => parseDollars(caps[of], decimals) ?? 0n;
  if (parseDollars(caps[name], decimals) === null)
    return `${told(name)} is no amount of dollars: give one such as 0.05, with at most ${decimals} places.`;
  const least = LEAST[name];
  if (least !== undefined && units(name) < units(least))
    return `${told(name)} is less than ${told(least)}, which could never be spent.`;
  return name === "approveAbove" && units(name) > units("perCall")
    ? `${told(name)} is more than ${told("perCall")}, so a person would never be asked.`
    : undefined;
}

async function capsOf(options: Options, decimals: number, ask: Asker | null): Promise<Caps> {
  const given = {
    ...CAPS,
    ...Object.fromEntries(NAMES.flatMap((name) => (options[name] === undefined ? [] : [[name, options[name]]]))),
  };
  const byFlag = (name: keyof Caps): string =>
    `${FLAGS[name]} ${given[name]}${options[name] === undefined ? " (its default)" : ""}`;
  // A default may lie above a cap that was lowered: then no call is large enough to be asked about.
  const meant = NAMES.filter((name) => name !== "approveAbove" || options[name] !== undefined);
  const [fault] = meant.flatMap((name) => capFault(name, given, decimals, byFlag) ?? []);
  if (fault !== undefined) throw wrong(fault);
  if (ask === null || NAMES.some((name) => options[name] !== undefined)) return given;
  const { perCall, perHour, perDay, total, approveAbove } = given;
  const words = `At most $${perCall} a call, $${perHour} an hour, $${perDay} a day, $${total} in all; a person is asked above $${approveAbove}. Is that right?`;
  if (await ask.agree(words)) return given;
  const caps: Caps = { ...given };
  for (const name of NAMES) {
    const judge = (text: string): string | undefined =>
      capFault(
        name,
        { ...caps, [name]: text },
        decimals,
        (of) => `"${CAP_WORDS[of]}" (${of === name ? text : caps[of]})`,
      );
    caps[name] = await ask.text(CAP_WORDS[name], { initial: CAPS[name], check: judge });
  }
  return caps;
}

function once<T>(work: () => Promise<T>): () => Promise<T> {
  let begun: Promise<T> | null = null;
  return () => (begun ??= work());
}
