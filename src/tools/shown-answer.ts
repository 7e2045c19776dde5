import { HIDDEN_IN_TEXT } from "../evidence/hidden-signs.ts";
import * as z from "zod";
import { answerOf, inputOf } from "../buyer/answer.ts";
import { Proof402Error } from "../errors.ts";
import type { AnswerReading } from "../evidence/exchange/format.ts";
import { cleanSellerText } from "../market/seller-text.ts";
import type { Receipt } from "../receipts/schema.ts";

/** An answer as a model gets to see it. `note` says what of it is not as the seller sent it, null where all of it is. */
export type ShownAnswer = {
  readable: boolean;
  answer: Record<string, unknown>;
  note: string | null;
  /** There is more of it than is shown. */
  isCut: boolean;
};

/** Most characters of an answer's values that a model is shown: some 10,000 tokens. */
const MAX_CHARACTERS = 40_000;
/** Most characters of an answer's texts that stand in a purchase's result: some 2,000 tokens. */
export const MAX_TEXT = 8_000;
/** Most of an input or an answer that stands beside a receipt's verdict. */
const MAX_BESIDE = 300;

/**
 * The answer for a model's eyes: hidden characters become spaces, long data is cut, and numbers that JSON does not have
 * become text. Library and guard get the answer itself.
 */
export function showAnswer(reading: AnswerReading, most = MAX_CHARACTERS, mostText = most): ShownAnswer {
  const changes = new Set<string>();
  let left = most;
  let leftOfText = mostText;
  const take = (length: number, bound = left): number => {
    const taken = Math.min(length, left, bound);
    left -= taken;
    if (taken < length) changes.add(CUT);
    return taken;
  };
  const showText = (text: string): string => {
    const clean = text.toWellFormed().replace(HIDDEN_IN_TEXT, " ");
    if (clean !== text) changes.add("hidden characters are replaced by spaces");
    const taken = take(clean.length, leftOfText);
    leftOfText -= taken;
    return clean.slice(0, taken).toWellFormed();
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
    if (typeof value === "object" && value !== null) return named(value);
    take(String(value).length);
    if (typeof value !== "number" || Number.isFinite(value)) return value;
    changes.add("numbers that JSON does not have are texts");
    return String(value);
  };
  const named = (values: object): Record<string, unknown> => {
    const all = new Map<string, unknown>();
    for (const [name, value] of Object.entries(values)) {
      if (take(1) === 0) break;
      const shown = cleanSellerText(name, 128);
      if (shown !== name) changes.add("names are cut to plain text");
      if (all.has(shown)) changes.add("an output is left out whose name reads as another's");
      else all.set(shown, show(value));
    }
    return Object.fromEntries(all);
  };
  const answer = named(reading.answer);
  const unread = reading.readable
    ? []
    : ["It is in a form that this version cannot read, so it is given as it came: conclude nothing from it."];
  const changed =
    changes.size === 0 ? [] : [`Shown with changes: ${[...changes].join("; ")}. The receipt keeps the exact bytes.`];
  const notes = [...unread, ...changed];
  return {
    readable: reading.readable,
    answer,
    note: notes.length === 0 ? null : notes.join(" "),
    isCut: changes.has(CUT),
  };
}

const CUT = "long data is cut";

/** A receipt's question and answer. Null if one is missing or unreadable; `note` has the reason. */
export const exchangeSchema = z.object({
  input: z.record(z.string(), z.unknown()).nullable(),
  answer: z.record(z.string(), z.unknown()).nullable(),
  note: z.string().optional(),
});
type Exchange = z.infer<typeof exchangeSchema>;

/** A receipt's input and answer for a model's eyes, in short or `inFull` (some 10,000 tokens each). */
export function showExchange(receipt: Receipt, inFull = false): Exchange {
  const most = inFull ? MAX_CHARACTERS : MAX_BESIDE;
  const [input, inputNote] = read(() => inputOf(receipt), most);
  const [answer, answerNote] = read(() => answerOf(receipt), most);
  const notes = [
    ...(inputNote === null ? [] : [`Input: ${inputNote}`]),
    ...(answerNote === null ? [] : [`Answer: ${answerNote}`]),
  ];
  return { input, answer, ...(notes.length === 0 ? {} : { note: notes.join(" ") }) };
}

function read(from: () => Record<string, unknown>, most: number): [Record<string, unknown> | null, string | null] {
  try {
    const { answer, note } = showAnswer({ readable: true, answer: from() }, most);
    return [answer, note];
  } catch (error) {
    if (!Proof402Error.isInstance(error)) throw error;
    return [null, error.message];
  }
}

/** The same for a reader of the text alone. */
export const exchangeText = ({ input, answer, note }: Exchange): string[] => [
  `Input: ${input === null ? "not shown" : JSON.stringify(input)}`,
  `Answer (seller's data): ${answer === null ? "not shown" : JSON.stringify(answer)}`,
  ...(note === undefined ? [] : [note]),
];
