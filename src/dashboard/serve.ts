import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { stat } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { getRequestListener } from "@hono/node-server";
import { APPROVAL_SECONDS } from "../buyer/approvals.ts";
import type { Config } from "../config/schema.ts";
import { Proof402Error } from "../errors.ts";
import { isPostgres } from "../storage/postgres-address.ts";
import { openDatabase } from "../storage/database.ts";
import { readAssets } from "./assets.ts";
import { createApp } from "./app.ts";
import type { Place } from "./gate.ts";
import { createWatch } from "./news.ts";
import { openSessions } from "./sessions.ts";

/** The owner's pages on their socket. */
export type Dashboard = {
  /** With the token after `#`. Its holder counts as the owner. It signs in once; later reads give the next one. */
  readonly url: string;
  /**
   * The page of one payment that waits, by the id of `approval_required`'s details, with a token of its own. It signs in once,
   * until `endsAt` (unix ms; in an hour), to see and answer this payment and nothing else. An earlier address of the payment ends.
   */
  approvalUrl(id: string, endsAt?: number): string;
  /** Ends the address of one payment's page, and the sessions begun by it. */
  endApproval(id: string): void;
  /** Takes no more requests, and resolves once the last answer is out. */
  close(): Promise<void>;
};

const HEAD_MS = 10_000;
const BODY_MS = 10_000;

/**
 * Serves the owner's pages on 127.0.0.1 over the configuration's database, which other processes may use meanwhile. It needs no
 * key and no network. With `allowApprovals` the owner can answer payments that wait; nothing else can be changed by it.
 *
 * Throws Proof402Error `port_taken`, and as `openDatabase`.
 */
export async function serveDashboard({
  config,
  allowApprovals = false,
  port = 0,
  clock = () => new Date(),
  onSignIn = () => undefined,
}: {
  config: Config;
  allowApprovals?: boolean;
  /** 0 for a free one. */
  port?: number;
  clock?: () => Date;
  /** Told after a browser has signed in as the owner, with the address for the next one. */
  onSignIn?: (url: string) => void;
}): Promise<Dashboard> {
  const urlNow = (): string => `${origin}/#${sessions.token()}`;
  const sessions = openSessions(() => onSignIn(urlNow()));
  const assets = await readAssets();
  const server = createServer({ headersTimeout: HEAD_MS, requestTimeout: BODY_MS });
  const place: Place = { port: await listen(server, port), at: `/${randomBytes(16).toString("base64url")}` };
  const db = await openDatabase(config.database).catch((error: unknown) => {
    server.close();
    throw error;
  });
  const requireFile = await fileCheck(config.database);
  const watch = createWatch(db, requireFile);
  const app = createApp({ db, config, allowApprovals, clock, requireFile, watch, assets }, place, sessions);
  const respond = getRequestListener(app.fetch, { overrideGlobalObjects: false });
  server.on("request", (incoming, outgoing) => void respond(incoming, outgoing));
  const origin = `http://127.0.0.1:${place.port}`;
  return {
    get url() {
      return urlNow();
    },
    approvalUrl(id, endsAt = clock().getTime() + APPROVAL_SECONDS * 1000) {
      const ticket = sessions.ticket(id, endsAt);
      return `${origin}/approvals/${encodeURIComponent(id)}#${ticket}`;
    },
    endApproval: (id) => sessions.end(id),
    async close() {
      watch.stop();
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
      await db.destroy();
    },
  };
}

async function listen(server: Server, port: number): Promise<number> {
  server.listen(port, "127.0.0.1");
  await once(server, "listening").catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code !== "EADDRINUSE") throw error;
    throw new Proof402Error("port_taken", `Port ${port} is taken.`, {
      next: "Choose another with --port.",
      cause: error,
    });
  });
  return (server.address() as AddressInfo).port;
}

/** Finds out that a database's file was moved or replaced. Reads are stale from then on, and no call sees an answer. */
async function fileCheck(path: string): Promise<() => Promise<void>> {
  if (path === ":memory:" || isPostgres(path)) return () => Promise.resolve();
  const nameOf = async (): Promise<string | null> =>
    stat(path).then(
      ({ dev, ino }) => `${dev} ${ino}`,
      () => null,
    );
  const opened = await nameOf();
  return async () => {
    if ((await nameOf()) === opened) return;
    throw new Proof402Error(
      "database_unusable",
      "The database's file was moved, replaced or deleted since it was opened.",
      {
        next: "End this program and start it again over the database that is in use.",
      },
    );
  };
}
