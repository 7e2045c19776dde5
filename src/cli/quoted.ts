import { INVISIBLE } from "../evidence/hidden-signs.ts";

/** A word as a POSIX shell reads it back. */
export const quoted = (word: string): string =>
  /^[\w./:=@-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;

const EACH_INVISIBLE = new RegExp(INVISIBLE, "gu");

/** Text whose every invisible sign is escaped as in JSON. Line breaks are such signs. */
export const visible = (text: string): string =>
  text.replace(EACH_INVISIBLE, (sign) =>
    [...Array(sign.length).keys()].map((at) => `\\u${sign.charCodeAt(at).toString(16).padStart(4, "0")}`).join(""),
  );

/** A value as JSON whose every invisible sign is escaped, so that no text of a program or a file steers a terminal. */
export const shownJson = (value: unknown): string => visible(JSON.stringify(value));
