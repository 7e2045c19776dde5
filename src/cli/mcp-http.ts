import { createHash } from "node:crypto";
import { dirname, join } from "node:path";
import type { Command } from "commander";
import { SCOPES, type McpClient } from "../../mcp-server/http/access.ts";
import { serveMcpHttp } from "../../mcp-server/http/serve.ts";
import { configPath } from "../config/load.ts";
import { Proof402Error } from "../errors.ts";
import { openToken } from "../proxy/token.ts";
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
    const named = await readClients(clientsPath(options.clients, rest), { named: options.clients !== undefined });
    const owner: McpClient = { name: OWNER, tokenSha256, scopes: SCOPES };
    const clients = [owner, ...named];
    requireOneOwner(clients);
    const served = await serveMcpHttp(() => openFor(rest), { host, port, clients, allowHosts, allowOrigins });
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
  });
  return EXIT.ok;
}

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
