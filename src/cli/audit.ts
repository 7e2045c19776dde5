import type { Command } from "commander";
import { auditLog } from "../receipts/log.ts";
import { EXIT, globals, print, printResult } from "./globals.ts";
import { auditedWithRoot, rootText, type RootedAudit } from "./log-roots.ts";
import { busy } from "./progress.ts";
import { configOf, withStore } from "./session.ts";

/** `proof402 audit`: walks the receipt log, and compares it with its root on chain. Exits 1 where it is broken. */
export async function auditReceipts({ roots }: { roots: boolean }, command: Command): Promise<number> {
  const { json = false, ...rest } = globals(command);
  const config = await configOf(rest);
  const result = await busy("Walking the receipt log", () =>
    withStore(rest, async (db): Promise<RootedAudit> => {
      const walked = await auditLog(db);
      return roots ? auditedWithRoot(db, config, walked) : walked;
    }),
  );
  if (json)
    printResult(
      result,
      result.ok
        ? "Keep the head elsewhere: a later log has to hold it."
        : "Trust nothing from that entry on. Restore the database from a copy.",
    );
  else if (result.ok) {
    print(
      `The log is whole: ${result.entries} entries, ${result.receipts} receipts, ${result.decisions} decisions. Head ${result.head}`,
    );
    if (result.pruned > 0)
      print(
        `Of ${result.pruned} receipts the owner pruned requests or answers; the log says when, and their hashes stay.`,
      );
    if (result.root !== undefined)
      print(result.root === null ? "No root of it is on chain: see proof402 log publish." : rootText(result.root));
    for (const id of result.contradicted)
      print(`Action ${id} ended otherwise than was decided before. Look at it with: proof402 guard show ${id}`);
  } else {
    print(
      `The log is BROKEN at entry ${result.seq ?? "(none)"}, receipt or decision ${result.receiptId ?? "(none)"}: ${result.message} [${result.code}]`,
    );
  }
  return result.ok ? EXIT.ok : EXIT.failed;
}
