import { membersIn } from "./json-text.ts";

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** A number outside strings that `JSON.parse` would round (an integer of 16 digits or more) or refuse. */
const ODD_NUMBERS = /(?<![\w.+-])(?:-?[1-9][0-9]{15,}(?![\w.])|[+-]?(?:nan|inf(?:inity)?)(?![\w.]))/gi;
/** What a text with such a number has somewhere: looking once is quicker than between all strings. */
const MAYBE_ODD = /(?<![.0-9])[0-9]{16}|nan|inf/i;

/**
 * Parses JSON text without losing any number. An integer beyond a double's precision comes as its decimal text. So do
 * the tokens `NaN`, `Infinity` and `-Infinity`, written by Python and C++ servers. Everything else parses as by
 * `JSON.parse`, SyntaxError included.
 */
export const parseExactJson = (text: string): unknown => parseWith(text, quoted);

/** The same where only texts are read: no such number passes for one, each comes as null. */
export const parseTexts = (text: string): unknown =>
  parseWith(text, (token) => (quoted(token) === token ? token : "null"));

/** A number of JSON. Outside strings nothing else begins with a digit or a sign. */
const NUMBERS = /-?[0-9][0-9.eE+-]*/g;
/** A sign of a number beyond a double, somewhere in a text. */
const MAYBE_LONG = /[0-9]{16}|[0-9][eE][0-9+-]/;

/**
 * JSON text with numbers beyond a double as texts: numbers beyond 2^53 - 1, or too near to zero, if their nearest double has another
 * value. Smaller fractions stay numbers: every reader holds their nearest double. Gives any text that is no JSON back as it is.
 */
export function exactJsonText(text: string): string {
  if (!MAYBE_LONG.test(text) || !isJson(text)) return text;
  return outsideStrings(text, NUMBERS, (token) => (isHeld(token) ? token : `"${token}"`));
}

/** Parses JSON text as by `JSON.parse`, SyntaxError included, and leaves numbers that a double would change as text, digit by digit. */
export const parseStrictJson = (text: string): unknown => JSON.parse(exactJsonText(text));

/**
 * A message of JSON-RPC with exact arguments: numbers of `params.arguments` that a double would change come as texts. Its id and
 * all else stay as they are. A batch, and a message with a key given twice, have all such numbers as texts. Gives any text that is
 * no JSON back as it is.
 *
 * @example
 * ```ts
 * import { exactArgumentsText } from "proof402/tools";
 *
 * exactArgumentsText('{"id":1,"params":{"arguments":{"n":9007199254740993}}}');
 * // {"id":1,"params":{"arguments":{"n":"9007199254740993"}}}
 * ```
 */
export function exactArgumentsText(text: string): string {
  if (!MAYBE_LONG.test(text) || !isJson(text)) return text;
  const members = membersIn(text);
  if (members === null) return exactJsonText(text);
  const params = membersIn(members.get("params") ?? "");
  const given = params?.get("arguments");
  if (params === null || given === undefined) return text;
  const exact = exactJsonText(given);
  if (exact === given) return text;
  return objectText(new Map([...members, ["params", objectText(new Map([...params, ["arguments", exact]]))]]));
}

const objectText = (members: ReadonlyMap<string, string>): string =>
  `{${[...members].map(([name, text]) => `${JSON.stringify(name)}:${text}`).join(",")}}`;

/** Whether a text is a number of JSON that a double would change. */
export const isBeyondDouble = (text: string): boolean =>
  /^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?$/.test(text) && !isHeld(text);

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** Whether the double of a number, as it is printed, has the value that the number is written with. */
function isHeld(token: string): boolean {
  const value = Number(token);
  if (value !== 0 && Math.abs(value) <= Number.MAX_SAFE_INTEGER) return true;
  const printed = decimalOf(String(value));
  return printed !== null && printed === decimalOf(token);
}

/** A decimal's sign, digits without zeros around them, and power of ten: one text for each value. Null for infinities. */
function decimalOf(text: string): string | null {
  const [, sign = "", whole = "", fraction = "", power = "0"] =
    /^(-?)([0-9]+)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]+))?$/.exec(text) ?? [];
  if (whole === "") return null;
  const digits = `${whole}${fraction}`.replace(/^0+/, "");
  // A pattern for the zeros at the end would look for them from each zero before, a square of the digits.
  let end = digits.length;
  while (end > 0 && digits[end - 1] === "0") end -= 1;
  return end === 0 ? "0" : `${sign}${digits.slice(0, end)}e${Number(power) - fraction.length + digits.length - end}`;
}

const parseWith = (text: string, write: (token: string) => string): unknown =>
  JSON.parse(MAYBE_ODD.test(text) ? outsideStrings(text, ODD_NUMBERS, write) : text);

/** Writes each match of the pattern outside strings in another way. */
function outsideStrings(text: string, pattern: RegExp, write: (token: string) => string): string {
  const parts: string[] = [];
  for (let from = 0; from < text.length;) {
    const quote = text.indexOf('"', from);
    const bare = text.slice(from, quote === -1 ? text.length : quote);
    parts.push(bare.replace(pattern, write));
    from = quote === -1 ? text.length : endOfString(text, quote);
    if (quote !== -1) parts.push(text.slice(quote, from));
  }
  return parts.join("");
}

function quoted(token: string): string {
  if (/^-?[0-9]/.test(token)) return Number.isSafeInteger(Number(token)) ? token : `"${token}"`;
  if (/nan/i.test(token)) return '"NaN"';
  return token.startsWith("-") ? '"-Infinity"' : '"Infinity"';
}

/** Index after the string starting at `start`, or the text's end if the string never closes. */
function endOfString(text: string, start: number): number {
  for (let at = start + 1; at < text.length; at += 1) {
    const character = text.charCodeAt(at);
    if (character === BACKSLASH) at += 1;
    else if (character === QUOTE) return at + 1;
  }
  return text.length;
}
