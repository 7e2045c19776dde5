import type { McpServer, ServerContext } from "@modelcontextprotocol/server";
import type { ToolOutcome } from "proof402/tools";

/** The level that a request of 2026 asks with. */
const LEVEL_KEY = "io.modelcontextprotocol/logLevel";
const LEVELS: readonly string[] = ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"];

/** Writes a line of the server's log to the client that asked for one. */
export type Log = (context: ServerContext, tool: string, outcome: ToolOutcome<unknown>) => Promise<void>;

/**
 * Tells each call's end to a client that set a level: by `logging/setLevel` in 2025, with its request in 2026. Others get no line.
 * No line holds a seller's words.
 */
export function keepLog({ server }: McpServer, era: "legacy" | "modern"): Log {
  let level: string | undefined;
  if (era === "legacy")
    server.setRequestHandler("logging/setLevel", ({ params }) => {
      ({ level } = params);
      return {};
    });
  return async ({ mcpReq }, tool, outcome) => {
    const envelope: Readonly<Record<string, unknown>> | undefined = mcpReq.envelope;
    const wanted = era === "legacy" ? level : envelope?.[LEVEL_KEY];
    if (typeof wanted !== "string") return;
    const own = outcome.status === "error" ? "warning" : "info";
    if (LEVELS.indexOf(own) < LEVELS.indexOf(wanted)) return;
    const failure = outcome.status === "error" ? { code: outcome.error.code, money: outcome.error.money ?? null } : {};
    const params = { level: own, logger: "proof402", data: { tool, status: outcome.status, ...failure } };
    // A client that has gone away reads no log.
    await mcpReq.notify({ method: "notifications/message", params }).catch(() => undefined);
  };
}
