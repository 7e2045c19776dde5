import { fromBinary, ScalarType, type DescField, type DescMessage } from "@bufbuild/protobuf";
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import { Proof402Error } from "../errors.ts";
import { ModelProtoSchema, type ModelProto } from "./onnx-proto.artifact.ts";

/** Messages inside one another that are read: as many as onnxruntime's own reader takes. */
const MAX_DEPTH = 100;

const PAYLOADS_OF_TENSOR = [
  "float_data",
  "int32_data",
  "string_data",
  "int64_data",
  "raw_data",
  "double_data",
  "uint64_data",
];
const PAYLOADS_OF_ATTRIBUTE = [
  "f",
  "i",
  "s",
  "t",
  "g",
  "sparse_tensor",
  "tp",
  "floats",
  "ints",
  "strings",
  "tensors",
  "graphs",
  "sparse_tensors",
  "type_protos",
];
/** Fields a message may hold once: readers disagree about a repeated one. */
const ALTERNATIVES: ReadonlyMap<string, readonly string[]> = new Map([
  ["onnx.TensorProto", PAYLOADS_OF_TENSOR],
  ["onnx.AttributeProto", PAYLOADS_OF_ATTRIBUTE],
]);

/**
 * Checks the bytes of an ONNX file (protobuf encoding specification, onnx.proto): every reader reads the same model
 * from it, and all of the model is in it. Refuses unknown fields, a repeated singular field (readers keep the last, the
 * first, or a merge), several values of one tensor or attribute, text outside UTF-8, and data in other files, anywhere
 * in the model, unless `external` allows it. A protobuf library alone tells none of these.
 *
 * Throws Proof402Error `model_unreadable` (no ONNX file that this version knows all of), `model_ambiguous` or
 * `model_external_data`.
 */
export function checkModelFile(file: Uint8Array, options: { external?: boolean } = {}): void {
  if (file.length === 0) throw unreadable();
  checkMessage(file, ModelProtoSchema, { depth: MAX_DEPTH, ...options });
}

/** Reads an ONNX file after `checkModelFile`. Throws the same. */
export function readModelFile(file: Uint8Array, options: { external?: boolean } = {}): ModelProto {
  checkModelFile(file, options);
  try {
    return fromBinary(ModelProtoSchema, file);
  } catch (error) {
    throw unreadable(error);
  }
}

function checkMessage(
  bytes: Uint8Array,
  message: DescMessage,
  { depth, external: isAllowed = false }: { depth: number; external?: boolean },
): void {
  if (depth === 0) throw unreadable();
  const seen = new Set<string>();
  for (const { field, wireType, value } of records(bytes, message)) {
    const { name } = field;
    const repeated = field.fieldKind === "list" || field.fieldKind === "map";
    const rivals = field.oneof?.fields.map((one) => one.name) ?? [name];
    if (!repeated && rivals.some((rival) => seen.has(rival))) throw ambiguous(`${name} in a ${message.name} twice`);
    const payloads = ALTERNATIVES.get(message.typeName) ?? [];
    if (payloads.includes(name) && payloads.some((other) => other !== name && seen.has(other)))
      throw ambiguous(`more than one value in a ${message.name}`);
    seen.add(name);
    const isElsewhere = name === "external_data" || (name === "data_location" && value.some((byte) => byte !== 0));
    if (isElsewhere && !isAllowed) throw external();
    if (field.message !== undefined) checkMessage(value, field.message, { depth: depth - 1, external: isAllowed });
    else checkScalar(value, field, wireType);
  }
}

type WireRecord = { field: DescField; wireType: WireType; value: Uint8Array };

/**
 * The fields of a message as they stand on the wire.
 * @yields each field: known, of its type, and inside the message
 */
function* records(bytes: Uint8Array, message: DescMessage): Generator<WireRecord> {
  const reader = new BinaryReader(bytes);
  while (reader.pos < bytes.length) {
    const [number, wireType] = attempt(() => reader.tag());
    const field = message.fields.find((one) => one.number === number);
    if (field === undefined) throw unknown(`a field ${number} in a ${message.name}`);
    if (!wireTypesOf(field).includes(wireType)) throw unreadable();
    const data = attempt(() => reader.skip(wireType, number));
    yield { field, wireType, value: wireType === WireType.LengthDelimited ? afterLength(data) : data };
  }
}

/** What follows the length. */
function afterLength(data: Uint8Array): Uint8Array {
  const reader = new BinaryReader(data);
  reader.uint32();
  return data.subarray(reader.pos);
}

function wireTypesOf(field: DescField): readonly WireType[] {
  const { scalar } = field;
  if (field.enum !== undefined) return [WireType.Varint];
  switch (scalar) {
    case undefined:
    case ScalarType.STRING:
    case ScalarType.BYTES:
      return [WireType.LengthDelimited];
    default: {
      const one = FIXED.get(scalar)?.wireType ?? WireType.Varint;
      return field.fieldKind === "list" ? [one, WireType.LengthDelimited] : [one];
    }
  }
}

const FIXED: ReadonlyMap<ScalarType, { wireType: WireType; bytes: number }> = new Map([
  [ScalarType.FLOAT, { wireType: WireType.Bit32, bytes: 4 }],
  [ScalarType.DOUBLE, { wireType: WireType.Bit64, bytes: 8 }],
]);

function checkScalar(value: Uint8Array, field: DescField, wireType: WireType): void {
  const { scalar } = field;
  if (scalar === ScalarType.BYTES) return;
  if (scalar === ScalarType.STRING) {
    attempt(() => new TextDecoder("utf-8", { fatal: true }).decode(value));
    return;
  }
  const fixed = scalar === undefined ? undefined : FIXED.get(scalar);
  if (fixed !== undefined) {
    if (value.length % fixed.bytes !== 0) throw unreadable();
    return;
  }
  // The last varint ends here, packed or not, and none is longer than 64 bits are.
  if ((value.at(-1) ?? 0) >= 0x80) throw unreadable();
  if (wireType === WireType.Varint && value.length > 10) throw unreadable();
  if (field.enum !== undefined) {
    const number = new BinaryReader(value).int32();
    if (!field.enum.values.some((one) => one.number === number)) throw unknown(`another ${field.name}`);
  }
}

function attempt<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw unreadable(error);
  }
}

const unreadable = (cause?: unknown): Proof402Error =>
  new Proof402Error("model_unreadable", "The file is not an ONNX model.", { next: "Export the model again.", cause });

const unknown = (what: string): Proof402Error =>
  new Proof402Error("model_unreadable", `The file is not an ONNX model that this version reads: it has ${what}.`, {
    next: "Export the model again, or update proof402.",
  });

export const ambiguous = (what: string): Proof402Error =>
  new Proof402Error("model_ambiguous", `Two readers may read two models from this file: it has ${what}.`, {
    next: "Export the model again, with the exporter's own writer.",
  });

const external = (): Proof402Error =>
  new Proof402Error(
    "model_external_data",
    "Some of this model's data is in another file, which its digest does not cover.",
    { next: "Save the model with its data inside the file: `proof402 node init` writes it so, or `onnx.save`." },
  );
