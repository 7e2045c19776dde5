/** A sum of wires with coefficients. Wire 0 is the number 1. Coefficients are signed; 0 is left out. */
export type Linear = ReadonlyMap<number, bigint>;

export const ONE = 0;
export const constant = (value: bigint): Linear => new Map(value === 0n ? [] : [[ONE, value]]);
export const wire = (number: number): Linear => new Map([[number, 1n]]);

/** The sum of sums, each times its factor. */
export function combine(...parts: readonly (readonly [Linear, bigint])[]): Linear {
  const sum = new Map<number, bigint>();
  for (const [linear, factor] of parts) {
    for (const [at, coefficient] of linear) {
      const value = (sum.get(at) ?? 0n) + coefficient * factor;
      if (value === 0n) sum.delete(at);
      else sum.set(at, value);
    }
  }
  return sum;
}

/** The value of a sum where the wires have these values. */
export function valueOf(linear: Linear, values: readonly bigint[]): bigint {
  let sum = 0n;
  for (const [at, coefficient] of linear) sum += coefficient * (values[at] ?? 0n);
  return sum;
}
