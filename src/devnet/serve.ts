import { serve, type ServerType } from "@hono/node-server";
import { portTaken } from "./port-taken.ts";

/** A web-standard handler on a loopback socket. */
export type Served = { origin: string; stop: () => Promise<void> };

/**
 * Serves on 127.0.0.1; port 0 takes a free one. Throws Proof402Error `port_taken`.
 *
 * @example
 * ```ts
 * import { serveLocally } from "proof402/devnet";
 *
 * const { origin, stop } = await serveLocally(() => new Response("hello"));
 * process.stdout.write(await (await fetch(origin)).text());
 * await stop();
 * ```
 */
export function serveLocally(fetch: (request: Request) => Response | Promise<Response>, port = 0): Promise<Served> {
  return new Promise((resolve, reject) => {
    const server: ServerType = serve({ fetch, port, hostname: "127.0.0.1" }, (info) => {
      resolve({
        origin: `http://127.0.0.1:${info.port}`,
        stop: () =>
          new Promise((done) => {
            server.close(() => done());
            // Buyers keep connections alive; nothing is owed to them.
            if ("closeAllConnections" in server) server.closeAllConnections();
          }),
      });
    });
    server.once("error", (error: NodeJS.ErrnoException) =>
      reject(error.code === "EADDRINUSE" ? portTaken(port, error) : error),
    );
  });
}
