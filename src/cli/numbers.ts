import { Proof402Error } from "../errors.ts";

/** Reads an option's whole number, in decimal digits. Throws Proof402Error `usage`. */
export function wholeNumber(text: string, option: string, { from, to }: { from: number; to: number }): number {
  const number = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
  if (number >= from && number <= to) return number;
  throw new Proof402Error("usage", `${option} takes a whole number from ${from} to ${to}.`, {
    next: "Give it in decimal digits, or leave the option out.",
  });
}

/** Reads an option's decimal number. Empty text stays text: the tool's schema refuses it and names the field. Throws Proof402Error `invalid_input`. */
export function decimal(text: string, option: string): number | string {
  if (text === "") return text;
  if (/^(?:\d+\.?\d*|\.\d+)$/.test(text)) return Number(text);
  throw new Proof402Error("invalid_input", `${option} takes a number such as 0.05.`, {
    next: "Give it in decimal digits, or leave the option out.",
  });
}

const UNIT_MS = { h: 3_600_000, d: 86_400_000, w: 604_800_000 } as const;

/** Reads an option's length of time, such as 90d, in milliseconds. Throws Proof402Error `usage`. */
export function durationOf(text: string, option: string): number {
  const [, number, unit] = /^([1-9][0-9]{0,4})([hdw])$/.exec(text) ?? [];
  if (number !== undefined && unit !== undefined) return Number(number) * UNIT_MS[unit as keyof typeof UNIT_MS];
  throw new Proof402Error("usage", `${option} takes hours, days or weeks, such as 36h, 90d or 52w.`, {
    next: "Give a whole number and its unit.",
  });
}

/** Reads an option's time: a day, or a day and an hour in ISO 8601, in UTC unless it names a zone. Throws Proof402Error `usage`. */
export function timeOf(text: string, option: string): Date {
  const [, day, hour = "", zone = "Z"] = TIME.exec(text) ?? [];
  const time = new Date(hour === "" ? (day ?? "") : `${day}${hour}${zone}`);
  if (day !== undefined && !Number.isNaN(time.getTime())) return time;
  throw new Proof402Error("usage", `${option} takes a time such as 2026-11-23 or 2026-11-23T12:00:00Z.`, {
    next: "Give it in this form, or leave the option out.",
  });
}

const TIME = /^(\d{4}-\d\d-\d\d)(?:(T\d\d:\d\d(?::\d\d(?:\.\d{1,3})?)?)(Z|[+-]\d\d:\d\d)?)?$/;
