/** An exact number: `digits` times ten to the power of `-places`. */
export type Decimal = { digits: bigint; places: number };

/** Most digits and the largest power of ten that are read. Amounts of 256 bits have 78 digits. */
const MAX_DIGITS = 400;

const NUMBER = /^(-?)(0|[1-9]\d*)(?:\.(\d+))?(?:e([+-]?\d{1,4}))?$/i;

/**
 * Reads a number exactly: a bigint, a number by its shortest decimal form (ECMA-262 §6.1.6.1.20), or a text in the grammar
 * of JSON numbers (RFC 8259 §6). Gives null for anything else.
 */
export function decimalOf(value: unknown): Decimal | null {
  if (typeof value === "bigint") return { digits: value, places: 0 };
  if (typeof value !== "number" && typeof value !== "string") return null;
  const text = typeof value === "number" ? String(value) : value;
  if (text.length > MAX_DIGITS) return null;
  const found = NUMBER.exec(text);
  if (found === null) return null;
  const [, sign = "", whole = "", fraction = "", power = "0"] = found;
  const places = fraction.length - Number(power);
  if (Math.abs(places) > MAX_DIGITS) return null;
  return { digits: BigInt(`${sign}${whole}${fraction}`), places };
}

/** Negative, zero or positive: how the first compares with the second. */
export function compareDecimals(one: Decimal, other: Decimal): number {
  const places = Math.max(one.places, other.places);
  const scaled = ({ digits, places: own }: Decimal): bigint => digits * 10n ** BigInt(places - own);
  const difference = scaled(one) - scaled(other);
  return difference === 0n ? 0 : difference < 0n ? -1 : 1;
}
