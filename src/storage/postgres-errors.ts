import { Proof402Error } from "../errors.ts";

/** How long a statement waits for another connection's write transaction, and for a server that is away, ms. */
export const PATIENCE_MS = 10_000;

const codeOf = (error: unknown): string =>
  error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "";

/** PostgreSQL, Appendix A: a lock not to be had, a canceled statement, a deadlock, too many connections. */
const isBusy = (error: unknown): boolean => /^(?:55P03|57014|40P01|40001|53300)$/.test(codeOf(error));
/** Classes 08 and 57P, and 25P03 and 25P04, end a connection. The driver and the system have words of their own for that. */
const isLost = (error: unknown): boolean =>
  /^(?:08|57P|25P0[34]|ECONN|EPIPE|EHOST|ENET|ETIMEDOUT|ENOTFOUND|EAI_|ENOENT)/.test(codeOf(error)) ||
  (error instanceof Error &&
    /^Connection terminated|not queryable|^timeout expired|timeout exceeded when trying|^Query read timeout/.test(
      error.message,
    ));
/** The role may not, or the server takes no writes: insufficient_privilege, read_only_sql_transaction. */
const isForbidden = (error: unknown): boolean => /^(?:42501|25006)$/.test(codeOf(error));

/** An error of the driver as one of the library, or the error itself where it is about the statement. */
export function toldOf(error: unknown): unknown {
  if (isBusy(error)) return busy(error);
  if (isLost(error)) return unreachable("The database does not answer, and nothing of this was written.", error);
  return isForbidden(error) ? forbidden(error) : error;
}

/** An error at connecting. The server's own words name a user, a database or a certificate, and no password. */
export function toldAtOpening(error: unknown): Proof402Error {
  const told = toldOf(error);
  if (Proof402Error.isInstance(told)) return told;
  const words = error instanceof Error ? `: ${error.message}` : "";
  return new Proof402Error("database_unusable", `The database's server takes no connection${words}.`, {
    next: "Check the address, the user and its password. The configuration's database, or PROOF402_DATABASE, has the address; PGPASSWORD or a pgpass file the password.",
    cause: error,
  });
}

/** Whether an error says that the connection is gone. */
export const isUnreachable = (error: unknown): boolean =>
  Proof402Error.isInstance(error) && error.code === "database_unreachable";

/**
 * Whether a commit's error is about its own statements and so says that nothing was written: a constraint, an invalid
 * transaction state, a rollback, a name the schema lacks (classes 23, 25, 40 but for 40003, and 42).
 */
export const isRolledBack = (error: unknown): boolean =>
  /^(?:23|25|40(?!003)|42)/.test(codeOf(Proof402Error.isInstance(error) ? error.cause : error)) &&
  !isUnreachable(error);

export const unreachable = (message: string, cause: unknown): Proof402Error =>
  new Proof402Error("database_unreachable", message, {
    next: "Call again with the same idempotency key once it does; `spending` shows what is reserved.",
    cause,
  });

const busy = (cause: unknown): Proof402Error =>
  new Proof402Error("database_busy", `The database was locked by other work for ${PATIENCE_MS / 1000} s.`, {
    next: "Call again with the same idempotency key; `spending` shows what is reserved.",
    cause,
  });

const forbidden = (cause: unknown): Proof402Error =>
  new Proof402Error("database_permissions", "The role of this connection may not write to the database.", {
    next: "Give the role the right to create and change tables in its schema, or use another role. A standby takes no writes.",
    cause,
  });
