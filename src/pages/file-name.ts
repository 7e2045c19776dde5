import { HIDDEN_IN_TEXT } from "../evidence/hidden-signs.ts";
import { html, type Html } from "./html.ts";

/** Most characters shown of a name's beginning and of its end. No hash of a policy fits in either. */
const [MOST_BEFORE, MOST_AFTER] = [50, 25];

/**
 * A file's name in quotes, of a line's length. Names are anybody's: a hidden sign stands as its number, a quote inside is marked,
 * and the middle of a long name is left out.
 */
export function quotedName(name: string): string {
  const [signs, most] = [[...name.toWellFormed()], MOST_BEFORE + MOST_AFTER];
  const short =
    signs.length <= most
      ? signs.join("")
      : `${signs.slice(0, MOST_BEFORE).join("")}[...]${signs.slice(-MOST_AFTER).join("")}`;
  return JSON.stringify(short).replace(
    HIDDEN_IN_TEXT,
    (sign) => `[U+${(sign.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0")}]`,
  );
}

/** The same on a page: the order of its signs changes nothing around it, and it has a look of its own. */
export const nameOf = (name: string): Html => html`<bdi class="name">${quotedName(name)}</bdi>`;
