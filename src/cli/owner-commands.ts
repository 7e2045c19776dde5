import { Option, type Command } from "commander";
import type { Lazily } from "./lazily.ts";

/** Adds what is the owner's alone: answers to payments that wait, sellers, the wallet and its channels. */
export function addOwnerCommands(program: Command, lazily: Lazily): void {
  const approvals = program.command("approvals").description("payments that wait for your answer");
  approvals
    .command("list", { isDefault: true })
    .description("what, from whom, how much, since when, and when it ends")
    .action(lazily(async () => (await import("./approvals.ts")).showApprovals));
  approvals
    .command("approve <id>")
    .description("say yes: one call uses it once, and the payment policy still judges it")
    .action(lazily(async () => (await import("./approvals.ts")).answerApproval("approved")));
  approvals
    .command("decline <id>")
    .description("say no")
    .action(lazily(async () => (await import("./approvals.ts")).answerApproval("declined")));

  const sellers = program.command("sellers").description("configured sellers, and which are on hold");
  sellers
    .command("list", { isDefault: true })
    .description("each with its state and the reason")
    .action(lazily(async () => (await import("./sellers.ts")).listSellers));
  sellers
    .command("add <url>")
    .description("look at a seller, show what it says and attests of itself, ask, and pin it; pays nothing")
    .option("--id <id>", "its name here (default: its host)")
    .option("--provider <kind>", "the kind of seller that it is (default: each is tried)")
    .option("--model <name...>", "only these of its models; of a seller without a list, these")
    .option("--certificate-sha256 <hex>", "trust this TLS certificate of it, in place of the authorities")
    .option("--pay-to <address...>", "refuse another payee than these")
    .addOption(
      new Option(
        "--assurance <level>",
        "attested: refuse it without an attestation; signed: refuse it without a signing key; none: ask for no evidence",
      ).choices(["none", "signed", "attested"]),
    )
    .option("--yes", "do not ask")
    .addHelpText("after", "\nExample: proof402 sellers add https://risk.example.org")
    .action(lazily(async () => (await import("./add-seller.ts")).addNewSeller));
  sellers
    .command("release <id>")
    .description("let a seller on hold be bought from again")
    .action(lazily(async () => (await import("./sellers.ts")).releaseSeller));

  const wallet = program.command("wallet").description("the wallet's address, holdings and allowances");
  wallet
    .command("show", { isDefault: true })
    .description("address, each asset's balance and Permit2 allowance, channels and undecided transactions")
    .action(lazily(async () => (await import("./wallet.ts")).showWallet));
  wallet
    .command("address")
    .description("the address alone; a keystore that names it needs no password")
    .action(lazily(async () => (await import("./wallet.ts")).showAddress));
  wallet
    .command("approve")
    .description("let Permit2 move exactly this much of an asset, for sellers paid that way; 0 takes it back")
    .requiredOption("--asset <symbol>", "asset of the payment policy, by symbol or address")
    .requiredOption("--amount <amount>", "whole tokens, such as 5 or 0.25")
    .option("--yes", "do not ask")
    .addHelpText("after", "\nExample: proof402 wallet approve --asset USDC --amount 5")
    .action(lazily(async () => (await import("./wallet.ts")).approveWallet));

  const channel = program.command("channel").description("payment channels: an answer does not wait for a block");
  channel
    .command("list", { isDefault: true })
    .description("the wallet's channels as the chain shows them, those that a lost database held included")
    .action(lazily(async () => (await import("./channel.ts")).listChannels));
  channel
    .command("open")
    .description("put money into a channel with one seller, which vouchers then grant call by call")
    .requiredOption("--seller <id>", "seller of the configuration")
    .requiredOption("--asset <symbol>", "asset of the payment policy, by symbol or address")
    .requiredOption("--amount <amount>", "whole tokens, such as 5 or 0.25")
    .option("--parts <count>", "split the amount over so many channels: so many calls are paid at once")
    .option("--another", "open one beside a channel with this seller that is open")
    .option("--yes", "do not ask")
    .addHelpText("after", "\nExample: proof402 channel open --seller honest --asset USDC --amount 1")
    .action(lazily(async () => (await import("./channel.ts")).openWith));
  channel
    .command("close <id>")
    .description("ask for what is left, and take it once the channel's delay is over")
    .option("--yes", "do not ask")
    .action(lazily(async () => (await import("./channel.ts")).closeOne));
}
