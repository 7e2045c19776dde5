import { Option, type Command } from "commander";
import type { PRESETS } from "../config/new-config.ts";
import { SETUPS, WEIGHTS } from "../evidence/groth16-words.ts";
import { PEERS } from "../peers.ts";
import type { Lazily } from "./lazily.ts";

const NETWORKS = ["base", "base-sepolia", "devnet"] as const satisfies readonly (keyof typeof PRESETS | "devnet")[];

/** A seller's commands. */
export function addNodeCommands(program: Command, lazily: Lazily): void {
  const node = program.command("node").description("a seller's own work");
  node
    .command("init <model>")
    .description("write a seller's configuration for an ONNX model, and the key that signs its answers")
    .requiredOption("--price <amount>", "whole tokens for a call, such as 0.01")
    .requiredOption("--pay-to <address>", "where the money goes")
    .addOption(new Option("--network <name>", "chain and its USDC").choices(NETWORKS).default("base-sepolia"))
    .option("--devnet <folder>", "folder of the running devnet (default: .proof402)")
    .option("--facilitator <url>", "x402 facilitator (default on base-sepolia: x402.org's, on a devnet: its own)")
    .option("--origin <url>", "where buyers will reach it, such as https://models.example")
    .option("--out <dir>", "where the files go", ".")
    .addHelpText("after", "\nExample: proof402 node init models/eth-risk.onnx --price 0.01 --pay-to 0x... --out seller")
    .action(lazily(async () => (await import("./node.ts")).initNode, PEERS.init));
  node
    .command("serve <config>")
    .description("sell until a signal; what happens is on stdout, a line of JSON each")
    .addHelpText("after", "\nExample: proof402 node serve seller/node.config.json")
    .action(lazily(async () => (await import("./node.ts")).serveNodeFrom, [], { speaks: true }));
  node
    .command("reference <config>")
    .description("print the entry that buyers paste into their configuration")
    .option("--id <id>", "the seller's name in it (default: the host's)")
    .option("--measurements <file>", "JSON that nitro-cli build-enclave printed, for a node in an enclave")
    .addHelpText("after", "\nExample: proof402 node reference seller/node.config.json")
    .action(lazily(async () => (await import("./node.ts")).nodeReference));
  const zk = node.command("zk").description("proofs");
  zk.command("compile <model>")
    .description("make an ONNX model's circuit, keys and the key that buyers pin; needs the package snarkjs")
    .requiredOption("--out <dir>", "where the files go")
    .option("--name <name>", "the model's name (default: the file's)")
    .addOption(
      new Option(
        "--weights <how>",
        "one circuit for all models of a shape, faster proofs of this one, or secret weights",
      )
        .choices(WEIGHTS)
        .default("folded"),
    )
    .option("--scale <bits>", "bits after the point", "16")
    .option("--accumulator-bits <bits>", "bits of a sum", "44")
    .option("--weight-bits <bits>", "bits of a committed weight", "24")
    .option("--opening <file>", "the opening to commit to weights under, to make the same key again")
    .option("--zkey <file>", "a proving key made from the .r1cs, in place of a development setup")
    .addOption(new Option("--setup <kind>", "what that key comes from").choices(SETUPS).default("ceremony"))
    .addHelpText("after", "\nExample: proof402 node zk compile models/eth-risk.onnx --out proving")
    .action(lazily(async () => (await import("./compile-proof.ts")).compileProof, PEERS.compile));
}
