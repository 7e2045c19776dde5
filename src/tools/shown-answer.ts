import type { AnswerReading } from "../evidence/exchange/format.ts";
import { cleanSellerText } from "../market/seller-text.ts";

/** An answer as a model gets to see it. `note` says what of it is not as the seller sent it, null where all of it is. */
export type ShownAnswer = { readable: boolean; answer: Record<string, unknown>; note: string | null };

/** Most characters of an answer's values that a model is shown: some 10,000 tokens. */
const MAX_CHARACTERS = 40_000;

/** What could hide text or pass for something else; line breaks and tabs belong to text and code. */
const HIDDEN = /(?![\n\t])[\p{Cc}\p{Cf}\p{Co}\p{Cn}\u2028\u2029]/gu;

/**
 * The answer for a model's eyes: hidden characters become spaces, long data is cut, and numbers that JSON does not have
 * become text. Library and guard get the answer itself.
 */
export function showAnswer(reading: AnswerReading): ShownAnswer {
  const changes = new Set<string>();
  let left = MAX_CHARACTERS;
  const take = (length: number): number => {
    const taken = Math.min(length, left);
    left -= taken;
    if (taken < length) changes.add("long data is cut");
    return taken;
  };
  const showText = (text: string): string => {
    const clean = text.toWellFormed().replace(HIDDEN, " ");
    if (clean !== text) changes.add("hidden characters are replaced by spaces");
    return clean.slice(0, take(clean.length)).toWellFormed();
  };
  const show = (value: unknown): unknown => {
    if (typeof value === "string") return showText(value);
    if (Array.isArray(value)) {
      const shown: unknown[] = [];
      for (const item of value) {
        if (take(1) === 0) break;
        shown.push(show(item));
      }
      return shown;
    }
    take(String(value).length);
    if (typeof value !== "number" || Number.isFinite(value)) return value;
    changes.add("numbers that JSON does not have are texts");
    return String(value);
  };
  const answer = Object.fromEntries(
    Object.entries(reading.answer).map(([name, value]) => {
      const shown = cleanSellerText(name, 128);
      if (shown !== name) changes.add("names are cut to plain text");
      return [shown, show(value)];
    }),
  );
  const unread = reading.readable
    ? []
    : ["It is in a form that this version cannot read, so it is given as it came: conclude nothing from it."];
  const changed =
    changes.size === 0 ? [] : [`Shown with changes: ${[...changes].join("; ")}. The receipt keeps the exact bytes.`];
  const notes = [...unread, ...changed];
  return { readable: reading.readable, answer, note: notes.length === 0 ? null : notes.join(" ") };
}
