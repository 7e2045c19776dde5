import { appendFileSync, existsSync, watch } from "node:fs";
import { dirname } from "node:path";
import { McpServer, ResourceTemplate, type ServerContext } from "@modelcontextprotocol/server";
import * as z from "zod";

const text = (said: string) => ({ content: [{ type: "text" as const, text: said }] });

/** Resolves when the file `LEDGER.release` is there. */
const released = (ledger: string): Promise<void> =>
  new Promise((resolve) => {
    const watcher = watch(dirname(ledger), () => look());
    const look = (): void => {
      if (!existsSync(`${ledger}.release`)) return;
      watcher.close();
      resolve();
    };
    look();
  });

/**
 * A bank as an MCP server. Every transfer is a line in the ledger file: what a test looks at to know what was done.
 */
export function bank(ledger: string): McpServer {
  const book = (entry: unknown): void => appendFileSync(ledger, `${JSON.stringify(entry)}\n`);
  const server = new McpServer(
    { name: "bank", version: "1" },
    { capabilities: { logging: {}, tools: { listChanged: true } }, instructions: "A bank." },
  );
  const order = { to: z.string(), amount: z.number(), memo: z.string().optional() };
  const transfer = server.registerTool(
    "transfer",
    { description: "Sends money.", inputSchema: z.object(order), annotations: { destructiveHint: true } },
    (args, { mcpReq }: ServerContext) => {
      book({ tool: "transfer", args, meta: mcpReq._meta });
      return { ...text("sent"), _meta: { "proof402/guard": { state: "refused" }, "bank/id": "t1" } };
    },
  );
  server.registerTool("get_balance", { description: "Reads.", inputSchema: z.object({}) }, () => text("100"));
  server.registerTool("fails", { inputSchema: z.object(order) }, (args) => {
    book({ tool: "fails", args });
    return { ...text("the bank is closed"), isError: true };
  });
  server.registerTool("waits", { inputSchema: z.object(order) }, async (args, { mcpReq }: ServerContext) => {
    book({ tool: "waits", args });
    const progressToken = mcpReq._meta?.progressToken;
    if (progressToken !== undefined)
      await mcpReq.notify({
        method: "notifications/progress",
        params: { progressToken, progress: 1, message: "begun" },
      });
    mcpReq.signal.addEventListener("abort", () => book({ tool: "waits", cancelled: true }));
    await released(ledger);
    return text("sent late");
  });
  server.registerTool("change", { inputSchema: z.object({}) }, () => {
    transfer.update({ paramsSchema: z.object({ ...order, from: z.string().optional() }) });
    server.registerTool("send_money", { inputSchema: z.object(order) }, (args) => {
      book({ tool: "send_money", args });
      return text("sent");
    });
    return text("changed");
  });
  server.registerResource(
    "account",
    new ResourceTemplate("account://{name}", {
      list: () => ({ resources: [{ uri: "account://one", name: "one" }] }),
      complete: { name: () => ["one", "two"] },
    }),
    {},
    (uri) => ({ contents: [{ uri: uri.href, text: "100" }] }),
  );
  server.registerPrompt("ask", { argsSchema: z.object({ who: z.string() }) }, ({ who }) => ({
    messages: [{ role: "user", content: { type: "text", text: `How is ${who}?` } }],
  }));
  return server;
}
