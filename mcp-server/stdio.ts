import { serveStdio } from "@modelcontextprotocol/server/stdio";
import type { Buyer } from "../src/buyer/types.ts";
import { createProof402Server } from "./server.ts";

/**
 * Serves MCP on standard input and output until the client closes its end; standard output carries the protocol only.
 * `open` is called once, at the first tool call. Resolves after the buyer is closed.
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
  const ended = new Promise<void>((resolve) => {
    process.stdin.once("close", resolve);
    process.stdin.once("end", resolve);
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => resolve());
  });
  const handle = serveStdio(() => createProof402Server({ buyer }));
  await ended;
  await handle.close();
  await opened.buyer?.then((one) => one.close()).catch(() => undefined);
}
