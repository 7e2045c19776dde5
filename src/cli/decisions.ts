import type { Command } from "commander";
import type { Decision } from "../receipts/decision-schema.ts";
import { findDecision, searchDecisions, shortDecisionId } from "../receipts/decisions.ts";
import { logHead } from "../receipts/log.ts";
import { colour as pc } from "./colour.ts";
import { EXIT, globals, note, print, printResult } from "./globals.ts";
import { VERDICT_COLOUR } from "./layer-table.ts";
import { timeOf, wholeNumber } from "./numbers.ts";
import { busy } from "./progress.ts";
import { shownJson } from "./quoted.ts";
import { filterWords } from "./receipt-filter.ts";
import { withStore } from "./session.ts";

type ListOptions = { purpose?: string; since?: string; before?: string; limit: string; skip: string };

/** `proof402 decisions list`: the newest first, and how to see more. */
export async function listDecisions(options: ListOptions, command: Command): Promise<number> {
  const { json = false, ...rest } = globals(command);
  const limit = wholeNumber(options.limit, "--limit", { from: 1, to: 1000 });
  const skip = wholeNumber(options.skip, "--skip", { from: 0, to: 999_999_999 });
  const { purpose, since, before } = options;
  const filter = {
    purpose,
    since: since === undefined ? undefined : timeOf(since, "--since"),
    before: before === undefined ? undefined : timeOf(before, "--before"),
  };
  const { decisions, total } = await busy("Reading the decisions", () =>
    withStore(rest, (db) => searchDecisions(db, { ...filter, limit, skip })),
  );
  const end = skip + decisions.length;
  const words = filterWords({ purpose, since, before });
  const more = end < total ? `For more: proof402 decisions list${words} --limit ${limit} --skip ${end}` : null;
  const none =
    words === "" ? "No decisions are recorded: programs record them with `buyer.decide`." : "No decision fits.";
  const look = total === 0 ? none : "Look at one with: proof402 decisions show ID (its beginning will do)";
  if (json) printResult({ decisions, total, more: more === null ? null : { skip: end } }, more ?? look);
  else {
    for (const decision of decisions) print(rowOf(decision));
    note(
      total === 0
        ? none
        : `${end === skip ? "None" : `${skip + 1} to ${end}`} of ${total} decisions, the newest first.`,
    );
    if (more !== null) note(more);
  }
  return EXIT.ok;
}

/** Who decided, in words. Quoted, because programs wrote the names. */
export const whoText = ({ by: { person, second, program } }: Decision): string => {
  const with_ = program === null ? "" : ` with the program ${shownJson(program)}`;
  if (person === null) return program === null ? "a program without a name" : `the program ${shownJson(program)}`;
  return `${shownJson(person)}${second === null ? "" : ` and ${shownJson(second)}`}${with_}`;
};

function rowOf(decision: Decision): string {
  const { at, purpose, subject, receipts, outcome, id } = decision;
  const verdicts = [...new Set(receipts.map(({ verdict }) => verdict))].join(", ");
  const [first = ""] = outcome.split("\n");
  return `${at}  ${shownJson(purpose)} ${shownJson(subject)}: ${shownJson(first)}  on ${receipts.length} ${verdicts}  by ${whoText(decision)}  ${shortDecisionId(id)}`;
}

/** `proof402 decisions show ID`. */
export async function showDecision(given: string, _options: unknown, command: Command): Promise<number> {
  const { json = false, ...rest } = globals(command);
  const decision = await withStore(rest, (db) => findDecision(db, given));
  const { id, at, purpose, subject, receipts, action, outcome } = decision;
  const next = `Look at its evidence with: proof402 receipts show ${receipts[0]?.id ?? "ID"}`;
  if (json) printResult({ decision }, next);
  else {
    print(
      [
        `Decision ${id}`,
        `Purpose   ${shownJson(purpose)}`,
        `Subject   ${shownJson(subject)}`,
        `Decided   ${at} by ${whoText(decision)}`,
        `Action    ${shownJson(action)}`,
        `Outcome   ${shownJson(outcome)}`,
        ...receipts.map(
          (one) =>
            `Receipt   ${one.id}: ${pc.bold(VERDICT_COLOUR[one.verdict](one.verdict))} then, assurance ${one.assurance}${one.simulated ? pc.yellow(" (SIMULATED hardware)") : ""}, wanted ${one.wanted}, policy ${one.policyHash}`,
        ),
      ].join("\n"),
    );
    note(next);
  }
  return EXIT.ok;
}

/** `proof402 log head`: the newest entry's number and hash. It checks nothing: `proof402 audit` does. */
export async function showLogHead(_options: unknown, command: Command): Promise<number> {
  const { json = false, ...rest } = globals(command);
  const head = await withStore(rest, logHead);
  const next = "Hand it over or keep it elsewhere. A later log has to hold it: proof402 verify report.json --head HASH";
  if (json) printResult(head, next);
  else {
    print(head.hash);
    note(`Entry ${head.seq}. ${next}`);
  }
  return EXIT.ok;
}
