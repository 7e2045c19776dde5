import { Console } from "node:console";
import type { Command } from "commander";
import { serveMcp } from "../../mcp-server/stdio.ts";
import type { ApprovalPages } from "./approval-page.ts";
import { EXIT, globals, type GlobalOptions } from "./globals.ts";
import type { HttpCommand } from "./mcp-http.ts";

/** `proof402 mcp`: serves until the client goes away. The buyer and what it needs are loaded at the first tool call. */
export async function mcp(options: HttpCommand & { http?: true }, command: Command): Promise<number> {
  if (options.http === true) return (await import("./mcp-http.ts")).mcpHttp(options, command);
  const named: GlobalOptions = globals(command);
  // What a dependency says to the console must not end up in the protocol.
  globalThis.console = new Console(process.stderr);
  let pages: ApprovalPages | null = null;
  const approvalPage = async (): ReturnType<ApprovalPages["open"]> => {
    pages ??= (await import("./approval-page.ts")).approvalPages(named);
    return pages.open();
  };
  try {
    await serveMcp(
      async () => {
        const { openFor } = await import("./session.ts");
        return openFor(named);
      },
      { approvalPage },
    );
  } finally {
    await (pages as ApprovalPages | null)?.close();
  }
  return EXIT.ok;
}
