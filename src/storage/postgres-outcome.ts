import { setTimeout as sleep } from "node:timers/promises";
import type { Proof402Error } from "../errors.ts";
import { PATIENCE_MS, unreachable } from "./postgres-errors.ts";

type Ask = (text: string, values: readonly unknown[]) => Promise<unknown[]>;

/** What a transaction came to. */
export type Outcome = "committed" | "aborted" | "unknown";

/**
 * Asks the server for the end of a transaction after a commit without an answer (PostgreSQL 9.27, `pg_xact_status`). Its session
 * may still run, or wait on a dead connection: the server ends it, and finishes a commit under way.
 */
export async function outcomeOf(transaction: string, ask: Ask, patience = PATIENCE_MS): Promise<Outcome> {
  const deadline = performance.now() + patience;
  for (let wait = 5; performance.now() < deadline; wait = Math.min(wait * 2, 250)) {
    try {
      const [row] = (await ask(STATUS, [transaction])) as { status: string | null }[];
      const status = row?.status ?? null;
      if (status === "committed" || status === "aborted") return status;
      if (status === null) return "unknown";
      // A role may not be allowed to: then the server's own limits end the session.
      await ask(END, [transaction]).catch(() => undefined);
    } catch {
      // It may be starting again.
    }
    await sleep(wait);
  }
  return "unknown";
}

const STATUS = "select pg_xact_status($1::xid8) as status";
const END = "select pg_terminate_backend(pid) from pg_stat_activity where backend_xid = $1::xid8::xid";

export const notCommitted = (became: Exclude<Outcome, "committed">, cause: unknown): Proof402Error =>
  unreachable(
    became === "aborted"
      ? "The database went away before it wrote the last step, and nothing of that was written."
      : "The database went away while it wrote the last step: it may have written it or not.",
    cause,
  );
