import { chmod } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import type { Command } from "commander";
import { configPath } from "../../config/load.ts";
import { Proof402Error } from "../../errors.ts";
import { OTHERS, rightsProblem } from "../../files/read-file.ts";
import { openToken } from "../../proxy/token.ts";
import { readClientFile, writeClientFile } from "../client-file.ts";
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
    await writeClientFile(file, { before, after: options.undo === true && after === "" ? null : after });
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

const usage = (message: string, next: string): Proof402Error => new Proof402Error("usage", message, { next });
