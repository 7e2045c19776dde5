import type { Command } from "commander";
import type { Change } from "../buyer/change.ts";
import { followChanges } from "../buyer/follow.ts";
import { chainName, sumText } from "../chain/money-text.ts";
import type { Config } from "../config/schema.ts";
import { findAsset } from "../payment/policy.ts";
import { openBell } from "../storage/notices.ts";
import { colour as pc } from "./colour.ts";
import { EXIT, globals, note, print } from "./globals.ts";
import { VERDICT_COLOUR } from "./layer-table.ts";
import { wholeNumber } from "./numbers.ts";
import { shownJson } from "./quoted.ts";
import { configOf, withStore } from "./session.ts";
import { SIGNALS } from "./until-signal.ts";

type Options = { last: string; untilIdle?: boolean };

/** Between two looks at the database, ms; the second while a server tells of changes. */
const LOOK_MS = 500;
const RARE_MS = 5000;
/** Least time between two looks, ms. */
const LEAST_MS = 100;

/**
 * `proof402 watch`: one line for each change of money or of a verdict, by any process, until it is interrupted or its reader
 * is gone. Needs no key and writes nothing.
 */
export async function watch({ last, untilIdle = false }: Options, command: Command): Promise<number> {
  const { json = false, ...rest } = globals(command);
  const count = wholeNumber(last, "--last", { from: 0, to: 10_000 });
  const config = await configOf(rest);
  const ended = new AbortController();
  const end = (): void => ended.abort();
  for (const signal of SIGNALS) process.on(signal, end);
  process.stdout.once("close", end);
  const show = (changes: readonly Change[]): void => {
    for (const one of changes) print(json ? JSON.stringify(dataOf(one)) : lineOf(one, config));
  };
  try {
    await withStore(rest, async (db) => {
      const follower = followChanges(db);
      const bell = openBell(db, () => true);
      try {
        show(await follower.begin(count));
        if (!json && !untilIdle) note("Watching. Ctrl-C ends it.");
        while (!ended.signal.aborted && !(untilIdle && (await follower.isIdle()))) {
          await bell.wait({ ms: LOOK_MS, rareMs: RARE_MS, leastMs: LEAST_MS, signal: ended.signal });
          show(await follower.look());
        }
      } finally {
        bell.close();
      }
    });
  } finally {
    for (const signal of SIGNALS) process.off(signal, end);
    process.stdout.off("close", end);
  }
  return EXIT.ok;
}

const dataOf = (change: Change): Record<string, unknown> => {
  const { at, ...rest } = change;
  const ends = "endsAt" in rest ? { endsAt: new Date(rest.endsAt).toISOString() } : {};
  return { at: new Date(at).toISOString(), ...rest, ...ends };
};

/** A change in one line. Names and texts stand in quotes, with each invisible sign escaped. */
function lineOf(change: Change, config: Config): string {
  const [mark, words] = wordsOf(change, config);
  return `${new Date(change.at).toISOString()}  ${mark}  ${words}`;
}

function wordsOf(change: Change, { payment }: Config): [string, string] {
  const mark = change.kind.padEnd(8);
  const sum = (one: { network: string; asset: string; amount: string }): string => {
    const token = findAsset(one, payment.assets);
    return `${sumText(one.amount, token, one)}${token === undefined ? "" : ` on ${chainName(one.network)}`}`;
  };
  switch (change.kind) {
    case "payment": {
      const { state, receiptId, reason, seller, model, payTo, idempotencyKey } = change;
      const named = receiptId === null ? `key ${shownJson(idempotencyKey)}` : `receipt ${receiptId}`;
      const why = reason === null ? "" : ` (${reason})`;
      return [
        mark,
        `${PAYMENT[state]}: ${sum(change)} to ${shownJson(seller)} (${payTo}) for ${shownJson(model)}, ${named}${why}`,
      ];
    }
    case "approval": {
      const { id, state, seller, model, payTo, endsAt } = change;
      const until =
        state === "open" ? `, until ${new Date(endsAt).toISOString()}: proof402 approvals approve ${id}` : "";
      return [
        mark,
        `${APPROVAL[state]}: at most ${sum(change)} to ${shownJson(seller)} (${payTo}) for ${shownJson(model)}${until}`,
      ];
    }
    case "verdict": {
      const { receiptId, verdict, before, assurance, simulated, seller, model } = change;
      const shown = `${before === null ? "" : `${before} -> `}${VERDICT_COLOUR[verdict](verdict)}`;
      return [
        mark,
        `${shown}: receipt ${receiptId}, ${shownJson(model)} of ${shownJson(seller)}, assurance ${assurance}${simulated ? " (SIMULATED hardware)" : ""}`,
      ];
    }
    case "import":
      return [mark, `receipt ${change.receiptId}, ${shownJson(change.model)} of ${shownJson(change.seller)}`];
    case "hold": {
      const on = change.receiptId === null ? "" : `, receipt ${change.receiptId}`;
      return [
        mark,
        change.state === "set"
          ? `${pc.red("set")} on ${shownJson(change.seller)}: ${shownJson(change.reason)}${on}`
          : `released: ${shownJson(change.seller)}`,
      ];
    }
    case "action":
      return [
        mark,
        `${ACTION[change.state] ?? change.state}: ${shownJson(change.action)}, action ${change.id}, receipt ${change.receiptId}`,
      ];
    case "stop":
      return [
        mark,
        `all actions ${change.state === "ordered" ? pc.red("stopped") : "may run again"}: ${shownJson(change.reason)}`,
      ];
    case "decision":
      return [
        mark,
        `${change.id}, ${shownJson(change.purpose)}: ${shownJson(change.subject)}: ${shownJson(change.outcome)}`,
      ];
  }
}

/** What became of the money, by the state of its payment. */
const PAYMENT: Readonly<Record<Extract<Change, { kind: "payment" }>["state"], string>> = {
  reserved: "reserved",
  signed: "signed, and may move",
  sent: "sent, and may move",
  answered: "answered, not seen on chain yet",
  settled: "settled",
  released: "not moved, and can no longer",
};
const APPROVAL: Readonly<Record<Extract<Change, { kind: "approval" }>["state"], string>> = {
  open: "waits for an answer",
  approved: "approved",
  declined: "declined",
  used: "approved, and used",
};
const ACTION: Readonly<Record<string, string>> = {
  claimed: "claimed",
  invoking: "began",
  done: "done",
  failed: "did not happen",
  undecided: "may have happened",
};
