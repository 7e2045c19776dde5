import { createInterface } from "node:readline/promises";
import { Proof402Error } from "../errors.ts";
import { formatCoins } from "../chain/owner/fees.ts";
import type { Sent } from "../chain/owner/send.ts";
import { note } from "./globals.ts";

/** Asks a person, or takes `--yes`, before one of the owner's transactions is signed, and says what its gas may cost. */
export const consent =
  (network: string, yes: boolean | undefined) =>
  async (atMost: bigint): Promise<void> => {
    note(`The gas may cost up to ${formatCoins(atMost)} of the own coin of ${network}.`);
    await confirm(yes);
  };

/** What a transaction's gas came to, for machines: gas, and whole coins of the chain. */
export const gasView = ({ gasUsed, cost }: Pick<Sent, "gasUsed" | "cost">): { gasUsed: string; gasCost: string } => ({
  gasUsed: gasUsed.toString(),
  gasCost: formatCoins(cost),
});

/** The same for people. */
export const gasText = ({ gasUsed, cost }: Pick<Sent, "gasUsed" | "cost">): string =>
  `${gasUsed} gas, which cost ${formatCoins(cost)} of the chain's own coin`;

/** Goes on only if a person says so, here or by `--yes`. Throws Proof402Error `approval_declined`. */
async function confirm(yes: boolean | undefined): Promise<void> {
  if (yes === true || (await confirmed())) return;
  throw new Proof402Error("approval_declined", "Nothing was signed.", {
    next: "Add --yes to answer without a terminal.",
  });
}

/** Asks on the terminal; without one the answer is no. */
async function confirmed(): Promise<boolean> {
  if (!process.stdin.isTTY || !process.stderr.isTTY) return false;
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return (await terminal.question("Go on? [y/N] ")).trim().toLowerCase() === "y";
  } finally {
    terminal.close();
  }
}
