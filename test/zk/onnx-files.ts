/** Small ONNX files of a few nodes over one input `x` of shape [N, 3] and an output `y`. */
type Node = { op: string; inputs: string[]; output: string };

const field = (number: number, bytes: Uint8Array): Uint8Array =>
  Buffer.concat([Buffer.from([number * 8 + 2, (bytes.length & 127) | 128, bytes.length >> 7]), bytes]);
const int = (number: number, value: number): Uint8Array => Buffer.from([number * 8, value]);
const text = (number: number, value: string): Uint8Array => field(number, Buffer.from(value));

const tensor = (name: string, dims: readonly number[], values: readonly number[]): Uint8Array =>
  field(
    5,
    Buffer.concat([
      ...dims.map((dim) => int(1, dim)),
      int(2, 1),
      text(8, name),
      field(9, new Uint8Array(Float32Array.from(values).buffer)),
    ]),
  );
const value = (number: number, name: string): Uint8Array => {
  const shape = field(2, Buffer.concat([field(1, text(2, "N")), field(1, int(1, 3))]));
  return field(number, Buffer.concat([text(1, name), field(2, field(1, Buffer.concat([int(1, 1), shape])))]));
};

const CONSTANTS: [string, number[], number[]][] = [
  ["w", [3, 2], [0.5, -1.25, 0.75, 0.3, -0.6, 1.1]],
  ["b", [2], [0.1, -0.2]],
  ["v", [2, 3], [1.5, 0.25, -0.5, -1, 0.7, 0.9]],
  ["s", [3], [2, -0.5, 0.125]],
  ["wide", [4, 2], [1, 2, 3, 4, 5, 6, 7, 8]],
];

/** How often `Tile` repeats its input: what is [1, 3] then has 8,000 rows. */
const repeats = field(
  5,
  Buffer.concat([
    int(1, 2),
    int(2, 7),
    text(8, "repeats"),
    field(9, new Uint8Array(BigInt64Array.of(8000n, 1n).buffer)),
  ]),
);

/** A file of these nodes; constants w [3,2], b [2], v [2,3], s [3], wide [4,2] and the integers `repeats` (8000, 1). */
export function onnxOf(nodes: readonly Node[]): Uint8Array {
  const graph = Buffer.concat([
    ...nodes.map(({ op, inputs, output }) =>
      field(1, Buffer.concat([...inputs.map((name) => text(1, name)), text(2, output), text(4, op)])),
    ),
    ...CONSTANTS.map((one) => tensor(...one)),
    repeats,
    value(11, "x"),
    value(12, "y"),
  ]);
  const opset = field(8, Buffer.concat([text(1, ""), int(2, 17)]));
  return new Uint8Array(Buffer.concat([int(1, 8), field(7, graph), opset]));
}
