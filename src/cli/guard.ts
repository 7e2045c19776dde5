import type { Command } from "commander";
import { createActions, decideClaim, listActions } from "../buyer/actions.ts";
import type { ActionRecord } from "../buyer/action-types.ts";
import { endStop, orderStop, readStop, stopByFile, type GuardStop } from "../buyer/guard-stop.ts";
import { Proof402Error } from "../errors.ts";
import { requirementText } from "../guard/requirement-text.ts";
import { EXIT, globals, note, print, printResult } from "./globals.ts";
import { wholeNumber } from "./numbers.ts";
import { shownJson, visible } from "./quoted.ts";
import { configOf, withStore } from "./session.ts";

/** `proof402 guard list`: actions with their receipts, and the stop in force. */
export async function listGuarded(options: { open?: boolean; limit: string }, command: Command): Promise<number> {
  const { json = false, ...rest } = globals(command);
  const limit = wholeNumber(options.limit, "--limit", { from: 1, to: 1000 });
  const { database } = await configOf(rest);
  const { actions, stop } = await withStore(rest, async (db) => ({
    actions: await listActions(db, { open: options.open === true, limit }),
    stop: await readStop(db, database),
  }));
  const undecided = actions.find(({ state }) => state === "undecided");
  const next =
    undecided === undefined
      ? "Look at one with: proof402 guard show ID"
      : `Look at what it worked on, then decide it with: proof402 guard settle ${undecided.id} done|failed --note TEXT`;
  if (json) printResult({ stop, actions }, next);
  else {
    if (stop !== null) print(stopText(stop));
    if (actions.length === 0)
      print(options.open === true ? "No action is open." : "No guarded action is on the record.");
    for (const one of actions) print(lineOf(one));
    if (actions.length > 0) note(next);
  }
  return EXIT.ok;
}

/** `proof402 guard show ID`: one action with its arguments, and the requirement that let it run, in words. */
export async function showGuarded(id: string, _options: unknown, command: Command): Promise<number> {
  const { json = false, ...rest } = globals(command);
  const config = await configOf(rest);
  const { action, requirement } = await withStore(rest, async (db) => {
    const { actions } = createActions({ db, config, clock: () => new Date() });
    const found = (await actions.list({ id }))[0];
    if (found === undefined)
      throw new Proof402Error("action_not_found", `No guarded action "${id.slice(0, 64)}" is on the record.`, {
        next: "List them with: proof402 guard list",
      });
    return {
      action: found,
      requirement: found.requirement === null ? null : await actions.requirement(found.requirement),
    };
  });
  const next = `See its receipt with: proof402 receipts show ${action.receiptId}`;
  if (json)
    printResult({ action, requirement: requirement === null ? null : (JSON.parse(requirement) as unknown) }, next);
  else {
    const words =
      requirement === null
        ? "What its receipt was held to is not stored, or not what its digest says."
        : requirementText(requirement).split("\n").map(visible).join("\n");
    print([...detailsOf(action), `Held to   ${action.requirement ?? "nothing noted"}`, words].join("\n"));
    note(next);
  }
  return EXIT.ok;
}

/** `proof402 guard settle ID done|failed`: a person's decision. */
export async function settleGuarded(
  id: string,
  state: string,
  options: { note: string; notRunning?: boolean },
  command: Command,
): Promise<number> {
  const { json = false, ...rest } = globals(command);
  if (state !== "done" && state !== "failed")
    throw new Proof402Error("usage", "An action is decided done or failed.", {
      next: "See proof402 guard settle --help.",
    });
  if (options.note.trim() === "")
    throw new Proof402Error("usage", "A decision needs a note on what was looked at.", {
      next: "Give it with --note TEXT.",
    });
  const decision = { state, by: "person", note: options.note, notRunning: options.notRunning === true } as const;
  const action = await withStore(rest, (db) => decideClaim(db, id, decision, new Date()));
  const next =
    state === "failed"
      ? "Its receipt justifies the same action again: same tool, same arguments."
      : "Its receipt stays used.";
  if (json) printResult({ action }, next);
  else print(`${lineOf(action)}\n${next}`);
  return EXIT.ok;
}

/** `proof402 guard stop`: refuses every guarded action at once. */
export async function stopGuards(options: { reason: string }, command: Command): Promise<number> {
  const { json = false, ...rest } = globals(command);
  const { database } = await configOf(rest);
  // Before the database is opened: the file stops the processes that use it, also where this one cannot.
  const byFile = await stopByFile(database, options.reason);
  const { stop, running } = await withStore(rest, async (db) => ({
    stop: await orderStop(db, database, { reason: options.reason, at: new Date() }),
    running: (await listActions(db, { open: true, limit: 1000 })).filter(mayRun),
  })).catch((error: unknown) => {
    if (byFile === null || !Proof402Error.isInstance(error)) throw error;
    note(`What is under way is not known: ${error.message} The file stops all guards over this database.`);
    return { stop: byFile, running: [] };
  });
  const next = "End it with: proof402 guard start";
  if (json) printResult({ stop, underWay: running }, next);
  else {
    print(stopText(stop));
    for (const one of running) print(`Still under way: ${lineOf(one)}`);
    print(next);
  }
  return EXIT.ok;
}

/** `proof402 guard start`: ends the stop. */
export async function startGuards(_options: unknown, command: Command): Promise<number> {
  const { json = false, ...rest } = globals(command);
  const { database } = await configOf(rest);
  const stop = await withStore(rest, (db) => endStop(db, database, new Date()));
  const next = "Guarded actions run again.";
  if (json) printResult({ ended: stop }, next);
  else print(next);
  return EXIT.ok;
}

/** An action under way, or one whose process cannot be seen from here. */
const mayRun = ({ state, running, begunAt }: ActionRecord): boolean =>
  state === "invoking" || (state === "undecided" && running === null && begunAt !== null);

/** A stop in force, in one line. */
export const stopText = ({ reason, since, file }: GuardStop): string =>
  `STOPPED${since === null ? "" : ` since ${since}`}: no guarded action begins${reason === null ? "" : ` (${shownJson(reason)})`}.${file === null ? "" : ` The file ${visible(file)} stops them, too.`}`;

const lineOf = ({ id, state, running, tool, purpose, at, receiptId, arguments: args, lateEnd }: ActionRecord): string =>
  `${id}  ${state}${lateEnd?.contradicts !== true ? "" : ` (CONTRADICTED: it ended ${lateEnd.state} after that was decided)`}${state === "undecided" && running === null ? " (its process cannot be seen from here, and may run)" : ""}: ${shownJson(tool ?? purpose)} ${at} on ${receiptId}${args === null ? "" : `, with ${visible(args.json.slice(0, 200).toWellFormed())}`}`;

/** Quoted, because tools and models wrote the words. */
const detailsOf = (action: ActionRecord): string[] => [
  `Action    ${action.id}: ${action.state}${action.decidedBy === null ? "" : `, decided by ${action.decidedBy === "person" ? "a person" : "the action's settle"} ${action.decidedAt ?? ""}`}`,
  `Tool      ${shownJson(action.tool ?? action.purpose)}`,
  `Receipt   ${action.receiptId}`,
  `Uses      ${action.spends === "once" ? "all of the purchase" : `one of ${action.spends.times} actions of the kind ${shownJson(action.spends.kind)}`}`,
  `Arguments ${action.arguments === null ? "not noted" : `${visible(action.arguments.json)} (sha256 ${action.arguments.sha256})`}`,
  `Key       ${action.idempotencyKey ?? "none"}`,
  `Claimed   ${action.at}, begun ${action.begunAt ?? "never, as far as noted"}, ended ${action.endedAt ?? "never, as far as noted"}`,
  ...(action.outcome === null ? [] : [`Outcome   ${shownJson(action.outcome)}`]),
  ...lateText(action),
  ...(action.note === null ? [] : [`Note      ${shownJson(action.note)}`]),
];

function lateText({ state, lateEnd }: ActionRecord): string[] {
  if (lateEnd === null) return [];
  const { state: ended, outcome, at, contradicts } = lateEnd;
  const said = contradicts ? "this CONTRADICTS it" : ended === state ? "as was decided" : "which decides nothing";
  return [`Ended     ${ended} at ${at}, after the decision: ${said}. Outcome ${shownJson(outcome)}`];
}
