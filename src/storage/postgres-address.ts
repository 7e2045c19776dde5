import { Proof402Error } from "../errors.ts";

/** Whether a configured database is a server's address and no file. */
export const isPostgres = (database: string): boolean => /^postgres(?:ql)?:\/\//.test(database);

/** The database as messages show it: a file's path, or an address without its password and its options. */
export function shownDatabase(database: string): string {
  if (!isPostgres(database)) return database;
  if (!URL.canParse(database)) return "postgres://";
  const { protocol, username, host, pathname } = new URL(database);
  return `${protocol}//${username === "" ? "" : `${username}@`}${host}${pathname}`;
}

/** Whether an address leads to this machine, by a socket's folder or by loopback. */
const isHere = ({ hostname, searchParams }: URL): boolean =>
  hostname === "" ||
  (searchParams.get("host") ?? "").startsWith("/") ||
  /^(?:localhost|127(?:\.\d+){3}|\[::1\]|%2f.*)$/i.test(hostname);

/**
 * Throws Proof402Error `config_invalid` for a malformed address, and for another machine's without a word on the protection of
 * the connection. No message holds the address: a password may stand in it.
 */
export function requireAddress(database: string): void {
  if (!URL.canParse(database)) {
    throw new Proof402Error("config_invalid", "The database's address is no URL.", {
      next: "Write postgres://USER@HOST:PORT/NAME, with special characters percent-encoded.",
    });
  }
  const url = new URL(database);
  if (isHere(url) || url.searchParams.has("sslmode")) return;
  throw new Proof402Error(
    "config_invalid",
    `The database at ${shownDatabase(database)} is on another machine, and its address does not say how the connection is protected.`,
    {
      next: "Add ?sslmode=verify-full, and &sslrootcert=FILE for a certificate of your own; or ?sslmode=disable in a network of your own.",
    },
  );
}
