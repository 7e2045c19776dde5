import { buyCommand } from "../next.ts";
import { dirname, join, resolve } from "node:path";
import type { Command } from "commander";
import * as z from "zod";
import { quoted } from "../quoted.ts";
import { lookAtSeller, type NewSeller } from "../../buyer/new-seller.ts";
import type { Wanted } from "../../buyer/wanted-seller.ts";
import { withSeller } from "../../config/change.ts";
import { configPath, validConfig, type ConfigFile } from "../../config/load.ts";
import { newConfig } from "../../config/new-config.ts";
import { jsonOf, utf8 } from "../../evidence/bytes.ts";
import { Proof402Error } from "../../errors.ts";
import { fileExists, isThere, writeNew } from "../../files/write-new.ts";
import { createHttp } from "../../http/client.ts";
import { moneyText } from "../../chain/money-text.ts";
import { walletFromPrivateKey } from "../../payment/wallet.ts";
import { ADDRESS_FORM, idOf, placeOf, sellerText, viewOf } from "../add-seller.ts";
import { hasTerminal } from "../ask.ts";
import type { Finding } from "../doctor/check.ts";
import { summaryOf, tellFindings } from "../doctor/doctor.ts";
import { EXIT, globals, note, print, printResult } from "../globals.ts";
import { busy } from "../progress.ts";
import { readAnswers, type Answers, type Options } from "./answers.ts";
import { KEY_FILES, keyFrom, keyText } from "./key.ts";
import { openAsker, type Asker } from "./question.ts";

/**
 * `proof402 init`: asks for the needs of a first purchase, or takes them from flags, and writes a key and a
 * configuration, none over another. Exits 0 once both are written. The report at its end says the rest.
 */
export async function init(options: Options, command: Command): Promise<number> {
  const { json = false, config } = globals(command);
  const path = configPath(config);
  const tell = json ? note : print;
  const { place, kept, keyFile, key, password, sellers } = await unwritten(() => plan(path, options, tell));
  const { address } = walletFromPrivateKey(key);
  await writeNew(keyFile, await busy("Writing the key", () => keyText(kept, key, password)), { mode: 0o600 });
  // An RPC's address may hold a key.
  await writeNew(path, `${JSON.stringify(sellers.file.value, null, 2)}\n`, { mode: 0o600 });
  const funded = place.devnet === null ? null : await fund(place.devnet.faucet, address);
  const said = wordsOf({ path, keyFile, address, place, kept, options, funded });
  tell(said.join("\n"));
  const env = password === "" ? process.env : { ...process.env, PROOF402_KEYSTORE_PASSWORD: password };
  const findings = await tellFindings(path, tell, env);
  tell(summaryOf(findings));
  const next = nextOf(path, { isNamed: config !== undefined, findings, added: sellers.added });
  if (json)
    printResult({ config: path, keyFile, address, funded, sellers: sellers.added.map(viewOf), doctor: findings }, next);
  else print(next);
  return EXIT.ok;
}

/** Everything that is to be written, before any of it is. */
async function plan(path: string, options: Options, tell: (text: string) => void) {
  requireOwnKey();
  await requireFree(path);
  const ask = hasTerminal() ? await openAsker() : null;
  const answers = await readAnswers(options, ask);
  const { place, kept, caps } = answers;
  const keyFile = join(dirname(path), KEY_FILES[kept]);
  await requireFree(keyFile);
  const key = await keyFrom(answers.from, answers.password);
  const wallet =
    kept === "file"
      ? { privateKeyFile: KEY_FILES.file }
      : {
          keystoreFile: KEY_FILES.keystore,
          ...(options.passwordFile === undefined ? {} : { keystorePasswordFile: resolve(options.passwordFile) }),
        };
  const { network, token, rpcUrl, also } = place;
  const value = newConfig({ network, token, rpcUrl, wallet, caps, ...(also === undefined ? {} : { also }) });
  validConfig(value, path);
  const sellers = await sellersFor({ path, text: "", value }, options, { place, ask, tell });
  return { place, kept, keyFile, key, password: kept === "keystore" ? await answers.password() : "", sellers };
}

/** Work before the first file: an error of it says that none was written. */
async function unwritten<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!Proof402Error.isInstance(error) || /nothing was (?:paid or )?written/i.test(`${error.message} ${error.next}`))
      throw error;
    const { code, message, details, cause } = error;
    throw new Proof402Error(code, message, { next: `Nothing was written. ${error.next}`, details, cause });
  }
}

async function requireFree(path: string): Promise<void> {
  if (!(await isThere(path))) return;
  const { code, message, details } = fileExists(path);
  throw new Proof402Error(code, message, {
    next: "Name another place with --config FILE (the key goes beside it), or move that file away first.",
    details,
  });
}

/** Throws Proof402Error `usage` if the environment has a key. Every command would pay from that key. */
function requireOwnKey(): void {
  if ((process.env["PROOF402_PRIVATE_KEY"] ?? "") === "") return;
  throw new Proof402Error(
    "usage",
    "PROOF402_PRIVATE_KEY is set, so every command would pay from its wallet and none from the one that init makes.",
    {
      next: "Unset it (unset PROOF402_PRIVATE_KEY) and run proof402 init again; to keep its key, put the key into a file of mode 600 and add --import FILE.",
    },
  );
}

type Asking = { place: Answers["place"]; ask: Asker | null; tell: (text: string) => void };

/** The configuration's value with the sellers that were named, each as `sellers add` looks at it. */
async function sellersFor(
  first: ConfigFile,
  { seller: urls, yes }: Options,
  { place, ask, tell }: Asking,
): Promise<{ file: ConfigFile; added: NewSeller[] }> {
  let file = first;
  const added: NewSeller[] = [];
  const add = async (wanted: Wanted, isKnown: boolean): Promise<void> => {
    const seller = await busy(`Asking ${wanted.origin} what it sells`, () => lookAtSeller(file, wanted));
    tell(sellerText(seller));
    if (!isKnown && yes !== true && (await ask?.agree("Pin this seller?")) !== true) return;
    file = { ...file, value: withSeller(file, seller.entry) };
    added.push(seller);
  };
  const known = place.devnet?.seller ?? null;
  const named = [...new Map((urls ?? []).map(placeOf).map((one) => [one.origin, one])).values()];
  for (const one of named) await add({ id: idOf(one.origin), ...one }, false);
  if (named.length === 0 && known !== null) await add(known, true);
  while (named.length === 0 && known === null && ask !== null) {
    const url = await ask.text("Address of a seller (empty: no more for now)", { check: addressProblem });
    if (url === "") break;
    try {
      const place = placeOf(url);
      await add({ id: idOf(place.origin), ...place }, false);
    } catch (error) {
      if (!Proof402Error.isInstance(error) || error.code === "aborted") throw error;
      tell(`${error.message} Name another seller, or none.`);
    }
  }
  return { file, added };
}

function addressProblem(url: string): string | undefined {
  try {
    if (url !== "") placeOf(url);
    return undefined;
  } catch {
    return ADDRESS_FORM;
  }
}

const fundedSchema = z.object({
  amount: z.string().regex(/^[0-9]{1,30}$/),
  decimals: z.int(),
  symbol: z.string().max(12),
});
type Funded = z.infer<typeof fundedSchema>;

/** Has a devnet's faucet send play money. */
async function fund(faucet: string, address: string): Promise<Funded> {
  const http = createHttp({
    allowPrivateAddresses: true,
    connectSeconds: 5,
    idleSeconds: 20,
    totalSeconds: 30,
    maxResponseBytes: 4096,
  });
  try {
    const headers = { "content-type": "application/json" };
    const body = utf8(JSON.stringify({ address }));
    const answer = await http.request({ method: "POST", url: faucet, headers, body });
    const read = fundedSchema.safeParse(answer.status === 200 ? jsonOf(answer.body) : null);
    if (read.success) return read.data;
  } finally {
    await http.close();
  }
  throw new Proof402Error("insufficient_funds", "The devnet sent no play money.", {
    next: "Is it still running? Its configuration and key are written: start it again and make new ones.",
  });
}

type Written = {
  path: string;
  keyFile: string;
  address: string;
  place: Answers["place"];
  kept: Answers["kept"];
  options: Options;
  funded: Funded | null;
};

function wordsOf({ path, keyFile, address, place, kept, options, funded }: Written): string[] {
  const { symbol } = place.token;
  return [
    `Wrote ${keyFile} and ${path}. Only you can read them.`,
    funded === null
      ? `The wallet's address is ${address}. Send ${symbol} on ${place.title} to it: no more than you would lose.`
      : `The wallet's address is ${address}. The devnet sent ${moneyText(funded.amount, { ...funded, usdStable: true })} of play money to it.`,
    ...(kept === "keystore" && options.passwordFile === undefined
      ? [
          `Commands that open the wallet (such as buy, spending, sellers, wallet show, channel, doctor and mcp) need the keystore's password: set PROOF402_KEYSTORE_PASSWORD. For a program that runs alone, put it into a file of mode 600 and name that file in wallet.keystorePasswordFile of ${path}.`,
        ]
      : []),
  ];
}

type Done = { isNamed: boolean; findings: readonly Finding[]; added: readonly NewSeller[] };

/** The first thing to do: what stops a purchase, then a seller, then the purchase. */
function nextOf(path: string, { isNamed, findings, added: [seller] }: Done): string {
  const named = isNamed ? `proof402 --config ${quoted(path)}` : "proof402";
  const first = findings.find(
    ({ check, status, next }) =>
      next !== undefined && check !== "market" && (status === "problem" || check === "balance"),
  );
  if (first?.next !== undefined) return `Next: ${first.next} Then run ${named} doctor, which says what is left.`;
  return seller === undefined
    ? `Next, add a seller: ${named} sellers add URL`
    : `Next, see what it takes: ${named} models; then buy: ${named} ${buyCommand({ model: seller.models[0]?.name })}`;
}
