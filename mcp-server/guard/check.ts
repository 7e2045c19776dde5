import {
  CLIENT_CAPABILITIES_META_KEY,
  CLIENT_INFO_META_KEY,
  PROTOCOL_VERSION_META_KEY,
  type JSONRPCRequest,
} from "@modelcontextprotocol/server";
import type { GuardConfig } from "proof402";
import { VERSION } from "proof402/tools";
import { allTools, problemsOf, schemaDigest, type ListedTool } from "./catalog.ts";
import { transportTo, type GuardedServer } from "./serve.ts";
import { connectUpstream, lost, type Upstream } from "./upstream.ts";

/** What a guard makes of one tool, of the server or of its configuration. */
export type CheckedTool = {
  name: string;
  treated: "guarded" | "pass" | "hide" | "refuse";
  /** Of the input schema, to be pinned; null for a tool that the server does not have. */
  schema: string | null;
  /** Why the guard would not start. */
  problem: string | null;
};

/**
 * Connects to a server, lists its tools, and tells what a guard with this configuration does with each. Calls none of
 * them. Throws Proof402Error `guard_upstream`.
 *
 * @example
 * ```ts
 * import { readFile } from "node:fs/promises";
 * import { parseGuardConfig } from "proof402";
 * import { checkGuard } from "proof402/mcp";
 *
 * const config = parseGuardConfig(await readFile("guard.json", "utf8"));
 * const tools = await checkGuard(config, { command: ["npx", "some-mcp-server"] });
 * const problems = tools.filter(({ problem }) => problem !== null);
 * ```
 */
export async function checkGuard(config: GuardConfig, server: GuardedServer): Promise<CheckedTool[]> {
  // What the server asks or tells meanwhile has no one to hear it.
  const upstream = await connectUpstream(await transportTo(server, config), () => undefined);
  try {
    const { tools } = await allTools((request) => upstream.ask(request), await greeted(upstream));
    return await told(tools, config);
  } finally {
    await upstream.close();
  }
}

/** Speaks the older protocol if the server does, else the newer one. Gives the form of the requests to come. */
async function greeted(upstream: Upstream): Promise<JSONRPCRequest> {
  const clientInfo = { name: "proof402", version: VERSION };
  const request = (meta: Record<string, unknown>): JSONRPCRequest => ({
    jsonrpc: "2.0",
    id: 0,
    method: "tools/list",
    params: { _meta: meta },
  });
  const answer = await upstream.ask({
    method: "initialize",
    params: { protocolVersion: "2025-11-25", capabilities: {}, clientInfo },
  });
  if ("error" in answer)
    return request({
      [PROTOCOL_VERSION_META_KEY]: "2026-07-28",
      [CLIENT_INFO_META_KEY]: clientInfo,
      [CLIENT_CAPABILITIES_META_KEY]: {},
    });
  const version = answer.result["protocolVersion"];
  if (typeof version !== "string") throw lost("agrees on no version of the protocol");
  upstream.agreeOn(version);
  await upstream.send({ jsonrpc: "2.0", method: "notifications/initialized" });
  return request({});
}

async function told(tools: readonly ListedTool[], config: GuardConfig): Promise<CheckedTool[]> {
  const problems = await problemsOf(tools, config);
  const missing = [...config.tools.keys()].filter((name) => !tools.some((tool) => tool.name === name));
  const row = (name: string, tool: ListedTool | null): CheckedTool => {
    const rule = config.ruleOf(name);
    return {
      name,
      treated: typeof rule === "string" ? rule : "guarded",
      schema: tool === null ? null : schemaDigest(tool),
      problem: problems.get(name)?.message ?? null,
    };
  };
  return [...tools.map((tool) => row(tool.name, tool)), ...missing.map((name) => row(name, null))];
}
