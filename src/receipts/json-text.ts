/** Deepest nesting read. A receipt needs about eight levels. */
const MAX_DEPTH = 64;

/**
 * Why a text is not JSON we read, or null. One linear scan before `JSON.parse`: nesting is bounded, so that no input
 * can exhaust the stack, and an object may not name a key twice, because readers disagree about which one counts
 * (RFC 8259 §4). Grammar itself is left to `JSON.parse`.
 */
export function checkJsonText(text: string): string | null {
  try {
    return scan(text);
  } catch {
    return "The text is not JSON.";
  }
}

function scan(text: string): string | null {
  // Keys per open container; null for arrays.
  const open: (Set<string> | null)[] = [];
  let position = 0;
  let expectKey = false;
  while (position < text.length) {
    const character = text[position];
    if (character === '"') {
      const end = stringEnd(text, position);
      if (expectKey) {
        const keys = open.at(-1);
        const key: unknown = JSON.parse(text.slice(position, end));
        if (keys instanceof Set && typeof key === "string") {
          if (keys.has(key)) return `The key "${key.slice(0, 40)}" occurs twice in one object.`;
          keys.add(key);
        }
        expectKey = false;
      }
      position = end;
      continue;
    }
    if (character === "{" || character === "[") {
      if (open.length === MAX_DEPTH) return `Nested deeper than ${MAX_DEPTH} levels.`;
      open.push(character === "{" ? new Set() : null);
      expectKey = character === "{";
    } else if (character === "}" || character === "]") {
      open.pop();
      expectKey = false;
    } else if (character === ",") {
      expectKey = open.at(-1) instanceof Set;
    }
    position += 1;
  }
  JSON.parse(text);
  return null;
}

/** Index after the closing quote of the string that starts at `start`. Throws SyntaxError where it never closes. */
function stringEnd(text: string, start: number): number {
  for (let i = start + 1; i < text.length; i += 1) {
    if (text[i] === "\\") i += 1;
    else if (text[i] === '"') return i + 1;
  }
  throw new SyntaxError("unterminated string");
}
