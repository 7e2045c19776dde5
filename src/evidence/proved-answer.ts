import type { Tensor } from "./exchange/tensors.ts";
import { BN254_R, fromField, type Groth16Key, type ProvedOutput } from "./groth16.ts";

/** The numbers in a proof's first signals, or null if one of them is out of a model's range. */
export function provedNumbers(signals: readonly string[], key: Groth16Key): number[] | null {
  const results = signals.slice(0, key.results).map(BigInt);
  // Numbers this large have no exact form any more.
  const exact = results.every((value) => value < BN254_R && Math.abs(Number(fromField(value))) <= 2 ** 52);
  return exact ? results.map((value) => Number(fromField(value)) / 2 ** (2 * key.scale)) : null;
}

/** Where an answer is not what the proved numbers make of it, in a few words, or null. */
export function differenceFromProved(
  answered: readonly Tensor[] | null,
  results: readonly number[],
  key: Groth16Key,
): string | null {
  if (answered === null || answered.length === 0) return "it cannot be read";
  for (const [index, tensor] of answered.entries()) {
    const output = key.outputs.find(({ name }) => name === tensor.name);
    if (output === undefined) return `tensor ${index} was not proved`;
    if (!agrees(tensor, output, results, key.tolerance)) return `tensor ${index} differs`;
  }
  return null;
}

function agrees(
  { datatype, shape, data }: Tensor,
  { head, from, count }: ProvedOutput,
  results: readonly number[],
  tolerance: number,
): boolean {
  const proved = results.slice(from, from + count);
  if (proved.length !== count) return false;
  if (head === "argmax") {
    const [label] = data;
    const score = typeof label === "number" && Number.isInteger(label) ? proved[label] : undefined;
    const one = datatype === "INT64" && data.length === 1 && /^1(?:,1)?$/.test(shape.join());
    // Where two classes are as good as equal, either may be the largest in floating point.
    return one && score !== undefined && Math.max(...proved) - score <= 2 * tolerance;
  }
  const expected = withHead(head, proved);
  const near = (value: number, at: number): boolean => {
    const answer = data[at];
    return typeof answer === "number" && Math.abs(answer - value) <= tolerance;
  };
  return datatype === "FP32" && shape.join() === `1,${count}` && data.length === count && expected.every(near);
}

/** No head changes its numbers by more than they change themselves. */
function withHead(head: "linear" | "softmax" | "sigmoid", proved: readonly number[]): readonly number[] {
  if (head === "linear") return proved;
  if (head === "sigmoid") return proved.map((value) => 1 / (1 + Math.exp(-value)));
  const largest = Math.max(...proved);
  const powers = proved.map((value) => Math.exp(value - largest));
  const sum = powers.reduce((total, value) => total + value, 0);
  return powers.map((value) => value / sum);
}
