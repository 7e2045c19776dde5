import type { Command } from "commander";
import { judgeContext } from "../buyer/judge.ts";
import { pruneReceipts, REASONS, type Pruning } from "../buyer/prune.ts";
import { EXIT, globals, note, print, printResult } from "./globals.ts";
import { durationOf } from "./numbers.ts";
import { confirm } from "./owner.ts";
import { busy } from "./progress.ts";
import { configOf, withStore } from "./session.ts";

type PruneOptions = { older: string; dryRun?: boolean; yes?: boolean };

/** `proof402 receipts prune`: says what it would delete, asks, and deletes it. */
export async function pruneOlder({ older, dryRun = false, yes }: PruneOptions, command: Command): Promise<number> {
  const { json = false, ...rest } = globals(command);
  const before = new Date(Date.now() - durationOf(older, "--older"));
  const config = await configOf(rest);
  const prune = (look: boolean): Promise<Pruning> =>
    busy(look ? "Reading the receipts" : "Pruning", () =>
      withStore(rest, (db) => pruneReceipts(judgeContext(config, db), { before, look })),
    );
  const found = await prune(true);
  const until = before.toISOString();
  if (dryRun || found.receipts === 0) {
    if (json) printResult({ before: until, pruned: false, ...found }, "Nothing was deleted.");
    else print(`${found.receipts === 0 ? "Nothing to prune" : "Would prune"}: ${textOf(found, until)}`);
    return EXIT.ok;
  }
  note(
    `Deletes ${textOf(found, until)} Evidence, hashes and log stay. A receipt that is verified by these bytes is unverified from then on.`,
  );
  await confirm(yes, { question: "Delete them?", otherwise: "Nothing was deleted." });
  const done = await prune(false);
  const next = "Backups and exported files still have the bytes. `proof402 audit` says how many receipts are pruned.";
  if (json) printResult({ before: until, pruned: true, ...done }, next);
  else {
    print(`Pruned: ${textOf(done, until)} ${done.unverified} that were verified are unverified now.`);
    note(next);
  }
  return EXIT.ok;
}

function textOf({ receipts, bytes, kept, left }: Pruning, until: string): string {
  const reasons = Object.entries(REASONS).flatMap(([reason, words]) => {
    const count = kept[reason as keyof typeof REASONS];
    return count === 0 ? [] : [`${count} ${words}`];
  });
  return [
    `requests and answers of ${receipts} receipts stored before ${until}, ${bytes} bytes.`,
    ...(reasons.length === 0 ? [] : [`Others keep theirs: ${reasons.join(", ")}.`]),
    ...(left.length === 0 ? [] : [`Damaged or full, and left as they are: ${left.join(", ")}.`]),
  ].join(" ");
}
