/** Bits of infinity; those below it are the finite numbers from 0 up, in their order. */
const INFINITY_BITS = 0x7c00;
const SIGN = 0x8000;

/** Reads 16 bits of floating point (IEEE 754 binary16). A double holds each number exactly. */
export function numberOfHalf(bits: number): number {
  const sign = (bits & SIGN) === 0 ? 1 : -1;
  const fraction = bits & 0x3ff;
  const exponent = (bits & INFINITY_BITS) >> 10;
  if (exponent === 0x1f) return fraction === 0 ? sign * Infinity : Number.NaN;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (0x400 + fraction) * 2 ** (exponent - 25);
}

/** Gives the bits of the nearest number of 16 bits, and of two as near the even one: what `Math.fround` does for 32. */
export function halfOfNumber(number: number): number {
  const sign = number < 0 || Object.is(number, -0) ? SIGN : 0;
  const magnitude = Math.abs(number);
  let below = 0;
  let above = INFINITY_BITS;
  while (above - below > 1) {
    const middle = (below + above) >> 1;
    if (numberOfHalf(middle) <= magnitude) below = middle;
    else above = middle;
  }
  const half = (numberOfHalf(below) + numberOfHalf(above)) / 2;
  const isNearerAbove = magnitude > half || (magnitude === half && below % 2 === 1);
  return sign | (isNearerAbove ? above : below);
}
