import { Option, type Command } from "commander";
import { Proof402Error } from "../errors.ts";
import { forReceipts } from "./for-receipts.ts";
import type { Lazily } from "./lazily.ts";
import { VERDICTS } from "../receipts/words.ts";

/** Adds `receipts` and its commands. Each loads its module when it runs. */
export function addReceiptCommands(program: Command, lazily: Lazily): void {
  const receipts = program
    .command("receipts")
    .description("stored receipts; an id may be cut short as long as one receipt alone begins with it");
  withFilters(
    receipts
      .command("list", { isDefault: true })
      .description("the newest first; says how many more there are")
      .option("--limit <n>", "how many", "20")
      .option("--skip <n>", "leave out the newest", "0"),
  )
    .addHelpText("after", "\nExample: proof402 receipts list --verdict failed --since 2026-11-01")
    .action(lazily(async () => forReceipts((await import("./receipts.ts")).listReceipts)));
  withFilters(
    program
      .command("audit-models")
      .description("models asked for and served, tokens and prices, by seller and month, from the receipts")
      .option("--csv <file>", "write the table as CSV; - writes to standard output"),
  )
    .addHelpText(
      "after",
      "\nExample: proof402 audit-models --since 2026-11-01\nExits 0, or 1 if a seller said that another model served.",
    )
    .action(lazily(async () => forReceipts((await import("./audit-models.ts")).auditServedModels)));
  receipts
    .command("show <id>")
    .description("one receipt and its newest verdict")
    .option(
      "--wait <seconds>",
      "look for missing evidence and wait while the verdict is pending or the payment is not seen on chain",
    )
    .action(lazily(async () => forReceipts((await import("./receipts.ts")).showReceipt)));
  withFilters(
    receipts
      .command("export <id-or-file> [file]")
      .usage(
        "[options] <id> <file>\n       proof402 receipts export [options] <file>   with --csv or --json: all receipts",
      )
      .description("write one receipt as a self-contained file, or a table of all; - writes to standard output")
      .option("--redact-request", "leave out the request's bytes (hashes stay)")
      .option("--redact-response", "leave out the response's bytes (hashes stay)")
      .option("--html", "one receipt as a page for people; the file without it is the evidence")
      .option("--csv", "a table of all receipts that the filters let through, one a line"),
  )
    .addHelpText(
      "after",
      `\nExamples: proof402 receipts export p402_... receipt.json
          proof402 receipts export --csv receipts.csv --since 2026-11-01 --before 2026-12-01`,
    )
    .action(lazily(async () => forReceipts((await import("./export.ts")).exportReceipts)));
  receipts
    .command("import <file>")
    .description("keep a receipt made elsewhere")
    .action(lazily(async () => forReceipts((await import("./receipts.ts")).importReceipt)));
  receipts
    .command("prune")
    .description("delete the requests' and answers' bytes of older receipts; evidence, hashes and log stay")
    .requiredOption("--older <duration>", "of receipts stored longer ago than this, such as 90d")
    .requiredOption("--keep-proofs", "keep evidence, hashes, log and roots: nothing else is pruned")
    .option("--dry-run", "only say what it would delete")
    .option("--yes", "do not ask")
    .addHelpText(
      "after",
      "\nExample: proof402 receipts prune --older 90d --keep-proofs --dry-run\nWhat needs the bytes is not verified any more: export a receipt first where its proof has to last.",
    )
    .action(lazily(async () => (await import("./prune.ts")).pruneOlder));
  receipts
    .command("publish <id>")
    .description("post a receipt's hash and verdict to the configured ERC-8004 Validation Registry; costs gas")
    .option("--agent <id>", "the seller's agent id in that registry", "0")
    .option("--proof", "have the receipt's zk proof checked by the configured contract, too")
    .option("--yes", "do not ask")
    .addHelpText("after", "\nExample: proof402 receipts publish p402_... --agent 7")
    .action(lazily(async () => (await import("./publish.ts")).publishReceipt));
  receipts
    .command("anchor", { hidden: true })
    .allowExcessArguments()
    .allowUnknownOption()
    .action(() => {
      throw new Proof402Error("usage", "`receipts anchor` is named `receipts publish`.", {
        next: "Run `proof402 receipts publish ID` with the same options. Nothing was posted.",
      });
    });
}

const withFilters = (command: Command): Command =>
  command
    .option("--search <text>", "in the name of seller or model, the beginning of an id, or the purpose of an action")
    .option("--seller <id>", "of this seller")
    .option("--model <name>", "of this model")
    .addOption(new Option("--verdict <verdict>", "with this verdict").choices(VERDICTS))
    .option("--since <time>", "stored at this time or later, such as 2026-11-01")
    .option("--before <time>", "stored before this time");
