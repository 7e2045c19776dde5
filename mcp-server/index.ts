/**
 * proof402/mcp: the tools as an MCP server.
 *
 * @module
 */
export { createProof402Server, type Proof402ServerOptions } from "./server.ts";
export { serveMcp } from "./stdio.ts";
