/**
 * proof402/mcp: the tools as an MCP server.
 *
 * @module
 */
export type { Proof402ServerOptions } from "./call.ts";
export { createProof402Server } from "./server.ts";
export { serveMcp } from "./stdio.ts";
