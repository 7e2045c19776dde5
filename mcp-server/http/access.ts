import { createHash, timingSafeEqual } from "node:crypto";
import { tools } from "proof402/tools";
import type { ApprovalPage } from "../approval.ts";

/** What a client may do: look at models, receipts and spending; spend. */
export const SCOPES = ["read", "buy"] as const;
export type Scope = (typeof SCOPES)[number];

/** A program that may call, known by its token. */
export type McpClient = {
  /** Purchases count for it, and idempotency keys are its own. Letters, digits, `.`, `_` and `-`. */
  name: string;
  /** SHA-256 of the token, hex. The token itself is kept nowhere. */
  tokenSha256: string;
  scopes: readonly Scope[];
  /** The most it may spend in `per`, US dollars. Absent: the payment policy alone bounds it. */
  maxUsd?: number | undefined;
  per?: "hour" | "day" | "total" | undefined;
  /** As `createProof402Server` takes it. For the owner's own client alone. */
  approvalPage?: ApprovalPage | undefined;
};

/** The client an `authorization` header names (RFC 6750), or null. Compares with each client, in the same time for each. */
export function clientOf(authorization: string | undefined, clients: readonly McpClient[]): McpClient | null {
  const given = /^Bearer +([A-Za-z0-9._~+/-]+=*)$/i.exec(authorization ?? "")?.[1] ?? "";
  const digest = createHash("sha256").update(given).digest();
  let found: McpClient | null = null;
  for (const client of clients)
    if (timingSafeEqual(digest, Buffer.from(client.tokenSha256, "hex")) && given !== "") found = client;
  return found;
}

/** Methods for any client: they tell of the server alone. */
const OPEN: ReadonlySet<string> = new Set([
  "initialize",
  "ping",
  "server/discover",
  "tools/list",
  "prompts/list",
  "resources/templates/list",
  "logging/setLevel",
]);

/** The scopes that the messages of one request need. An unknown method needs `read`, an unknown tool both. */
export function neededScopes(body: unknown): Scope[] {
  const needed = new Set<Scope>();
  for (const message of Array.isArray(body) ? (body as unknown[]) : [body]) {
    if (typeof message !== "object" || message === null || !("method" in message)) continue;
    const { method } = message;
    if (typeof method === "string" && (OPEN.has(method) || method.startsWith("notifications/"))) continue;
    if (method !== "tools/call") needed.add("read");
    else for (const scope of scopesOfTool("params" in message ? message.params : null)) needed.add(scope);
  }
  return [...needed];
}

function scopesOfTool(params: unknown): readonly Scope[] {
  const name = typeof params === "object" && params !== null && "name" in params ? params.name : undefined;
  const tool = tools.find((one) => one.name === name);
  if (tool === undefined) return SCOPES;
  return tool.annotations.readOnlyHint ? ["read"] : ["buy"];
}

const WELL_KNOWN = "/.well-known/oauth-protected-resource";

/** The address of the metadata of a resource (RFC 9728 §3.1): the well-known path before the resource's own. */
export const metadataUrl = (resource: URL): string => `${resource.origin}${WELL_KNOWN}${resource.pathname}`;

/** The metadata of the resource (RFC 9728 §2) where `path` asks for it, else null. No server issues these tokens: the owner does. */
export function metadataAt(path: string, resource: URL): object | null {
  if (path !== WELL_KNOWN && path !== WELL_KNOWN + resource.pathname) return null;
  return {
    resource: resource.href,
    resource_name: "proof402",
    scopes_supported: SCOPES,
    bearer_methods_supported: ["header"],
  };
}

/** A refusal's status, its headers and the error of OAuth (RFC 6750 §3) with what to do. */
export type Refusal = { status: number; headers: Record<string, string>; body: object };

export const unauthorized = (resource: URL, given: boolean): Refusal => {
  const error = given ? [`error="invalid_token"`] : [];
  return challenge(401, resource, [...error, `scope="${SCOPES.join(" ")}"`], {
    error: "invalid_token",
    error_description: `The bearer token is ${given ? "not one of a client of this server" : "missing"}. Nothing was done. Send the token that the owner of this server gave you.`,
  });
};

export const insufficient = (resource: URL, needed: readonly Scope[], { name, scopes }: McpClient): Refusal =>
  challenge(403, resource, [`error="insufficient_scope"`, `scope="${needed.join(" ")}"`], {
    error: "insufficient_scope",
    error_description: `The client "${name}" has the scopes ${scopes.join(" ") || "(none)"}, and this needs ${needed.join(" ")}. Nothing was done and no money moved. Only the owner can give it more.`,
  });

const challenge = (status: number, resource: URL, parts: readonly string[], body: object): Refusal => ({
  status,
  headers: { "www-authenticate": `Bearer ${[...parts, `resource_metadata="${metadataUrl(resource)}"`].join(", ")}` },
  body,
});
