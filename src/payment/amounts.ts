import { Proof402Error } from "../errors.ts";

/** Base units as a decimal number with the asset's decimals, without trailing zeros: `1500000`, 6 -> `1.5`. */
export function formatUnits(baseUnits: string | bigint, decimals: number): string {
  const digits = BigInt(baseUnits)
    .toString()
    .padStart(decimals + 1, "0");
  const whole = digits.slice(0, digits.length - decimals);
  const fraction = digits.slice(digits.length - decimals).replace(/0+$/, "");
  return fraction === "" ? whole : `${whole}.${fraction}`;
}

/**
 * US dollars as base units of a stable asset, rounded down (a bound must not grow).
 * Throws Proof402Error `invalid_max_usd` for what is not a finite non-negative number.
 */
export function usdToBaseUnits(usd: number, decimals: number): bigint {
  if (!Number.isFinite(usd) || usd < 0 || usd > 1e12) {
    throw new Proof402Error("invalid_max_usd", "max_usd must be a number of US dollars from 0 to 10^12.", {
      next: "Give for example 0.05.",
    });
  }
  // Twelve decimals carry every cent-like bound exactly and keep binary noise such as 0.1 + 0.2 out.
  const micros = BigInt(Math.round(usd * 1e6)) * 10n ** 6n;
  const exact = usd < 1e3 ? BigInt(Math.round(usd * 1e12)) : micros;
  return decimals >= 12 ? exact * 10n ** BigInt(decimals - 12) : exact / 10n ** BigInt(12 - decimals);
}
