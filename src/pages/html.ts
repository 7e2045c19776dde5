/** Markup that is safe to place in a page. Only {@link html} makes it. */
export type Html = { readonly markup: string };

/** Characters without a sign of their own, and those that change the order of others. Line breaks and tabs belong to text. */
const HIDDEN = /(?![\n\t])[\p{Cc}\p{Cf}\p{Co}\p{Cn}\u2028\u2029]/gu;

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
    .replace(HIDDEN, " ")
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
