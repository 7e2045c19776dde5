/** A seller's word for what a call cost, in whole tokens. `symbol`: of the token that it names, if it names one. */
export type ReportedCost = { amount: string; symbol?: string };

/** A told cost in base units, rounded up; null if it is no amount, or of another token than was paid in. */
export function toldCost(
  cost: ReportedCost | null,
  { symbol, decimals }: { symbol: string; decimals: number },
): bigint | null {
  if (cost === null || (cost.symbol !== undefined && cost.symbol !== symbol)) return null;
  const [, whole, fraction = ""] = /^([0-9]{1,30})(?:\.([0-9]{1,60}))?$/.exec(cost.amount) ?? [];
  if (whole === undefined) return null;
  const units = BigInt(whole + fraction.slice(0, decimals).padEnd(decimals, "0"));
  return /[1-9]/.test(fraction.slice(decimals)) ? units + 1n : units;
}
