import type { Transport } from "@modelcontextprotocol/server";
import { StdioServerTransport } from "@modelcontextprotocol/server/stdio";
import type { Buyer, GuardConfig } from "proof402";
import { Proof402Error } from "proof402/tools";
import { onceOpen, SIGNALS } from "../once-open.ts";
import { joinThroughGuard } from "./proxy.ts";
import { spawnServer } from "./spawned.ts";

/** A server to stand before: a command with its arguments, or an address that speaks Streamable HTTP. */
export type GuardedServer = { command: readonly string[] } | { url: string };

/** What a guard before an MCP server is made from. */
export type GuardServeOptions = {
  config: GuardConfig;
  server: GuardedServer;
  /** Opens the buyer whose receipts justify the calls, at the first guarded one. */
  buyer: () => Promise<Buyer>;
};

/** How long begun actions may take to end once the client is gone, ms. Their servers are closed then. */
const PATIENCE_MS = 20_000;

/**
 * Serves MCP on standard input and output, and passes it on to the server behind the guard, until one of the two goes away
 * or a signal comes. Tools that the configuration guards run on receipts only. Resolves once each begun action has its end
 * on the record: an action whose server does not answer is undecided.
 *
 * Throws Proof402Error `guard_client` if the client sent more than a message may hold, `guard_upstream` if the server cannot be started, or ended before the client did.
 *
 * @example
 * ```ts
 * import { readFile } from "node:fs/promises";
 * import { openBuyer, parseGuardConfig } from "proof402";
 * import { serveGuard } from "proof402/mcp";
 *
 * await serveGuard({
 *   config: parseGuardConfig(await readFile("guard.json", "utf8")),
 *   server: { command: ["npx", "some-mcp-server"] },
 *   buyer: () => openBuyer(),
 * });
 * ```
 */
export async function serveGuard({ config, server, buyer: open }: GuardServeOptions): Promise<void> {
  const { buyer, close } = onceOpen(open);
  const client = new StdioServerTransport();
  let end = (): void => undefined;
  const clientEnded = new Promise<"client">((resolve) => (end = () => resolve("client")));
  let unread: Error | null = null;
  // oxlint-disable-next-line unicorn/prefer-add-event-listener -- the SDK has no listeners here
  client.onerror = (error) => {
    // The transport goes on after a line that is no message, and ends after one of more than 10 MiB.
    if (error.message.startsWith("ReadBuffer exceeded")) unread = error;
  };
  // oxlint-disable-next-line unicorn/prefer-add-event-listener -- the SDK has no listeners here
  client.onclose = end;
  for (const signal of SIGNALS) process.on(signal, end);
  try {
    const proxy = await joinThroughGuard({ client, server: await transportTo(server, config), config, buyer });
    const ended = await Promise.race([clientEnded, proxy.serverEnded]);
    await proxy.close(PATIENCE_MS);
    await client.close().catch(() => undefined);
    // oxlint-disable-next-line typescript/no-unnecessary-condition -- the closure above writes it
    if (unread !== null)
      throw new Proof402Error("guard_client", "The client sent a message of more than 10 MiB.", {
        next: "Start the guard again, and have the client send less. Actions without an end are undecided: proof402 guard list --open.",
        cause: unread,
      });
    if (ended !== "client")
      throw new Proof402Error("guard_upstream", "The server behind the guard has ended.", {
        next: "Its own messages say why. Actions without an end are undecided: proof402 guard list --open.",
      });
  } finally {
    for (const signal of SIGNALS) process.off(signal, end);
    await close();
  }
}

/** Opens nothing yet. Throws Proof402Error `guard_upstream` for an address that may not be used, or without the secret to name. */
export async function transportTo(server: GuardedServer, config: GuardConfig): Promise<Transport> {
  if ("command" in server) return spawnServer(server.command, config.env);
  const url = addressOf(server.url);
  const token = config.bearer === undefined ? undefined : process.env[config.bearer];
  if (config.bearer !== undefined && (token ?? "") === "")
    throw unusable(`The variable ${config.bearer}, named by the guard's configuration, is not set.`);
  // An optional peer: servers as processes need none.
  const { StreamableHTTPClientTransport } = await import("@modelcontextprotocol/client");
  return new StreamableHTTPClientTransport(url, {
    requestInit: {
      // Judged arguments go to the address that was named, and to no other.
      redirect: "error",
      ...(token === undefined ? {} : { headers: { authorization: `Bearer ${token}` } }),
    },
  });
}

function addressOf(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : null;
  const isHere = url !== null && ["127.0.0.1", "[::1]", "localhost"].includes(url.hostname);
  if (url === null || (url.protocol !== "https:" && !(url.protocol === "http:" && isHere)))
    throw unusable("The server's address must be https, or http on this machine.");
  return url;
}

const unusable = (message: string): Proof402Error =>
  new Proof402Error("guard_upstream", message, { next: "Correct it and start again." });
