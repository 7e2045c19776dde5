import type { Db } from "../storage/database.ts";
import { sameList, type Recorded } from "./altered-part.ts";
import { broken, type Broken } from "./audit-codes.ts";
import { digestOf } from "./log-digest.ts";
import { claimStates, holdState, jobOutcome, stopState } from "./log-rows.ts";

/** Finds claims or outcomes about a receipt unlike its log entries, or null. */
export function differingAbout(
  id: string,
  recorded: Recorded,
  about: Awaited<ReturnType<typeof readAbout>>,
): Broken | null {
  for (const kind of ["claim", "job"] as const) {
    if (!sameList((about[kind].get(id) ?? []).toSorted(), recorded[kind].toSorted())) {
      const code = kind === "claim" ? "claim_altered" : "job_altered";
      const what = kind === "claim" ? "claims on" : "outcomes of late evidence of";
      return broken(recorded.first.seq, id, code, `The ${what} a receipt are not what was logged.`);
    }
  }
  return null;
}

/** Digests of what the rows about some receipts say, by receipt. */
export async function readAbout(
  tx: Db,
  ids: readonly string[],
): Promise<Record<"claim" | "job", Map<string, string[]>>> {
  const claims = await tx.selectFrom("receipt_claims").selectAll().where("receipt_id", "in", ids).execute();
  const jobs = await tx
    .selectFrom("jobs")
    .select(["kind", "subject", "last_error"])
    .where("subject", "in", ids)
    .where("state", "=", "done")
    .execute();
  const about = { claim: new Map<string, string[]>(), job: new Map<string, string[]>() };
  const add = (kind: "claim" | "job", id: string, states: readonly unknown[]): unknown =>
    about[kind].set(id, [...(about[kind].get(id) ?? []), ...states.map(digestOf)]);
  for (const row of claims) add("claim", row.receipt_id, claimStates(row));
  for (const row of jobs) add("job", row.subject, [jobOutcome(row)]);
  return about;
}

/** Finds a claim without a stored receipt, and a seller's hold or a stop unlike its last log entry; null if there is none. */
export async function compareOthers(
  tx: Db,
  { holds, stops }: Readonly<Record<"holds" | "stops", ReadonlyMap<string, string>>>,
): Promise<Broken | null> {
  const stray = await tx
    .selectFrom("receipt_claims")
    .select("receipt_id")
    .where((eb) => eb.not(eb.exists(eb.selectFrom("receipts").select("id").whereRef("id", "=", "receipt_id"))))
    .executeTakeFirst();
  if (stray !== undefined)
    return broken(null, stray.receipt_id, "claim_altered", "A claim is on a receipt that is not stored.");
  const rows = await tx.selectFrom("seller_holds").selectAll().execute();
  const held = differing(new Map(rows.map((row) => [row.seller_id, digestOf(holdState(row))])), holds);
  if (held !== undefined)
    return broken(null, null, "hold_altered", `The hold of seller "${held.slice(0, 64)}" is not what was logged.`);
  const ordered = await tx.selectFrom("guard_stops").selectAll().execute();
  const stop = differing(new Map(ordered.map((row) => [String(row.id), digestOf(stopState(row))])), stops);
  return stop === undefined
    ? null
    : broken(null, null, "stop_altered", `Emergency stop ${stop.slice(0, 64)} is not what was logged.`);
}

/** Finds the first subject with another stored row than its last log entry. */
const differing = (stored: ReadonlyMap<string, string>, logged: ReadonlyMap<string, string>): string | undefined =>
  [...new Set([...stored.keys(), ...logged.keys()])].find((id) => stored.get(id) !== logged.get(id));
