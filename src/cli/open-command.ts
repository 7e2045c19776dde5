import type { Command } from "commander";
import { PEERS } from "../peers.ts";
import type { Lazily } from "./lazily.ts";

/** Adds `open`. */
export function addOpen(program: Command, lazily: Lazily): void {
  program
    .command("open")
    .description("serve the owner's pages on this machine: receipts, spending, sellers, approvals, decisions")
    .option("--port <n>", "port on 127.0.0.1; 0 takes a free one", "0")
    .option("--allow-approvals", "let payments that wait be approved or declined there")
    .addHelpText("after", "\nExample: proof402 open --allow-approvals")
    .action(lazily(async () => (await import("./open.ts")).openPages, PEERS.open, { speaks: true }));
}
