import { serveStdio, StdioServerTransport } from "@modelcontextprotocol/server/stdio";
import type { Buyer } from "proof402";
import type { Proof402ServerOptions } from "./call.ts";
import { exactInput } from "./exact-input.ts";
import { onceOpen, SIGNALS } from "./once-open.ts";
import { createProof402Server } from "./server.ts";

/**
 * Serves MCP on standard input and output until the client closes its end or a signal comes; standard output carries the
 * protocol only. `open` is called at the first call that needs the buyer, and again after it failed. Resolves once every
 * exchange whose payment was sent has come to its end, its receipt is stored and the buyer is closed.
 *
 * @example
 * ```ts
 * import { openBuyer } from "proof402";
 * import { serveMcp } from "proof402/mcp";
 *
 * await serveMcp(() => openBuyer());
 * ```
 */
export async function serveMcp(
  open: () => Promise<Buyer>,
  { approvalPage }: Pick<Proof402ServerOptions, "approvalPage"> = {},
): Promise<void> {
  const { buyer, close } = onceOpen(open);
  const { stdin } = process;
  const input = exactInput(stdin);
  const transport = new StdioServerTransport(input);
  const handle = serveStdio((context) => createProof402Server({ buyer, approvalPage }, context), { transport });
  let end = (): void => undefined;
  const ended = new Promise<void>((resolve) => (end = resolve));
  // The transport closes itself when either of its streams ends or breaks.
  const { onclose } = transport;
  // oxlint-disable-next-line unicorn/prefer-add-event-listener -- the SDK has no listeners here
  transport.onclose = () => {
    onclose?.();
    end();
  };
  // Until the last exchange has ended a signal that is repeated ends nothing else: a payment may be out.
  for (const signal of SIGNALS) process.on(signal, end);
  try {
    await ended;
    await handle.close().catch(() => undefined);
    await close();
  } finally {
    // An open input would keep the process.
    stdin.unpipe(input).pause();
    for (const signal of SIGNALS) process.off(signal, end);
  }
}
