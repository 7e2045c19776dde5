import { Proof402Error } from "../errors.ts";

/**
 * Base units as a decimal number with the asset's decimals, without trailing zeros: `1500000`, 6 -> `1.5`.
 *
 * @example
 * ```ts
 * import { formatUnits } from "proof402";
 *
 * const dollars = formatUnits("1500000", 6); // "1.5"
 * ```
 */
export function formatUnits(baseUnits: string | bigint, decimals: number): string {
  const digits = BigInt(baseUnits)
    .toString()
    .padStart(decimals + 1, "0");
  const whole = digits.slice(0, digits.length - decimals);
  const fraction = digits.slice(digits.length - decimals).replace(/0+$/, "");
  return fraction === "" ? whole : `${whole}.${fraction}`;
}

/** Whole tokens as a person writes them (`0.25`) in base units, or null for what is no such number or has too many places. */
export function parseUnits(text: string, decimals: number): bigint | null {
  const [, whole = "", fraction = ""] = /^([0-9]{1,40})(?:\.([0-9]+))?$/.exec(text.trim()) ?? [];
  return whole === "" || fraction.length > decimals ? null : BigInt(whole + fraction.padEnd(decimals, "0"));
}

/**
 * US dollars as base units of a stable asset, rounded down (a bound must not grow).
 * Throws Proof402Error `invalid_max_usd` for what is not a finite non-negative number.
 */
export function usdToBaseUnits(usd: number, decimals: number): bigint {
  if (!Number.isFinite(usd) || usd < 0 || usd > 1e12) {
    throw new Proof402Error("invalid_max_usd", "A limit must be a number of US dollars from 0 to 10^12.", {
      next: "Give for example 0.05.",
    });
  }
  // The number's shortest decimal form is what its writer meant; cut off, not rounded, after the asset's last decimal.
  const [mantissa = "", exponent = ""] = usd.toExponential().split("e");
  const [whole = "", fraction = ""] = mantissa.split(".");
  const scale = decimals + Number(exponent) - fraction.length;
  const digits = BigInt(whole + fraction);
  return scale >= 0 ? digits * 10n ** BigInt(scale) : digits / 10n ** BigInt(-scale);
}
