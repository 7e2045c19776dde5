import { createHash } from "node:crypto";
import { request, type IncomingHttpHeaders } from "node:http";
import { Client, StreamableHTTPClientTransport, type ClientOptions } from "@modelcontextprotocol/client";
import type { McpClient, Scope } from "../../mcp-server/http/access.ts";

/** The protocol's eras, as the v2 client is told to speak them. */
export const ERAS = { "2026-07-28": { mode: { pin: "2026-07-28" } }, "2025-11-25": { mode: "legacy" } } as const;
export type Era = keyof typeof ERAS;
export const eras = Object.keys(ERAS) as Era[];

/** A client of a server under test, by its name: its token is `token-of-NAME`. */
export const clientNamed = (
  name: string,
  scopes: readonly Scope[] = ["read", "buy"],
  budget: Pick<McpClient, "maxUsd" | "per"> = {},
): McpClient => ({
  name,
  tokenSha256: createHash("sha256").update(`token-of-${name}`).digest("hex"),
  scopes,
  ...budget,
});

export const bearer = (name: string): { authorization: string } => ({ authorization: `Bearer token-of-${name}` });

/** A v2 client that bears the token of `name`. */
export async function connectOverHttp(
  url: string,
  name: string,
  era: Era,
  options: ClientOptions & { prepare?: (client: Client) => void } = {},
): Promise<Client> {
  const { prepare, ...rest } = options;
  const client = new Client({ name: "test", version: "1" }, { versionNegotiation: ERAS[era], ...rest });
  prepare?.(client);
  await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers: bearer(name) } }));
  return client;
}

export const INITIALIZE = {
  jsonrpc: "2.0",
  id: 0,
  method: "initialize",
  params: { protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name: "test", version: "1" } },
};

export type Raw = { status: number; headers: IncomingHttpHeaders; text: string; json: () => unknown };

/** A request as it is written here: with any host, origin and body. `until` ends the reading of an open stream. */
export function raw(
  url: string,
  {
    method = "POST",
    headers = {},
    body,
    path,
    until,
  }: {
    method?: string;
    headers?: Record<string, string>;
    body?: unknown;
    path?: string;
    until?: (text: string) => boolean;
  },
): Promise<Raw> {
  const { hostname, port, pathname } = new URL(url);
  const text = body === undefined ? undefined : typeof body === "string" ? body : JSON.stringify(body);
  return new Promise((resolve, reject) => {
    const asked = request(
      {
        hostname,
        port,
        path: path ?? pathname,
        method,
        agent: false,
        headers: {
          accept: "application/json, text/event-stream",
          ...(text === undefined ? {} : { "content-type": "application/json" }),
          ...headers,
        },
      },
      (response) => {
        let read = "";
        const done = (): void =>
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            text: read,
            json: () =>
              JSON.parse(read.startsWith("{") ? read : (/^data: (\{.*)$/m.exec(read)?.[1] ?? "null")) as unknown,
          });
        response.on("data", (chunk: Buffer) => {
          read += chunk.toString();
          if (until?.(read) !== true) return;
          done();
          asked.destroy();
        });
        response.on("end", done);
        response.on("error", () => undefined);
      },
    );
    asked.on("error", reject);
    asked.end(text);
  });
}
