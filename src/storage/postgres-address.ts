import { Proof402Error } from "../errors.ts";

/** Whether a configured database is a server's address and no file: in any spelling of its scheme, so that none becomes a file. */
export const isPostgres = (database: string): boolean => ADDRESS.test(database) && !FILE.test(database);

/** A scheme, as in an address (RFC 3986, section 3.1). */
const ADDRESS = /^\s*[a-z][a-z0-9+.-]*:\/\//i;
/** A file's address, which is a path to the driver of files. */
const FILE = /^\s*file:/i;

/** The database as messages show it: a file's path, or an address without its password and its options. */
export function shownDatabase(database: string): string {
  if (!isPostgres(database)) return database;
  if (!URL.canParse(database)) return "postgres://";
  const { protocol, username, host, pathname } = new URL(database);
  return `${protocol}//${username === "" ? "" : `${username}@`}${host}${pathname}`;
}

/** The host as the driver reads it: the last one of the options, else the address's own, else the environment's. */
const hostOf = ({ hostname, searchParams }: URL): string =>
  searchParams.getAll("host").at(-1) || hostname || process.env["PGHOST"] || "localhost";

/** The host that an address names among its options, or null. */
export const hostOfOptions = (database: string): string | null =>
  URL.canParse(database) ? new URL(database).searchParams.getAll("host").at(-1) || null : null;

/** Whether a host is this machine, by a socket's folder or by loopback. */
const isHere = (host: string): boolean => /^(?:\/|%2f|(?:localhost|127(?:\.\d+){3}|\[?::1\]?)$)/i.test(host);

/** What the driver knows: each says by itself whether the connection is encrypted, and whether the server is checked. */
const SSL_MODES: readonly (string | undefined)[] = [
  "disable",
  "prefer",
  "require",
  "verify-ca",
  "verify-full",
  "no-verify",
];

/**
 * Throws Proof402Error `config_invalid` for a malformed address, and for another machine's without a word on the protection of
 * the connection. No message holds the address: a password may stand in it.
 */
export function requireAddress(database: string): void {
  if (!/^postgres(?:ql)?:\/\//.test(database) || !URL.canParse(database)) {
    throw new Proof402Error("config_invalid", "The database's address is no URL of a PostgreSQL server.", {
      next: "Write postgres://USER@HOST:PORT/NAME, with special characters percent-encoded.",
    });
  }
  const url = new URL(database);
  if (isHere(hostOf(url)) || SSL_MODES.includes(url.searchParams.getAll("sslmode").at(-1))) return;
  throw new Proof402Error(
    "config_invalid",
    `The database at ${hostOf(url)} is on another machine, and its address does not say how the connection is protected.`,
    {
      next: "Add ?sslmode=verify-full, and &sslrootcert=FILE for a certificate of your own; or ?sslmode=disable in a network of your own.",
    },
  );
}
