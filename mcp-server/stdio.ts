import { serveStdio, StdioServerTransport } from "@modelcontextprotocol/server/stdio";
import type { Buyer } from "../src/buyer/types.ts";
import { createProof402Server } from "./server.ts";

/**
 * Serves MCP on standard input and output until the client closes its end or a signal comes; standard output carries the
 * protocol only. `open` is called at the first call that needs the buyer, and again after it failed. Resolves after the
 * buyer is closed.
 */
export async function serveMcp(open: () => Promise<Buyer>): Promise<void> {
  const opened: { buyer: Promise<Buyer> | null } = { buyer: null };
  const buyer = (): Promise<Buyer> => {
    opened.buyer ??= open().catch((error: unknown) => {
      // A configuration that is mended while the client runs is found at the next call.
      opened.buyer = null;
      throw error;
    });
    return opened.buyer;
  };
  const transport = new StdioServerTransport();
  const handle = serveStdio((context) => createProof402Server({ buyer }, context), { transport });
  await new Promise<void>((resolve) => {
    // The transport closes itself when either of its streams ends or breaks.
    const { onclose } = transport;
    // oxlint-disable-next-line unicorn/prefer-add-event-listener -- the SDK has no listeners here
    transport.onclose = () => {
      onclose?.();
      resolve();
    };
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => resolve());
  });
  await handle.close();
  await opened.buyer?.then((one) => one.close()).catch(() => undefined);
}
