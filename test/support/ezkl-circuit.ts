import { concatBytes, fromHex, joinBytes, utf8 } from "../../src/evidence/bytes.ts";
import { toField } from "../../src/evidence/groth16.ts";

/** One linear layer, outputs = inputs * weights, and what of it EZKL keeps open. */
export type Circuit = {
  /** A row of weights per input. */
  weights: readonly (readonly number[])[];
  logrows: number;
  visibility: { inputs: Visibility; outputs: Visibility; weights: Visibility };
};
export type Visibility = "Private" | "Public" | "Fixed";

/** Bits after the point of inputs and weights; an output has twice as many. */
const SCALE = 7;

const VISIBILITIES = ["Private", "Public", "Hashed", "KZGCommit", "Fixed"];
/** Places in EZKL 21's enums. */
const [INPUT, CONSTANT, LINEAR, EINSUM, F32] = [3, 4, 0, 8, 2];

const sizes = ({ weights }: Circuit): { inputs: number; outputs: number } => ({
  inputs: weights.length,
  outputs: weights[0]?.length ?? 0,
});

/** A settings file, as EZKL 21.0.0 reads and writes it. */
export function settingsOf(circuit: Circuit) {
  const { inputs, outputs } = sizes(circuit);
  const { visibility, logrows } = circuit;
  return {
    run_args: {
      input_scale: SCALE,
      param_scale: SCALE,
      scale_rebase_multiplier: 10,
      lookup_range: [0, 0],
      logrows,
      num_inner_cols: 2,
      variables: [["batch_size", 1]],
      input_visibility: visibility.inputs,
      output_visibility: visibility.outputs,
      param_visibility: visibility.weights,
      rebase_frac_zero_constants: false,
      check_mode: "UNSAFE",
      commitment: "KZG",
      decomp_base: 128,
      decomp_legs: 2,
      bounded_log_lookup: false,
      ignore_range_check_inputs_outputs: true,
    },
    num_rows: inputs * outputs + 32,
    total_assignments: 4 * inputs * outputs + 32,
    total_const_size: inputs * outputs,
    total_dynamic_col_size: 0,
    max_dynamic_input_len: 0,
    num_dynamic_lookups: 0,
    num_shuffles: 0,
    total_shuffle_col_size: 0,
    model_instance_shapes: [
      ...(visibility.inputs === "Public" ? [[1, inputs]] : []),
      ...(visibility.outputs === "Public" ? [[1, outputs]] : []),
    ],
    model_output_scales: [2 * SCALE],
    model_input_scales: [SCALE],
    module_sizes: { polycommit: [], poseidon: [0, [0]] },
    required_lookups: [],
    required_range_checks: [],
    check_mode: "UNSAFE",
    version: "21.0.0",
    num_blinding_factors: null,
    timestamp: null,
    input_types: ["F32"],
    output_types: ["F32"],
  };
}

const little = (value: bigint | number, bytes: number): Uint8Array =>
  fromHex(
    BigInt.asUintN(bytes * 8, BigInt(value))
      .toString(16)
      .padStart(bytes * 2, "0"),
  ).reverse();
const u8 = (value: number | boolean): Uint8Array => little(Number(value), 1);
const u32 = (value: number): Uint8Array => little(value, 4);
const u64 = (value: number): Uint8Array => little(value, 8);
const i128 = (value: number): Uint8Array => little(value, 16);
const text = (value: string): Uint8Array => concatBytes(u64(value.length), utf8(value));
const list = <T>(values: readonly T[], one: (value: T) => Uint8Array): Uint8Array =>
  joinBytes([u64(values.length), ...values.map(one)]);
const some = (value: Uint8Array): Uint8Array => concatBytes(u8(1), value);
const none = u8(0);
const outlet = (node: number): Uint8Array => concatBytes(u64(node), u64(0));
const visible = (visibility: string): Uint8Array => u32(VISIBILITIES.indexOf(visibility));
const f32 = (value: number): Uint8Array => new Uint8Array(Float32Array.of(value).buffer);

/** A compiled circuit, in the bincode that EZKL 21.0.0 reads: the graph, the settings, and a witness of zeros. */
export function compiledCircuit(circuit: Circuit): Uint8Array {
  const { inputs, outputs } = sizes(circuit);
  const { visibility } = circuit;
  const weights = circuit.weights.flat();
  const shape = [inputs, outputs];
  const node = (
    index: number,
    kind: Uint8Array,
    { scale, from, dims }: { scale: number; from: number[]; dims: number[] },
  ): Uint8Array =>
    concatBytes(u64(index), u32(0), kind, u32(scale), list(from, outlet), list(dims, u64), u64(index), u64(1));
  const constant = concatBytes(
    list(weights, (weight) => little(toField(BigInt(Math.round(weight * 2 ** SCALE))), 32)),
    list(shape, u64),
    some(u32(SCALE)),
    some(visible(visibility.weights)),
    list(weights, f32),
    list(shape, u64),
    none,
    none,
    u8(false),
  );
  const input = concatBytes(u32(INPUT), u32(SCALE), u32(F32), u8(false));
  const product = concatBytes(u32(LINEAR), u32(EINSUM), text("mk,kn->mn"));
  return concatBytes(
    u64(3),
    node(0, input, { scale: SCALE, from: [], dims: [1, inputs] }),
    node(1, concatBytes(u32(CONSTANT), constant), { scale: SCALE, from: [], dims: shape }),
    node(2, product, { scale: 2 * SCALE, from: [0, 1], dims: [1, outputs] }),
    list([0], u64),
    list([2], outlet),
    list([1], () => u32(F32)),
    ...[visibility.inputs, visibility.weights, visibility.outputs].map(visible),
    settingsBytes(settingsOf(circuit)),
    list([0], () => list(circuit.weights, () => new Uint8Array(32))),
    none,
    u64(0),
    // Nothing hashed, no lookups, no version.
    new Uint8Array(3 + 3 * 16 + 1),
  );
}

function settingsBytes(settings: ReturnType<typeof settingsOf>): Uint8Array {
  const { run_args: args } = settings;
  return concatBytes(
    u32(args.input_scale),
    u32(args.param_scale),
    u32(args.scale_rebase_multiplier),
    ...args.lookup_range.map(i128),
    u32(args.logrows),
    u64(args.num_inner_cols),
    list([0], () => concatBytes(text("batch_size"), u64(1))),
    ...[args.input_visibility, args.output_visibility, args.param_visibility].map(visible),
    u8(args.rebase_frac_zero_constants),
    u32(1),
    some(u32(0)),
    u64(args.decomp_base),
    u64(args.decomp_legs),
    u8(args.bounded_log_lookup),
    u8(args.ignore_range_check_inputs_outputs),
    ...[settings.num_rows, settings.total_assignments, settings.total_const_size].map(u64),
    ...Array.from({ length: 5 }, () => u64(0)),
    list(settings.model_instance_shapes, (dims) => list(dims, u64)),
    list(settings.model_output_scales, u32),
    list(settings.model_input_scales, u32),
    u64(0),
    u64(0),
    list([0], u64),
    u64(0),
    u64(0),
    u32(1),
    text(settings.version),
    none,
    none,
    some(list([0], () => u32(F32))),
    some(list([0], () => u32(F32))),
  );
}
