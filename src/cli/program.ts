import { Option, type Command } from "commander";
import { forReceipts } from "./for-receipts.ts";
import { addDecisionCommands } from "./decision-commands.ts";
import { addGuardCommands } from "./guard-commands.ts";
import { addInit } from "./init/options.ts";
import { addInstallCommands } from "./install-commands.ts";
import type { Lazily } from "./lazily.ts";
import { addMcpCommands } from "./mcp-commands.ts";
import { addNodeCommands } from "./node-commands.ts";
import { addOwnerCommands } from "./owner-commands.ts";
import { PEERS } from "../peers.ts";
import { ASSURANCES } from "../receipts/words.ts";
import { addOpen } from "./open-command.ts";
import { addProxyCommands } from "./proxy-commands.ts";
import { addReceiptCommands } from "./receipt-commands.ts";
import { addShellCommands } from "./shell-commands.ts";
import { addDb } from "./db-commands.ts";
import { addWatch } from "./watch-command.ts";
import { addWork } from "./work-command.ts";

const SPEAKING = { speaks: true };

const assurance = new Option("--assurance <level>", "least evidence wanted").choices(ASSURANCES);

const collect = (value: string, before: string[] = []): string[] => [...before, value];

/** Adds every command. Each loads its module when it runs: `--help` and `--version` load nothing else. */
export function addCommands(program: Command, lazily: Lazily): void {
  program
    .command("demo")
    .description("an agent buys, catches a cheat, buys again, acts and verifies, on a market on this machine")
    .action(
      lazily(
        async () => {
          const { runDemo } = await import("./demo/demo.ts");
          return () => runDemo({ json: program.opts<{ json?: boolean }>().json === true });
        },
        PEERS.demo,
        SPEAKING,
      ),
    );

  addInit(program.command("init")).action(lazily(async () => (await import("./init/init.ts")).init, [], SPEAKING));

  program
    .command("models [model]")
    .description("list what can be bought")
    .addHelpText("after", "\nExample: proof402 models eth-risk --json")
    .action(lazily(async () => (await import("./market.ts")).showModels));

  program
    .command("buy <model>")
    .description("pay for one inference; prints the answer and its receipt")
    .requiredOption("--input <json>", "tensors as JSON, @file, or - for standard input")
    .option("--seller <id>", "only from this seller")
    .addOption(assurance)
    .option("--max-usd <amount>", "most this call may cost")
    .addOption(
      new Option(
        "--wait <until>",
        "return with the answer, or wait until the verdict is final: verified, if all goes well",
      ).choices(["answer", "verified"]),
    )
    .option("--key <key>", "idempotency key: the same key never pays twice")
    .option("--quorum <agree/of>", "buy from several sellers, of which so many have to agree, as 2/3")
    .option(
      "--tolerance <name=bound>",
      "how far a tensor's values may lie apart, as score=0.01 or *=1% (repeatable)",
      collect,
      [],
    )
    .addHelpText(
      "after",
      `\nExample: proof402 buy eth-risk --input '{"features":[-0.012,-0.034,-0.081,0.62,0.74,-0.19,1.8,0.21]}' --seller honest --wait verified
Exits 0 verified (or pending without --wait verified), 1 failed or not bought, 2 unverified (or pending with it), 64 unusable input.`,
    )
    .action(lazily(async () => (await import("./buy.ts")).buy));

  addReceiptCommands(program, lazily);

  addDecisionCommands(program, lazily);

  program
    .command("verify [file-or-id]")
    .description(
      "check a receipt, a report of decisions, or each receipt of a folder, from its own evidence, offline (- reads standard input)",
    )
    .option("--at <time>", "judge as of this time, or now (default: when it was bought)")
    .addOption(assurance)
    .option("--trust <file>", "judge by a file of `proof402 trust export`, in place of the configuration")
    .option("--head <hash>", "of a report: the log has to hold this head, handed over before; may be repeated", collect)
    .option("--online", "read settlement and inclusion again, from the configured RPC")
    .option("--page", "name the page that judges receipt files in a browser, and judge nothing here")
    .addHelpText(
      "after",
      "\nExample: proof402 verify receipt.json --trust trust.json\nExits 0 verified, 1 failed, 2 pending or unverified, 64 unreadable.",
    )
    .action(lazily(async () => forReceipts((await import("./verify.ts")).verify)));

  program
    .command("trust")
    .description("what this buyer pins: roots, measurements, models, keys, relays, payees, tokens")
    .command("export <file>")
    .description("write it as one file that others can judge receipts by")
    .option("--reported-suffices", "let what receipts tell of the chain suffice, for readers without a node")
    .addHelpText("after", "\nExample: proof402 trust export trust.json")
    .action(lazily(async () => (await import("./trust.ts")).exportTrust));

  program
    .command("spending")
    .description("limits, what is spent and reserved, recent purchases")
    .option("--reconcile", "first look up every open authorization on chain")
    .option("--limit <n>", "how many purchases", "20")
    .option("--skip <n>", "leave out the newest", "0")
    .action(lazily(async () => (await import("./market.ts")).showSpending));

  program
    .command("doctor")
    .description("look at configuration, wallet, chains and sellers, and say what to do; changes nothing")
    .addHelpText("after", "\nExits 0 if purchases can be made, 1 if something would stop one.")
    .action(lazily(async () => (await import("./doctor/doctor.ts")).doctor, [], SPEAKING));

  addOwnerCommands(program, lazily);

  program
    .command("audit")
    .option("--no-roots", "ask no chain for the root that `log publish` put there")
    .description("walk the hash-chained log of receipts and decisions")
    .action(lazily(async () => (await import("./audit.ts")).auditReceipts));

  addGuardCommands(program, lazily);
  addProxyCommands(program, lazily);
  addOpen(program, lazily);
  addWatch(program, lazily);
  addWork(program, lazily);
  addDb(program, lazily);

  addNodeCommands(program, lazily);

  program
    .command("devnet")
    .description("run a whole market on this machine")
    .option("--dir <directory>", "where the buyer's configuration and key are written", ".proof402")
    .option("--ports <list>", "fixed ports, such as chain=8545,honest=4021 (default: free ones)")
    .option("--block-seconds <n>", "seconds between blocks (default: a block per transaction)")
    .option("--chat", "add a seller of chats, with a small deterministic model behind it")
    .option(
      "--gateway",
      "add a gateway of language models as OpenGradient's, with its registry, its token and its certificate",
    )
    .option("--upstream <url>", "put this OpenAI-compatible API behind them instead; its key in PROOF402_UPSTREAM_KEY")
    .addHelpText("after", "\nExample: proof402 devnet --dir market")
    .action(lazily(async () => (await import("./devnet.ts")).devnet, PEERS.devnet, SPEAKING));

  addMcpCommands(program, lazily);

  addInstallCommands(program, lazily);
  addShellCommands(program, lazily);
}
