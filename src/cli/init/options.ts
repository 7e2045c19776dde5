import { Option, type Command } from "commander";

/** The questions of `init`, each as an option. */
export const addInit = (command: Command): Command =>
  command
    .description("make a wallet's key and a configuration, pin sellers, and say what is left to do")
    .addOption(new Option("--network <name>", "where money is spent").choices(["base", "base-sepolia", "devnet"]))
    .option("--devnet <folder>", "folder of the running devnet (default: .proof402)")
    .option("--rpc <url>", "RPC of the network (default: a placeholder to replace)")
    .addOption(new Option("--wallet <kept>", "how the key is kept").choices(["keystore", "file"]))
    .option("--import <file>", "take the key from a file, or - for standard input, in place of a new one")
    .option("--password-file <file>", "file that holds the keystore's password (default: PROOF402_KEYSTORE_PASSWORD)")
    .option("--per-call <dollars>", "most for one call")
    .option("--per-hour <dollars>", "most in an hour")
    .option("--per-day <dollars>", "most in a day")
    .option("--total <dollars>", "most in all")
    .option("--approve-above <dollars>", "ask a person above this")
    .option("--seller <url...>", "sellers to look at and pin")
    .option("--yes", "pin them without a question")
    .addHelpText(
      "after",
      "\nAt a terminal it asks for what is not given. Example:\n  proof402 init --network base-sepolia --wallet keystore --password-file password --seller https://risk.example.org --yes",
    );
