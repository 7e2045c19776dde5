import { readFile } from "node:fs/promises";
import { text as readStream } from "node:stream/consumers";
import type { Command } from "commander";
import type { QuorumTerms } from "../buyer/quorum/terms.ts";
import type { ApprovalDecision, ApprovalRequest, Buyer, BuyRequest } from "../buyer/types.ts";
import { Proof402Error } from "../errors.ts";
import { parseJsonText, respeltNumbers } from "../evidence/json-text.ts";
import type { Verdict } from "../receipts/schema.ts";
import type { Bought } from "../tools/buy-inference.ts";
import { buyInference } from "../tools/index.ts";
import { askAtTerminal, hasTerminal } from "./ask.ts";
import { buyByQuorum, termsOf } from "./buy-quorum.ts";
import { runTool } from "./run-tool.ts";
import { EXIT, globals, note } from "./globals.ts";
import { decimal } from "./numbers.ts";
import { purchaseText } from "./purchase-text.ts";
import { releaseText } from "./sellers.ts";
import { withBuyer } from "./session.ts";

type Options = {
  input: string;
  seller?: string;
  assurance?: string;
  maxUsd?: string;
  wait?: string;
  key?: string;
  quorum?: string;
  tolerance: string[];
};

/**
 * `proof402 buy`: pays for one inference. Ctrl-C or SIGTERM ends it before the payment is sent; afterwards it says how the call
 * is taken up again, while the exchange runs to its end and its receipt is stored. A second one leaves at once.
 */
export async function buy(model: string, options: Options, command: Command): Promise<number> {
  const { json = false, ...rest } = globals(command);
  const input = await readInput(options.input);
  const terms = quorumOf(options);
  const abort = new AbortController();
  const onSignal = (): void => abort.abort();
  const approve = async ({ message }: ApprovalRequest): Promise<ApprovalDecision> => {
    const answer = await askAtTerminal(message, abort.signal);
    if (answer === "interrupted") onSignal();
    return answer === "yes" ? "approved" : "declined";
  };
  for (const signal of SIGNALS) process.once(signal, onSignal);
  try {
    const code = await withBuyer(rest, async (buyer) => {
      if (terms !== null) {
        const request = { ...requestOf(model, input, options), quorum: terms };
        const { verdict } = await buyByQuorum(buyer, request, {
          json,
          options: {
            signal: abort.signal,
            onProgress: ({ message }) => note(`[quorum] ${message}`),
            approve: hasTerminal() ? approve : undefined,
          },
        }).catch((error: unknown) => {
          if (Proof402Error.isInstance(error) && error.idempotencyKey !== undefined)
            note(`To take it up again without paying twice, add: --key ${error.idempotencyKey}`);
          throw error;
        });
        return exitOfVerdict(verdict, options.wait === "verified");
      }
      let bought: Bought | null = null;
      const exit = await runTool(
        buyInference,
        {
          model,
          input,
          ...(options.seller === undefined ? {} : { seller: options.seller }),
          ...(options.assurance === undefined ? {} : { assurance: options.assurance }),
          ...(options.maxUsd === undefined ? {} : { max_usd: decimal(options.maxUsd, "--max-usd") }),
          ...(options.wait === undefined ? {} : { wait: options.wait }),
          ...(options.key === undefined ? {} : { idempotency_key: options.key }),
        },
        {
          buyer,
          json,
          context: {
            signal: abort.signal,
            progress: ({ message, done, total }) =>
              note(`[${total === undefined ? "later" : `${done}/${total}`}] ${message}`),
            approve: hasTerminal() ? approve : undefined,
          },
          show: (data) => purchaseText(data as Bought, input),
          exit: (data) => exitOfVerdict((bought = data as Bought).receipt.verdict, options.wait === "verified"),
          onError: ({ code, idempotencyKey }) => {
            if (idempotencyKey !== undefined && code !== "idempotency_conflict")
              note(`To take it up again without paying twice, add: --key ${idempotencyKey}`);
            if (abort.signal.aborted && idempotencyKey !== undefined)
              note("Waiting for the exchange to end, so that its receipt is stored.");
          },
        },
      );
      if (exit === EXIT.failed) await tellHold(buyer, bought);
      return exit;
    });
    return abort.signal.aborted && code !== EXIT.ok ? EXIT.interrupted : code;
  } finally {
    for (const signal of SIGNALS) process.off(signal, onSignal);
  }
}

/** The terms of a quorum, or null without one. Throws Proof402Error `usage`. */
function quorumOf({ quorum, tolerance }: Options): QuorumTerms | null {
  if (quorum !== undefined) return termsOf(quorum, tolerance);
  if (tolerance.length === 0) return null;
  throw new Proof402Error("usage", "--tolerance compares the answers of several sellers.", {
    next: "Give it with --quorum, such as --quorum 2/3.",
  });
}

function requestOf(model: string, input: unknown, { seller, assurance, maxUsd, wait, key }: Options): BuyRequest {
  return {
    model,
    input: input as BuyRequest["input"],
    seller,
    // The command takes no others.
    assurance: assurance as BuyRequest["assurance"],
    maxUsd: maxUsd === undefined ? undefined : Number(decimal(maxUsd, "--max-usd")),
    wait: wait as BuyRequest["wait"],
    idempotencyKey: key,
  };
}

/** Names the hold of a failed receipt's seller and the command to end it. */
async function tellHold(buyer: Buyer, bought: Bought | null): Promise<void> {
  const id = bought?.receipt.seller;
  const held = (await buyer.sellers()).find((seller) => seller.id === id);
  if (held?.hold) note(`Seller ${held.id} is on hold: nothing more is bought from it. ${releaseText(held.id)}`);
}

const SIGNALS = ["SIGINT", "SIGTERM"] as const;

/** An answer counts as the wanted result until something speaks against it, unless the caller waits for the verdict. */
function exitOfVerdict(verdict: Verdict, waited: boolean): number {
  if (verdict === "failed") return EXIT.failed;
  return verdict === "verified" || (verdict === "pending" && !waited) ? EXIT.ok : EXIT.open;
}

/**
 * JSON text, `@file`, or `-` for standard input. Says which numbers are sent in another spelling. Throws Proof402Error
 * `invalid_input` for text with two readings: a key named twice, an integer beyond the digits of a double.
 */
async function readInput(given: string): Promise<unknown> {
  const next = `Give JSON such as '{"features":[0.1,0.2]}', @file.json, or - for standard input.`;
  const text = await readText(given).catch((error: unknown) => {
    const from = given === "-" ? "standard input" : given.slice(1);
    throw new Proof402Error("invalid_input", `--input could not be read from ${from}.`, { next, cause: error });
  });
  const read = parseJsonText(text, Infinity);
  if (!read.ok)
    throw new Proof402Error("invalid_input", `--input cannot be sent as it is written. ${read.message}`, {
      next: `${next} A tensor takes an integer of more digits as a text.`,
    });
  const [first, ...others] = respeltNumbers(text);
  if (first !== undefined)
    note(
      `Of --input the number ${first} is sent as ${JSON.stringify(Number(first))}${others.length === 0 ? "" : `, and ${others.length} more in another spelling`}.`,
    );
  return read.value;
}

async function readText(given: string): Promise<string> {
  if (given === "-") return readStream(process.stdin);
  return given.startsWith("@") ? readFile(given.slice(1), "utf8") : given;
}
