import type { Selectable } from "kysely";
import { moneyOf } from "../buyer/money.ts";
import { giveWord, listApprovals, type Approval } from "../buyer/approvals.ts";
import { chainName, moneyText, sumText } from "../chain/money-text.ts";
import { Proof402Error } from "../errors.ts";
import { toHex } from "../evidence/bytes.ts";
import { canonicalSha256 } from "../evidence/canonical.ts";
import { UNSEEN } from "../evidence/hidden-signs.ts";
import { html, type Html } from "../pages/html.ts";
import { readAttempts } from "../payment/journal.ts";
import { findAsset } from "../payment/policy.ts";
import { spending } from "../payment/spending.ts";
import { immediate } from "../storage/migrations.ts";
import type { Db } from "../storage/database.ts";
import type { ApprovalsTable } from "../storage/tables.ts";
import { breakSeal, sealFor } from "./sessions.ts";
import { WINDOWS } from "./spending.ts";
import { badge, foreign, moment, table, type Shown, type View } from "./view.ts";

type Row = Selectable<ApprovalsTable>;

/** Payments that wait for the owner's word, the oldest first. */
export async function approvalsPage({ db, config, at, now }: View): Promise<Shown> {
  const approvals = await listApprovals(db, now);
  const rows = approvals.map(
    (one) =>
      html`<tr>
        <td><a href="${at}/approvals/${one.id}">${one.id}</a></td>
        <td>${badge(one.state)}</td>
        <td class="sum">${sumOf(one, config)}</td>
        <td>${foreign(one.seller_id)}</td>
        <td>${foreign(one.model)}${one.besides === "" ? "" : html`<br />${foreign(one.besides)}`}</td>
        <td>${moment(one.asked_at)}</td>
        <td>${moment(one.ends_at)}</td>
      </tr>`,
  );
  return {
    title: "Approvals",
    body: html`<p id="live" role="status"></p>
      <div data-live="approvals">
        ${
          approvals.length === 0
            ? html`<p>No payment waits for an answer.</p>`
            : table(
                "Payments above the policy's bound, and answers that no call has used yet",
                ["Approval", "State", "Amount", "Seller", "Model", "Asked", "Ends"],
                rows,
              )
        }
      </div>`,
  };
}

/** One waiting payment, whole, with the answers open to a person. */
export async function approvalPage(
  view: View,
  id: string,
  { told = html``, isAnswered = false }: { told?: Html; isAnswered?: boolean } = {},
): Promise<Shown> {
  const row = await readApproval(view.db, id);
  if (row === undefined)
    return {
      status: 404,
      title: "No such approval",
      body: html`${told}
        <p>${GONE}</p>`,
    };
  const { config, now, session } = view;
  const asset = findAsset(row, config.payment.assets);
  // No news come to the session of one payment.
  const live = session.approval === null ? html` data-live="approval"` : "";
  return {
    title: `Approval ${row.id}`,
    body: html`${told}
      <p id="state" ${live}>${await stateText(view.db, row, now)}</p>
      <dl>
        <dt>Amount, the most that the call may cost in all</dt>
        <dd><strong>${sumOf(row, config)}</strong> (${row.amount} base units)</dd>
        <dt>Token</dt>
        <dd>
          ${asset === undefined ? "unknown to the configuration: " : `${asset.symbol}, `}<code>${row.asset}</code> on
          ${chainName(row.network)}
        </dd>
        <dt>Paid to</dt>
        <dd><code>${row.pay_to}</code></dd>
        <dt>Seller</dt>
        <dd>${foreign(row.seller_id)}</dd>
        <dt>For</dt>
        <dd>one inference of ${foreign(row.model)}</dd>
        ${
          row.besides === ""
            ? ""
            : html`<dt>To know before a yes</dt>
                <dd><strong>${foreign(row.besides)}</strong></dd>`
        }
        <dt>Asked of the model</dt>
        <dd>${inputOf(row)}</dd>
        ${await capsOf(view, row)}
        <dt>Idempotency key</dt>
        <dd>${foreign(row.idempotency_key)}</dd>
        <dt>Asked</dt>
        <dd>${moment(row.asked_at)}</dd>
        <dt>Ends</dt>
        <dd>${moment(row.ends_at)}</dd>
      </dl>
      ${isOpen(row, now) ? (isAnswered ? again(view, row) : formFor(view, row)) : ""}`,
  };
}

/** What the payment is for, as the call gave it. */
function inputOf({ input, input_length: length }: Row): Html {
  if (length === 0) return html`not kept: an earlier version of proof402 asked this question`;
  const cut = length > input.length ? html`<p>The first ${input.length} of its ${length} characters:</p>` : "";
  let count = 0;
  const shown = input.replace(UNSEEN, (sign) => {
    count += 1;
    return `\\u{${sign.codePointAt(0)?.toString(16) ?? ""}}`;
  });
  const signs =
    count > 0 ? html`<p class="warn">Invisible signs in it, shown by their codes as \\u{200b}: ${count}.</p>` : "";
  return html`${cut}${signs}
    <pre tabindex="0" aria-label="Asked of the model"><bdi>${shown}</bdi></pre>`;
}

/** The caps that this payment counts against, and what counts already. The policy judges by them after a yes, too. */
async function capsOf({ db, config, now }: View, row: Row): Promise<Html> {
  const { assets } = await spending(db, config.payment, new Date(now));
  const one = assets.find(({ network, asset }) => network === row.network && asset === row.asset);
  if (one === undefined) return html``;
  return html`<dt>Caps of ${one.symbol}</dt>
    <dd>at most ${moneyText(one.perCall, one)} a purchase</dd>
    ${one.windows.map(
      ({ name, used, cap }) =>
        html`<dd>${WINDOWS[name].toLowerCase()}: ${moneyText(used, one)} of ${moneyText(cap, one)} counted so far</dd>`,
    )}`;
}

/**
 * Gives the owner's word on a payment, if it is still the one that the page showed. Throws Proof402Error
 * `approval_not_waiting`.
 */
export async function answerApproval(view: View, id: string, form: URLSearchParams): Promise<Shown | null> {
  const answer = form.get("answer");
  if (answer !== "approved" && answer !== "declined")
    return { status: 400, title: "Nothing was answered", body: html`<p>The form names no answer.</p>` };
  const shown = form.get("shown") ?? "";
  const seal = breakSeal(view.session, purposeOf(id, shown), form.get("seal") ?? "", view.now);
  if (seal === "wrong")
    return refused(
      view,
      id,
      403,
      "The form is not of this session, or older than an hour. Nothing was answered by it.",
    );
  if (seal === "used")
    return refused(view, id, 409, "This form was sent before. What it did stands below; it does nothing again.");
  const given = await immediate(view.db, async (tx) => {
    const row = await readApproval(tx, id);
    // A word is on what the person saw, and on nothing that took its place.
    if (row === undefined || digestOf(row) !== shown) return false;
    await giveWord(tx, id, answer, view.now);
    return true;
  }).catch((error: unknown) => {
    if (Proof402Error.isInstance(error) && error.code === "approval_not_waiting") return false;
    throw error;
  });
  if (given) return null;
  return refused(view, id, 409, "It is not as the page showed it any more. Nothing was answered: read it again.");
}

const refused = async (view: View, id: string, status: 403 | 409, words: string): Promise<Shown> => ({
  ...(await approvalPage(view, id, { told: html`<p class="warn" role="alert">${words}</p>`, isAnswered: true })),
  status,
});

const readApproval = (db: Db, id: string): Promise<Row | undefined> =>
  db.selectFrom("approvals").selectAll().where("id", "=", id).executeTakeFirst();

/** Names all that a question says, and whether it has an answer. */
const digestOf = (row: Row): string => toHex(canonicalSha256(row));

const purposeOf = (id: string, shown: string): string => `approval ${id} ${shown}`;

const isOpen = ({ state, ends_at: ends }: Row, now: number): boolean => state !== "used" && ends > now;

/** No button where one was just pressed: the second click of a double click would press it. */
const again = ({ at }: View, { id }: Row): Html =>
  html`<p><a href="${at}/approvals/${id}">Look at it again</a> to answer otherwise.</p>`;

function formFor(view: View, row: Row): Html {
  const { at, allowApprovals, session, now } = view;
  const { id, state } = row;
  if (!allowApprovals)
    return html`<p>
      This page is read-only. Answer with <code>proof402 approvals approve ${id}</code> or
      <code>proof402 approvals decline ${id}</code>, or start it with <code>--allow-approvals</code>.
    </p>`;
  const shown = digestOf(row);
  const yes = html`<button name="answer" value="approved">Approve this payment</button>`;
  const no = html`<button name="answer" value="declined">
    ${state === "approved" ? "Take the yes back" : "Decline"}
  </button>`;
  return html`<form class="answer" method="post" action="${at}/approvals/${id}">
    <input type="hidden" name="shown" value="${shown}" />
    <input type="hidden" name="seal" value="${sealFor(session, purposeOf(id, shown), now)}" />
    ${state === "approved" ? "" : yes} ${state === "declined" ? "" : no}
  </form>`;
}

const GONE = "No payment of this id waits for an answer: its time is over, or a newer question took its place.";

/** What became of the money of a call that used its yes: the policy, the seller or the chain may have refused it since. */
const PAID = {
  moved: "A payment of the call is made; the receipts and the spending show all it paid.",
  "may-move": "A payment of the call is signed and may still be made; the spending shows it.",
  "not-moved":
    "Nothing is paid by the call so far: it is still at work, or the payment was refused or failed after the yes.",
} as const;

async function stateText(db: Db, row: Row, now: number): Promise<Html> {
  if (row.state === "used") {
    const paid = PAID[moneyOf(await readAttempts(db, row.idempotency_key))];
    return html`${badge("used")}: its call has used the yes. ${paid}`;
  }
  if (row.ends_at <= now) return html`${badge("ended")}: its time is over. Nothing is paid by it.`;
  if (row.state === "open") return html`${badge("open")}: it waits for an answer. Nothing is paid so far.`;
  if (row.state === "declined")
    return html`${badge("declined")}: its call ends without this payment if it is made again.`;
  return html`${badge("approved")}: its call can pay once, with the same idempotency key. The payment policy still
  judges it.`;
}

const sumOf = (row: Approval | Row, { payment }: View["config"]): string =>
  `${sumText(row.amount, findAsset(row, payment.assets), row)} on ${chainName(row.network)}`;
