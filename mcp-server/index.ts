/**
 * proof402/mcp: the tools as an MCP server, and a guard before any other one.
 *
 * @module
 */
export type { ApprovalPage, PaymentPages } from "./approval.ts";
export type { Proof402ServerOptions } from "./call.ts";
export { checkGuard, type CheckedTool } from "./guard/check.ts";
export { serveGuard, type GuardedServer, type GuardServeOptions } from "./guard/serve.ts";
export { SCOPES, type McpClient, type Scope } from "./http/access.ts";
export type { McpClients } from "./http/roll.ts";
export { serveMcpHttp, type HttpOptions, type ServedMcp } from "./http/serve.ts";
export { createProof402Server } from "./server.ts";
export { serveMcp } from "./stdio.ts";
