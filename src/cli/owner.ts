import { Proof402Error } from "../errors.ts";
import { formatCoins } from "../chain/owner/fees.ts";
import type { Sent } from "../chain/owner/send.ts";
import { askAtTerminal, hasTerminal } from "./ask.ts";
import { note } from "./globals.ts";

/** Asks a person, or takes `--yes`, before one of the owner's transactions is signed, and says what its gas may cost. */
export const consent =
  (network: string, yes: boolean | undefined) =>
  async (atMost: bigint): Promise<void> => {
    note(`The gas may cost up to ${formatCoins(atMost)} of the own coin of ${network}.`);
    await confirm(yes);
  };

type Gas = Pick<Sent, "gasUsed" | "cost" | "earlier">;

/** What a transaction's gas came to, for machines: gas, and whole coins of the chain; and whether an earlier command signed it. */
export const gasView = ({ gasUsed, cost, earlier }: Gas): { gasUsed: string; gasCost: string; earlier: boolean } => ({
  gasUsed: gasUsed.toString(),
  gasCost: formatCoins(cost),
  earlier,
});

/** The same for people, and whether an earlier command signed it: then this one sent no other. */
export const gasText = ({ gasUsed, cost, earlier }: Gas): string =>
  `${earlier ? "which an earlier command signed, " : ""}${gasUsed} gas, which cost ${formatCoins(cost)} of the chain's own coin`;

/**
 * Goes on only if a person says so, here or by `--yes`. Without a terminal the answer is no. Throws Proof402Error
 * `approval_declined`, and `aborted` where the person breaks off; `otherwise` says what then did not happen.
 */
export async function confirm(
  yes: boolean | undefined,
  { question = "Go on?", otherwise = "Nothing was signed." } = {},
): Promise<void> {
  if (yes === true) return;
  const answer = hasTerminal() ? await askAtTerminal(question) : "no";
  if (answer === "yes") return;
  if (answer === "interrupted")
    throw new Proof402Error("aborted", otherwise, { next: "Run the command again to be asked again." });
  throw new Proof402Error("approval_declined", otherwise, { next: "Add --yes to answer without a terminal." });
}
