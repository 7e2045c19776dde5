import type { ActionRecord } from "../buyer/action-types.ts";
import { createActions, listActions } from "../buyer/actions.ts";
import { readStop } from "../buyer/guard-stop.ts";
import { Proof402Error } from "../errors.ts";
import { requirementText } from "../guard/requirement-text.ts";
import { html, type Html } from "../pages/html.ts";
import { shortId } from "../receipts/search.ts";
import { badge, foreign, moment, table, type Shown, type View } from "./view.ts";

const NEWEST = 200;

/** The newest guarded actions, and the stop in force. */
export async function actionsPage({ db, config, at }: View, query: URLSearchParams): Promise<Shown> {
  const open = query.get("open") !== null;
  const [actions, stop] = await Promise.all([listActions(db, { open, limit: NEWEST }), readStop(db, config.database)]);
  const rows = actions.map(
    (one) =>
      html`<tr>
        <td>${moment(one.at)}</td>
        <td>${stateOf(one)}</td>
        <td>${foreign(one.tool ?? one.purpose, 60)}</td>
        <td>${one.arguments === null ? "" : foreign(one.arguments.json, 120)}</td>
        <td><a href="${at}/receipts/${one.receiptId}">${shortId(one.receiptId)}</a></td>
        <td><a href="${at}/actions/${one.id}">${one.id}</a></td>
      </tr>`,
  );
  return {
    title: "Actions",
    body: html`${
        stop === null
          ? ""
          : html`<p class="warn" role="alert">
              <strong>Stopped${stop.since === null ? "" : html` since ${moment(stop.since)}`}</strong>: no guarded
              action begins. ${stop.reason === null ? "" : foreign(stop.reason)} End it with
              <code>proof402 guard start</code>.
            </p>`
      }
      <p>
        ${open ? html`<a href="${at}/actions">All</a>` : html`<a href="${at}/actions?open">Only those without a known end</a>`}
      </p>
      <p id="live" role="status"></p>
      <div data-live="actions">
        ${
          rows.length === 0
            ? html`<p>${open ? "No action is open." : "No guarded action is on the record."}</p>`
            : table(
                `The newest ${NEWEST} guarded actions`,
                ["Claimed", "State", "Tool", "Arguments", "Receipt", "Action"],
                rows,
              )
        }
      </div>`,
  };
}

/** One action, and in words what its receipt was held to. Throws Proof402Error `action_not_found`. */
export async function actionPage({ db, config, at }: View, id: string): Promise<Shown> {
  const { actions } = createActions({ db, config, clock: () => new Date() });
  const found = (await actions.list({ id }))[0];
  if (found === undefined)
    throw new Proof402Error("action_not_found", `No guarded action "${id.slice(0, 64)}" is on the record.`, {
      next: "Look for it in the list of actions.",
    });
  const requirement = found.requirement === null ? null : await actions.requirement(found.requirement);
  const row = (name: string, words: Html | string | null): Html =>
    words === null
      ? html``
      : html`<dt>${name}</dt>
          <dd class="lines">${words}</dd>`;
  const { spends, arguments: args, lateEnd, note, decidedBy, decidedAt } = found;
  return {
    title: `Action ${found.id}`,
    body: html`<dl>
      ${row("State", stateOf(found))} ${row("Tool", foreign(found.tool ?? found.purpose))}
      ${row("Receipt", html`<a href="${at}/receipts/${found.receiptId}">${found.receiptId}</a>`)}
      ${row("Uses", spends === "once" ? "all of the purchase" : html`one of ${spends.times} actions of the kind ${foreign(spends.kind)}`)}
      ${row("Arguments", args === null ? "not noted" : foreign(args.json, 10_000))} ${row("Claimed", moment(found.at))}
      ${row("Begun", found.begunAt === null ? null : moment(found.begunAt))}
      ${row("Ended", found.endedAt === null ? null : moment(found.endedAt))}
      ${row("Outcome", found.outcome === null ? null : foreign(found.outcome, 2000))}
      ${row("Decided", decidedAt === null ? null : html`${moment(decidedAt)} by ${decidedBy === "person" ? "a person" : "the action itself"}`)}
      ${row("Note", note === null ? null : foreign(note, 600))}
      ${row("Ended after the decision", lateEnd === null ? null : html`${badge(lateEnd.state)} at ${moment(lateEnd.at)}${lateEnd.contradicts ? ": this contradicts the decision" : ""}. ${foreign(lateEnd.outcome, 600)}`)}
      ${row("Held to", requirement === null ? "What its receipt was held to is not stored, or not what its digest says." : foreign(requirementText(requirement), 5000))}
    </dl>`,
  };
}

const stateOf = ({ state, running, lateEnd }: ActionRecord): Html =>
  html`${badge(state)}${state === "undecided" && running === null ? " (its process cannot be seen from here, and may run)" : ""}${
    lateEnd?.contradicts === true ? html` <strong class="fail">contradicted</strong>` : ""
  }`;
