import { chmod } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import type { Command } from "commander";
import { configPath } from "../../config/load.ts";
import { Proof402Error } from "../../errors.ts";
import { OTHERS, readTextFile, rightsProblem } from "../../files/read-file.ts";
import { replaceText } from "../../files/replace.ts";
import { removeOwn, writeNew } from "../../files/write-new.ts";
import { openToken } from "../../proxy/token.ts";
import { EXIT, globals, note, print, printJson } from "../globals.ts";
import { confirm } from "../owner.ts";
import { DEFAULT_PORT, TOKEN_FILE } from "../proxy.ts";
import { CLIENTS, type Client } from "./clients.ts";
import { difference, withAddition, withoutAddition } from "./lines.ts";

type Options = { file?: string; url: string; model?: string; undo?: true; yes?: true };

/** `proof402 connect`: points a client at the proxy, or undoes it. Shows the lines before it changes them. */
export async function connect(word: string, options: Options, command: Command): Promise<number> {
  const { json = false, config } = globals(command);
  const client = clientOf(word);
  const file = resolve(options.file ?? client.file());
  const before = await readClientFile(file);
  const after =
    options.undo === true
      ? undone(file, before)
      : added(file, before, client, {
          baseUrl: baseOf(options.url),
          token: await openToken(join(dirname(configPath(config)), TOKEN_FILE)),
          model: modelOf(options, client, word),
        });
  const changes = difference(before ?? "", after);
  const isChanged = changes.length > 0;
  if (!json) print(isChanged ? [`${file}:`, ...changes].join("\n") : `${file} needs no change.`);
  const isOpen =
    isChanged && options.undo !== true && before !== null && (await rightsProblem(file, OTHERS.anything)) !== null;
  if (isOpen) note(`Others may read ${file}. Once it holds the token, its owner alone may.`);
  if (isChanged) {
    await confirm(options.yes, { question: "Write it?", otherwise: "Nothing was written." });
    if (isOpen) await chmod(file, 0o600);
    await write(file, before, after, options.undo === true);
  }
  if (json) printJson({ client: word, file, changes, written: isChanged });
  else if (isChanged && options.undo !== true) {
    note("The file holds the proxy's token: its readers can buy here, within the payment policy.");
    if (client.hint !== undefined) note(client.hint(options.model ?? ""));
    note(`Start ${client.name} while \`proof402 proxy\` runs. Take this back with: proof402 connect ${word} --undo`);
  }
  return EXIT.ok;
}

function clientOf(word: string): Client {
  const client = Object.hasOwn(CLIENTS, word) ? CLIENTS[word] : undefined;
  if (client !== undefined) return client;
  throw usage(`There is no client "${word.slice(0, 64)}" here.`, `Use ${Object.keys(CLIENTS).join(", ")}.`);
}

function modelOf({ model }: Options, { needsModel }: Client, word: string): string {
  if (model !== undefined && /^[\x21-\x7e]{1,128}$/.test(model)) return model;
  if (model === undefined && !needsModel) return "";
  throw usage(
    model === undefined ? `The file of ${word} names a model.` : "--model takes a model's name.",
    "Give --model with a name that `proof402 models` lists.",
  );
}

function baseOf(url: string): string {
  if (URL.canParse(url) && /^https?:$/.test(new URL(url).protocol)) return url.replace(/\/+$/, "");
  throw usage("--url takes an address.", `Give it as the proxy printed it: http://127.0.0.1:${DEFAULT_PORT}/v1.`);
}

/** The file's text, or null if there is none. */
async function readClientFile(path: string): Promise<string | null> {
  const read = await readTextFile(path, { maxBytes: 1_000_000, denied: OTHERS.write });
  if ("text" in read) return read.text;
  if (read.problem === "missing") return null;
  const why = read.problem === "permissions" ? `can be changed by others (mode ${read.mode})` : "cannot be read";
  throw new Proof402Error("file_unreadable", `${path} ${why}.`, {
    next: "Correct the file, or name another with --file.",
  });
}

function added(file: string, before: string | null, client: Client, reach: Parameters<Client["addition"]>[0]): string {
  const addition = client.addition(reach);
  const after = withAddition(before, addition);
  if (after !== null) return after;
  throw new Proof402Error("file_unreadable", `${file} has its list in a form that is not changed here.`, {
    next: `Add this yourself:\n${addition.lines.join("\n")}`,
  });
}

function undone(file: string, before: string | null): string {
  const after = before === null ? null : withoutAddition(before);
  if (after !== null) return after;
  throw new Proof402Error("file_unreadable", `${file} has no lines of proof402.`, {
    next: "Name the file that was changed with --file.",
  });
}

async function write(file: string, before: string | null, after: string, isUndo: boolean): Promise<void> {
  if (before === null) await writeNew(file, after, { mode: 0o600 });
  else if (isUndo && after === "") await removeOwn(file);
  else await replaceText(file, { before, after });
}

const usage = (message: string, next: string): Proof402Error => new Proof402Error("usage", message, { next });
