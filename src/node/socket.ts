import { readFile } from "node:fs/promises";
import { createServer as createPlainServer } from "node:http";
import { createServer } from "node:https";
import type { Socket } from "node:net";
import { serve, type HttpBindings, type ServerType } from "@hono/node-server";
import { Proof402Error } from "../errors.ts";
import { readSecret, type NodeConfig } from "./config.ts";

type Listen = NodeConfig["listen"];
/** Certificate chain and key, PEM. Null serves plain HTTP. */
export type Tls = { cert: string; key: string } | null;

/** A server on its socket, with every connection that it holds. */
export type OpenSocket = { server: ServerType; address: string; sockets: ReadonlySet<Socket> };

/** A body's time to come whole, and the head's. */
const BODY_MS = 30_000;
const HEAD_MS = 10_000;

/** Reads the TLS files. Throws Proof402Error `file_unreadable` or `config_permissions`. */
export async function readTls({ tls }: Listen): Promise<Tls> {
  if (tls === undefined) return null;
  const cert = await readFile(tls.certificateFile, "utf8").catch((cause: unknown) => {
    throw new Proof402Error(
      "file_unreadable",
      `${tls.certificateFile} (listen.tls.certificateFile) could not be read.`,
      {
        next: "Correct listen.tls.certificateFile in the configuration.",
        cause,
      },
    );
  });
  return { cert, key: await readSecret(tls.keyFile, "listen.tls.keyFile") };
}

/** Listens. Throws Proof402Error `port_taken`, which names the configuration's field. */
export function openSocket(
  fetch: (request: Request, env: HttpBindings) => Response | Promise<Response>,
  { host, port }: Pick<Listen, "host" | "port">,
  { tls = null, field = "listen.port" }: { tls?: Tls; field?: string } = {},
): Promise<OpenSocket> {
  return new Promise((resolve, reject) => {
    const times = { requestTimeout: BODY_MS, headersTimeout: HEAD_MS, connectionsCheckingInterval: 5_000 };
    const made =
      tls === null
        ? { createServer: createPlainServer, serverOptions: times }
        : { createServer, serverOptions: { ...times, ...tls, handshakeTimeout: HEAD_MS } };
    const answer = (request: Request, env: unknown): Response | Promise<Response> =>
      fetch(request, env as HttpBindings);
    // HTTP's own list lacks connections that are still in their TLS handshake.
    const sockets = new Set<Socket>();
    const server: ServerType = serve({ fetch: answer, hostname: host, port, ...made }, (info) => {
      const name = host.includes(":") ? `[${host}]` : host;
      resolve({ server, sockets, address: `${tls === null ? "http" : "https"}://${name}:${info.port}` });
    });
    server.on("connection", (socket: Socket) => {
      sockets.add(socket);
      socket.once("close", () => sockets.delete(socket));
    });
    server.once("error", (error: NodeJS.ErrnoException) => {
      reject(
        error.code === "EADDRINUSE"
          ? new Proof402Error("port_taken", `Port ${port} is taken (${field}).`, {
              next: `Choose another in ${field}.`,
              cause: error,
            })
          : error,
      );
    });
  });
}
