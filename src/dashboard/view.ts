import type { Config } from "../config/schema.ts";
import { html, type Html } from "../pages/html.ts";
import type { Db } from "../storage/database.ts";
import type { Session } from "./sessions.ts";

/** What a page is made from. */
export type View = {
  db: Db;
  config: Config;
  /** Before the path of each page, without a slash at its end. */
  at: string;
  allowApprovals: boolean;
  session: Session;
  /** Unix ms. */
  now: number;
};

/** A page's content; `titled` of one that has a heading of its own. */
export type Shown = { status?: 400 | 403 | 404 | 409 | 500 | 503; title: string; titled?: true; body: Html };

/** Most characters of a foreign text in a table. */
const MAX_TEXT = 200;

/** A text that a seller, a model or a program wrote: cut, escaped, and kept from turning the text around it. */
export const foreign = (text: string, most = MAX_TEXT): Html =>
  html`<bdi>${text.length <= most ? text : `${text.slice(0, most)} ... (${text.length} characters)`}</bdi>`;

/** A moment as people and programs read it. */
export function moment(at: number | string): Html {
  const iso = new Date(at).toISOString();
  return html`<time datetime="${iso}">${iso.slice(0, 19).replace("T", " ")}</time>`;
}

/** A table with its caption. A wide one scrolls by itself, by keyboard too. */
export const table = (caption: string, heads: readonly string[], rows: readonly Html[], id = ""): Html =>
  html`<div class="wide" tabindex="0" role="region" aria-label="${caption}">
    <table${id === "" ? "" : html` id="${id}"`}>
      <caption>${caption}</caption>
      <thead>
        <tr>
          ${heads.map((head) => html`<th scope="col">${head}</th>`)}
        </tr>
      </thead>
      <tbody>
        ${rows}
      </tbody>
    </table>
  </div>`;

/** Ways on from a page of a list: to its beginning and to older lines, each null if there is none. */
export const waysOn = (what: string, { newest, older }: { newest: string | null; older: string | null }): Html =>
  html`<nav class="more" aria-label="More ${what}">
    ${newest === null ? "" : html`<a href="${newest}">The newest</a>`}
    ${older === null ? "" : html`<a rel="next" href="${older}">Older ones</a>`}
  </nav>`;

/** A verdict or a state, told by its word as by its colour. */
export const badge = (word: string): Html => html`<span class="${word}">${word}</span>`;
