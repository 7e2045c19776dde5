import { HIDDEN_IN_TEXT } from "../evidence/hidden-signs.ts";

/** Markup that is safe to place in a page. Only {@link html} makes it. */
export type Html = { readonly markup: string };

const ESCAPES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

const escaped = (text: string): string =>
  text
    .toWellFormed()
    .replace(HIDDEN_IN_TEXT, " ")
    .replace(/[&<>"']/g, (sign) => ESCAPES[sign] ?? "");

/** A heading of this level. */
export const heading = (level: number, words: string, kind = ""): Html => {
  const { markup } = html`${words}`;
  const style = kind === "" ? "" : html` class="${kind}"`.markup;
  return { markup: `<h${level}${style}>${markup}</h${level}>` };
};

type Value = string | number | Html | readonly Html[];

/** Markup from a template. Every text put in becomes text of the page, in content and in quoted attributes alike. */
export const html = (parts: TemplateStringsArray, ...values: Value[]): Html => ({
  markup: parts.reduce((made, part, at) => made + markupOf(values[at - 1] ?? "") + part),
});

function markupOf(value: Value): string {
  if (typeof value === "string" || typeof value === "number") return escaped(String(value));
  return "markup" in value ? value.markup : value.map(({ markup }) => markup).join("");
}
