import { createHash } from "node:crypto";
import { stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Command } from "commander";
import { SCOPES, type McpClient } from "../../mcp-server/http/access.ts";
import { serveMcpHttp } from "../../mcp-server/http/serve.ts";
import { configPath } from "../config/load.ts";
import { Proof402Error } from "../errors.ts";
import { openToken } from "../proxy/token.ts";
import { approvalPages } from "./approval-page.ts";
import { EXIT, globals, note, print } from "./globals.ts";
import { OWNER, clientsPath, readClients } from "./mcp-clients.ts";
import { wholeNumber } from "./numbers.ts";
import { openFor } from "./session.ts";
import { untilSignal } from "./until-signal.ts";

/** The options of `proof402 mcp --http`. */
export type HttpCommand = {
  host: string;
  port: string;
  clients?: string;
  allowHost?: string[];
  allowOrigin?: string[];
};

/** The owner's token, beside the configuration. Its client has both scopes, and no budget but the payment policy. */
const TOKEN_FILE = "mcp-token";
const LOOPBACK: readonly string[] = ["127.0.0.1", "localhost", "::1"];
/** `proof402 mcp --http`: serves until a signal. It ends once the last exchange has. */
export async function mcpHttp(options: HttpCommand, command: Command): Promise<number> {
  const { json = false, ...rest } = globals(command);
  await untilSignal(async (ended) => {
    const { host, allowHost: allowHosts = [], allowOrigin: allowOrigins = [] } = options;
    const port = wholeNumber(options.port, "--port", { from: 0, to: 65_535 });
    const tokenFile = join(dirname(configPath(rest.config)), TOKEN_FILE);
    const token = await openToken(tokenFile, "mcp");
    const tokenSha256 = createHash("sha256").update(token).digest("hex");
    const pages = approvalPages(rest);
    // The owner's client alone: the holder of an approval's address answers for the owner. The page is on this machine's own address,
    // so clients elsewhere are asked in forms: another program may serve that address on their machine.
    const isHere = LOOPBACK.includes(host) && allowHosts.length === 0;
    const owner: McpClient = {
      name: OWNER,
      tokenSha256,
      scopes: SCOPES,
      ...(isHere ? { approvalPage: pages.open } : {}),
    };
    const file = clientsPath(options.clients, rest);
    const { clients, now } = await openClients(owner, file, { named: options.clients !== undefined });
    const served = await serveMcpHttp(() => openFor(rest), { host, port, clients: now, allowHosts, allowOrigins });
    // One line, so that a program that starts it can read up to the line's end.
    if (json) print(JSON.stringify({ url: served.url, tokenFile, clients: clients.map(({ name }) => name) }));
    else {
      print(`MCP at ${served.url}. Ctrl-C ends it.`);
      note(`  bearer token  the one in ${tokenFile}, or a client's own`);
      note(`  clients       ${clients.map(({ name, scopes }) => `${name} (${scopes.join(", ")})`).join("; ")}`);
      if (!LOOPBACK.includes(host)) note("Beyond this machine tokens go over the network as plain text.");
    }
    await ended;
    await served.stop();
    await pages.close();
  });
  return EXIT.ok;
}

/**
 * The owner and the clients of the file, and a way to have them as they are then. The file is read again once it was changed. If it cannot be
 * read, the owner alone is let in, and the reason is noted once.
 */
async function openClients(
  owner: McpClient,
  file: string,
  how: { named: boolean },
): Promise<{ clients: readonly McpClient[]; now: () => Promise<readonly McpClient[]> }> {
  const read = async (): Promise<readonly McpClient[]> => {
    const all = [owner, ...(await readClients(file, how))];
    requireOneOwner(all);
    return all;
  };
  let mark = await markOf(file);
  const clients = await read();
  let reading: Promise<readonly McpClient[]> = Promise.resolve(clients);
  let noted = "";
  const again = (): Promise<readonly McpClient[]> =>
    read().catch((error: unknown) => {
      const why = Proof402Error.isInstance(error) ? `${error.message} ${error.next}` : `${file} was not read.`;
      if (why !== noted) note(`${why} Until then no client but the owner is let in.`);
      noted = why;
      mark = UNREAD;
      return [owner];
    });
  const now = async (): Promise<readonly McpClient[]> => {
    const found = await markOf(file);
    if (found !== mark) {
      mark = found;
      reading = again();
    }
    return reading;
  };
  return { clients, now };
}

/** No mark of a file: it is read again at the next request. */
const UNREAD = "unread";
/** Changes with a file's text, its rights, or its place. */
const markOf = (file: string): Promise<string> =>
  stat(file, { bigint: true }).then(
    ({ ino, size, mode, ctimeNs }) => `${ino} ${size} ${mode} ${ctimeNs}`,
    () => "none",
  );

function requireOneOwner(clients: readonly McpClient[]): void {
  if (new Set(clients.map(({ name }) => name)).size === clients.length) return;
  throw new Proof402Error(
    "file_unreadable",
    `The file of clients names "${OWNER}", which is the owner's own name here.`,
    {
      next: "Give that client another name.",
    },
  );
}
