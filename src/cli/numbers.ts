import { Proof402Error } from "../errors.ts";

/** Reads an option's whole number, in decimal digits. Throws Proof402Error `usage`. */
export function wholeNumber(text: string, option: string, { from, to }: { from: number; to: number }): number {
  const number = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
  if (number >= from && number <= to) return number;
  throw new Proof402Error("usage", `${option} takes a whole number from ${from} to ${to}.`, {
    next: "Give it in decimal digits, or leave the option out.",
  });
}

/** A decimal number as it was typed. Any other text stays text: the tool's schema refuses it and names the field. */
export const decimal = (text: string): number | string => (/^(?:\d+\.?\d*|\.\d+)$/.test(text) ? Number(text) : text);
