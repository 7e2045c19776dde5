import * as z from "zod";
import { BN254_R, fromField, toField } from "./groth16.ts";
import { fromHex, jsonOf, toHex, utf8, type Bytes } from "./bytes.ts";

/** More numbers than any circuit whose proofs are judged has inputs and outputs. */
const MAX_INSTANCES = 8192;
/** Longest proof, bytes: a megabyte of EZKL's JSON holds no more. */
const MAX_PROOF_BYTES = 262_144;
/** Quantised numbers stay below this in magnitude: above it, floating point has no exact form of them. */
const LARGEST = 2 ** 52;

const shape = z.array(z.int().min(1).max(MAX_INSTANCES)).max(8);
const scales = z.array(z.int().min(-32).max(64)).max(64);
const types = z.array(z.string().max(16)).max(64).nullish();

/** The part of EZKL's settings file about a proof's public numbers. */
const settingsSchema = z.object({
  run_args: z.object({
    input_visibility: z.unknown(),
    output_visibility: z.unknown(),
    param_visibility: z.unknown(),
    commitment: z.unknown(),
  }),
  model_instance_shapes: z.array(shape).max(128),
  model_input_scales: scales,
  model_output_scales: scales,
  input_types: types,
});

/** A public tensor of a circuit: its shape, how many numbers that is, and bits after the point. */
export type EzklTensor = { shape: readonly number[]; count: number; scale: number };

/** A circuit's public values, and the facts its key leaves open. */
export type EzklSettings = {
  /** Everybody sees the inputs, the outputs. */
  inputsPublic: boolean;
  outputsPublic: boolean;
  /**
   * The weights are in the verification key. Where they are not (EZKL's own default is `Private`), the key is the same for any
   * weights, and the prover chooses them.
   */
  weightsFixed: boolean;
  kzg: boolean;
  /** In the order in which a proof lists them. Empty where not all are public. */
  inputs: EzklTensor[];
  outputs: EzklTensor[];
};

/** Reads an EZKL settings file. Gives null for anything else and for an unknown form. */
export function readEzklSettings(bytes: Uint8Array): EzklSettings | null {
  const { data } = settingsSchema.safeParse(jsonOf(bytes));
  if (data === undefined) return null;
  const { run_args: args, model_instance_shapes: shapes, model_input_scales, model_output_scales } = data;
  const settings = {
    inputsPublic: args.input_visibility === "Public",
    outputsPublic: args.output_visibility === "Public",
    weightsFixed: args.param_visibility === "Fixed",
    kzg: args.commitment === undefined || args.commitment === null || args.commitment === "KZG",
  };
  if (!settings.inputsPublic || !settings.outputsPublic) return { ...settings, inputs: [], outputs: [] };
  if (data.input_types?.some((type) => type !== "F32") === true) return null;
  if (shapes.length !== model_input_scales.length + model_output_scales.length) return null;
  const all = [...model_input_scales, ...model_output_scales].flatMap((scale, at): EzklTensor[] => {
    const dimensions = shapes[at];
    if (dimensions === undefined) return [];
    return [{ shape: dimensions, count: dimensions.reduce((product, one) => product * one, 1), scale }];
  });
  if (all.reduce((sum, { count }) => sum + count, 0) > MAX_INSTANCES) return null;
  const inputs = all.slice(0, model_input_scales.length);
  return { ...settings, inputs, outputs: all.slice(inputs.length) };
}

const proofSchema = z.object({
  /** One column of field elements, each 32 bytes as hex, the lowest byte first. */
  instances: z.tuple([z.array(z.string().regex(/^[0-9a-f]{64}$/)).max(MAX_INSTANCES)]),
  proof: z.array(z.int().min(0).max(255)).min(1).max(MAX_PROOF_BYTES),
  transcript_type: z.literal("EVM"),
});

/** What of an EZKL proof file is looked at: the public numbers, and the proof's own bytes. */
export type EzklProof = { instances: bigint[]; proof: Uint8Array };

/**
 * Reads a proof as EZKL writes it (JSON). Its readable copies of the numbers (`pretty_public_inputs`, `hex_proof`) are not
 * what is proved and are not read. Null where it is malformed, or a number is not below the field's order.
 */
export function readEzklProof(bytes: Uint8Array): EzklProof | null {
  const { data } = proofSchema.safeParse(jsonOf(bytes));
  if (data === undefined) return null;
  const instances = data.instances[0].map((hex) => BigInt(`0x${toHex(fromHex(hex).reverse())}`));
  return instances.every((value) => value < BN254_R) ? { instances, proof: Uint8Array.from(data.proof) } : null;
}

/**
 * A proof file with nothing in it but what was read and compared, for an engine to check. The file as received could name
 * a field twice, and two readers then take different ones.
 */
export const writeEzklProof = ({ instances, proof }: EzklProof): Bytes =>
  utf8(
    JSON.stringify({
      instances: [instances.map((value) => toHex(fromHex(value.toString(16).padStart(64, "0")).reverse()))],
      proof: [...proof],
      transcript_type: "EVM",
    }),
  );

/**
 * A number of a request as EZKL quantises an FP32 input: x * 2^scale, rounded to the nearest, halves away from zero, as
 * an element of the field. Null where it is too large to be exact.
 */
export function ezklInstance(value: number, scale: number): bigint | null {
  const scaled = Math.fround(value) * 2 ** scale;
  const rounded = Math.sign(scaled) * Math.round(Math.abs(scaled));
  return Math.abs(rounded) < LARGEST ? toField(BigInt(rounded)) : null;
}

/** The number that a proved element stands for, or null where it is too large to be exact. */
export function ezklNumber(element: bigint, scale: number): number | null {
  const value = Number(fromField(element));
  return Math.abs(value) < LARGEST ? value / 2 ** scale : null;
}
