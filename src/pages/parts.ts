import { chainName, sumText, type Token } from "../chain/money-text.ts";
import type { Paid } from "../receipts/paid.ts";
import type { Appraisal, Layer, LayerResult, Verdict } from "../receipts/schema.ts";
import { heading, html, type Html } from "./html.ts";
import { QUESTIONS } from "./layers.ts";

/** Parts of a receipt that each page about one shows. They know no schema, so a small script may hold them. */

/** A verdict in one sentence. */
export const VERDICTS: Readonly<Record<Verdict, string>> = {
  verified: "Every required check passed.",
  pending: "Nothing failed so far. Evidence is still to come.",
  failed: "A check failed. Do not act on this answer.",
  unverified: "Required evidence is missing. Treat the answer as unproven.",
};

/** The verdict as a heading, and its meaning. `because` stands for a verdict by no policy. */
export const verdictOf = (
  { verdict, simulated }: Pick<Appraisal, "verdict" | "simulated">,
  { level, because = VERDICTS[verdict] }: { level: number; because?: string },
): Html =>
  html`${heading(level, `${verdict.toUpperCase()}${simulated ? " (simulated hardware)" : ""}`, verdict)}
    <p><strong>${because}</strong></p>`;

/** Text of another's making inside a sentence: the order of its signs changes nothing around it. */
export const said = (text: string): Html => html`<bdi>${text}</bdi>`;

/** Data of a buyer or a seller: a box of its own, cut at a length. */
export const dataBox = (text: string): Html => html`<pre class="data" dir="auto" tabindex="0">${cut(text)}</pre>`;

/** The status and the question of one layer, with its reason if it is known. */
export const layerLine = (layer: Layer, { status, note }: Pick<LayerResult, "status"> & { note?: string }): Html =>
  html`<span class="${status}">${status}</span> ${QUESTIONS[layer]}${note === undefined ? "" : html`<br />${note}`}`;

/** The limits of a proof. */
export const limitsOf = (notProven: readonly string[]): Html =>
  html`<ul>
    ${notProven.map((words) => html`<li>${words}</li>`)}
  </ul>`;

/** What was paid, in words. `told`: the file's word alone. */
export function priceText(
  { state, amount, atMost }: { state: Paid["state"]; amount: string; atMost?: boolean },
  { token, told, place }: { token: Token | undefined; told: boolean; place: Parameters<typeof sumText>[2] },
): string {
  const source = told ? " (the file's word; nothing here confirms it)" : "";
  if (state === "expired") return `nothing: the authorization ended unused${source}`;
  const sum = `${atMost === true ? "at most " : ""}${sumText(amount, token, place)}`;
  const chain = token === undefined ? "" : ` on ${chainName(place.network)}`;
  return `${sum}${chain}${state === "settled" ? source : ", not seen on the chain yet"}`;
}

/** Most characters of a body or of a layer's evidence on a page. The file holds all of it. */
const MAX_SHOWN = 20_000;

/** Text of at most {@link MAX_SHOWN} characters, and how many there are. */
export const cut = (text: string, most = MAX_SHOWN): string =>
  text.length <= most
    ? text
    : `${text.slice(0, most).toWellFormed()}\n... (${text.length} characters; the file holds all of it)`;
