/** ONNX files of a few nodes over one input `x` and an output `y` (protobuf fields as in onnx.proto3). */
type Node = { op: string; inputs: string[]; output: string };
type Constant = { name: string; dims: readonly number[]; values: Float32Array | BigInt64Array };

const varint = (value: number): number[] =>
  value < 128 ? [value] : [(value & 127) | 128, ...varint(Math.floor(value / 128))];
const field = (number: number, bytes: Uint8Array): Uint8Array =>
  Buffer.concat([Buffer.from([number * 8 + 2, ...varint(bytes.length)]), bytes]);
const int = (number: number, value: number): Uint8Array => Buffer.from([number * 8, ...varint(value)]);
const text = (number: number, value: string): Uint8Array => field(number, Buffer.from(value));

const FLOAT = 1;
const INT64 = 7;
const tensor = ({ name, dims, values }: Constant): Uint8Array =>
  field(
    5,
    Buffer.concat([
      ...dims.map((dim) => int(1, dim)),
      int(2, values instanceof Float32Array ? FLOAT : INT64),
      text(8, name),
      field(9, new Uint8Array(values.buffer)),
    ]),
  );
/** An FP32 tensor of shape [N, width]. */
const value = (number: number, name: string, width: number): Uint8Array => {
  const shape = field(2, Buffer.concat([field(1, text(2, "N")), field(1, int(1, width))]));
  return field(number, Buffer.concat([text(1, name), field(2, field(1, Buffer.concat([int(1, FLOAT), shape])))]));
};

function fileOf(nodes: readonly Node[], constants: readonly Constant[], widths: { x: number; y: number }): Uint8Array {
  const graph = Buffer.concat([
    ...nodes.map(({ op, inputs, output }) =>
      field(1, Buffer.concat([...inputs.map((name) => text(1, name)), text(2, output), text(4, op)])),
    ),
    ...constants.map(tensor),
    value(11, "x", widths.x),
    value(12, "y", widths.y),
  ]);
  const opset = field(8, Buffer.concat([text(1, ""), int(2, 17)]));
  return new Uint8Array(Buffer.concat([int(1, 8), field(7, graph), opset]));
}

const floats = (name: string, dims: readonly number[], values: readonly number[]): Constant => ({
  name,
  dims,
  values: Float32Array.from(values),
});
const CONSTANTS: Constant[] = [
  floats("w", [3, 2], [0.5, -1.25, 0.75, 0.3, -0.6, 1.1]),
  floats("b", [2], [0.1, -0.2]),
  floats("v", [2, 3], [1.5, 0.25, -0.5, -1, 0.7, 0.9]),
  floats("s", [3], [2, -0.5, 0.125]),
  floats("wide", [4, 2], [1, 2, 3, 4, 5, 6, 7, 8]),
  // How often `Tile` repeats its input: what is [1, 3] then has 8,000 rows.
  { name: "repeats", dims: [2], values: BigInt64Array.of(8000n, 1n) },
];

/** A file of these nodes, x and y three wide; constants w [3,2], b [2], v [2,3], s [3], wide [4,2] and repeats (8000, 1). */
export const onnxOf = (nodes: readonly Node[]): Uint8Array => fileOf(nodes, CONSTANTS, { x: 3, y: 3 });

/** A perceptron of these layer widths with ReLU between its layers; `random` gives weights from 0 to 1 before they are scaled. */
export function perceptron(widths: readonly number[], random: () => number): Uint8Array {
  const nodes: Node[] = [];
  const constants: Constant[] = [];
  let from = "x";
  for (const [layer, width] of widths.slice(1).entries()) {
    const before = widths[layer] ?? 0;
    const last = layer === widths.length - 2;
    const draw = (count: number): number[] =>
      Array.from({ length: count }, () => ((random() * 2 - 1) * 1.5) / Math.sqrt(before));
    constants.push(
      floats(`w${layer}`, [before, width], draw(before * width)),
      floats(`b${layer}`, [width], draw(width)),
    );
    nodes.push({ op: "MatMul", inputs: [from, `w${layer}`], output: `m${layer}` });
    nodes.push({ op: "Add", inputs: [`m${layer}`, `b${layer}`], output: last ? "y" : `a${layer}` });
    if (!last) nodes.push({ op: "Relu", inputs: [`a${layer}`], output: `r${layer}` });
    from = `r${layer}`;
  }
  return fileOf(nodes, constants, { x: widths[0] ?? 0, y: widths.at(-1) ?? 0 });
}

/** Numbers from 0 to 1, the same each time (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
