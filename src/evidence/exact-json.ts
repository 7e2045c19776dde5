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

function parseWith(text: string, write: (token: string) => string): unknown {
  if (!MAYBE_ODD.test(text)) return JSON.parse(text);
  const parts: string[] = [];
  for (let from = 0; from < text.length;) {
    const quote = text.indexOf('"', from);
    const bare = text.slice(from, quote === -1 ? text.length : quote);
    parts.push(bare.replace(ODD_NUMBERS, write));
    from = quote === -1 ? text.length : endOfString(text, quote);
    if (quote !== -1) parts.push(text.slice(quote, from));
  }
  return JSON.parse(parts.join(""));
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
