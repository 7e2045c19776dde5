import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import type { Command } from "commander";
import { configPath } from "../../config/load.ts";
import { Proof402Error } from "../../errors.ts";
import { readClientFile, writeClientFile } from "../client-file.ts";
import { difference } from "../connect/lines.ts";
import { EXIT, globals, note, print, printJson } from "../globals.ts";
import { confirm } from "../owner.ts";
import { checkServer } from "./check.ts";
import { CLIENTS, type Client, type ClientWord, type Server } from "./clients.ts";
import { changed, entryIn, type Place } from "./formats.ts";

const MAIN = fileURLToPath(new URL("../main.js", import.meta.url));

type Options = {
  client: ClientWord;
  name: string;
  file?: string;
  undo?: true;
  link?: true;
  check: boolean;
  yes?: true;
};

/** `proof402 install`: adds the MCP server to a client's file, or takes it out. Shows the lines before it changes them. */
export async function install(options: Options, command: Command): Promise<number> {
  const { json = false, config } = globals(command);
  const client: Client = CLIENTS[options.client];
  if (!/^[A-Za-z0-9_-]{1,64}$/.test(options.name))
    throw usage("--name takes letters, digits, - and _.", "The client shows the server's tools under this name.");
  const server = serverOf(configPath(config));
  if (options.link === true) return showLink(client, server, options, json);
  const file = resolve(options.file ?? client.file());
  const place: Place = [client.servers, options.name];
  const before = await readClientFile(file);
  const after =
    options.undo === true ? without(file, before, client, place) : added(file, before, client, place, server);
  const changes = difference(before ?? "", after).map(shown);
  const isChanged = changes.length > 0;
  if (!json) print(isChanged ? [`${file}:`, ...changes].join("\n") : `${file} needs no change.`);
  const tools = options.undo === true || !options.check ? null : await checkServer(server);
  if (tools !== null) note(`Started as ${client.name} would: ${tools} tools, and its buyer opens.`);
  if (isChanged) {
    await confirm(options.yes, { question: "Write it?", otherwise: "Nothing was written." });
    await writeClientFile(file, { before, after });
  }
  if (json) printJson({ client: options.client, file, changes, written: isChanged, tools });
  else if (isChanged) note(`Restart ${client.name}: it reads the file when it starts.${undoLine(options)}`);
  return EXIT.ok;
}

/**
 * Paths in full: a client started from a desktop has neither this shell's folders nor its path. The configuration names
 * the key's file, so no secret is written.
 */
function serverOf(config: string): Server {
  return { command: process.execPath, args: [MAIN, "mcp"], env: { PROOF402_CONFIG: config } };
}

function added(file: string, before: string | null, client: Client, place: Place, server: Server): string {
  requireOwn(file, before, client, place);
  const entry = client.entry(server, place[1]);
  const after = changed(before, { format: client.format, place, entry });
  if (after !== null) return after;
  throw new Proof402Error("file_unreadable", `${file} has a form that is not changed here.`, {
    next: `Add this to its ${place[0]} yourself:\n${JSON.stringify({ [place[1]]: entry }, null, 2)}`,
  });
}

/** The file without the entry. The file itself stays: others may have written to it. */
function without(file: string, before: string | null, client: Client, place: Place): string {
  requireOwn(file, before, client, place);
  const { format } = client;
  const after = entryIn(before, format, place) === undefined ? null : changed(before, { format, place });
  if (after !== null) return after;
  throw new Proof402Error("file_unreadable", `${file} has no server ${place[1]} that can be taken out here.`, {
    next: "Name the file that was changed with --file, and the server with --name.",
  });
}

/** Throws Proof402Error `usage` if the place is taken by a server that does not start this program. */
function requireOwn(file: string, text: string | null, { format }: Client, place: Place): void {
  const found = entryIn(text, format, place);
  if (found === undefined || isOwn(found)) return;
  throw usage(
    `${file} has another server with the name ${place[1]}.`,
    "It stays as it is. Choose another name with --name.",
  );
}

/** Whether an entry starts `proof402 mcp`, wherever it is installed. */
function isOwn(entry: unknown): boolean {
  const { command, cmd, args } = (entry ?? {}) as Record<string, unknown>;
  const words = [command ?? cmd, ...(Array.isArray(args) ? (args as unknown[]) : [])].map(String);
  return (
    words.includes("mcp") &&
    words.some((word) => /(?:^|[\\/])proof402(?:\.cmd)?$|[\\/]dist[\\/]src[\\/]cli[\\/]main\.js$/.test(word))
  );
}

/** A changed line as it may be shown: a secret that a person wrote into the entry stays out of terminals and logs. */
const shown = (line: string): string => line.replace(/^(.*(?:KEY|TOKEN|SECRET|PASSWORD)\w*"?\s*[:=]).*$/i, "$1 ...");

function showLink(client: Client, server: Server, { client: word, name }: Options, json: boolean): number {
  if (client.link === undefined) {
    const linked = (Object.keys(CLIENTS) as ClientWord[]).filter((one) => "link" in CLIENTS[one]);
    throw usage(
      `${client.name} knows no links that add a server.`,
      `Leave out --link. Links are known by ${linked.join(", ")}.`,
    );
  }
  const link = client.link.app(server, name);
  if (json) printJson({ client: word, link });
  else print(link);
  return EXIT.ok;
}

const undoLine = ({ client, name, undo }: Options): string =>
  undo === true
    ? ""
    : ` Take the server out with: proof402 install --client ${client}${name === "proof402" ? "" : ` --name ${name}`} --undo`;

const usage = (message: string, next: string): Proof402Error => new Proof402Error("usage", message, { next });
