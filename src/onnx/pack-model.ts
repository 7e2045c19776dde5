import { clearField, toBinary } from "@bufbuild/protobuf";
import { createHash } from "node:crypto";
import { constants, open, realpath } from "node:fs/promises";
import { join, sep } from "node:path";
import { Proof402Error } from "../errors.ts";
import { ambiguous, readModelFile } from "./model-file.ts";
import {
  ModelProtoSchema,
  TensorProto_DataLocation as DataLocation,
  TensorProto_DataType as DataType,
  TensorProtoSchema,
  type TensorProto,
} from "./onnx-proto.artifact.ts";

/** Protobuf's readers, onnxruntime's among them, take no more bytes in one message. */
const MAX_BYTES = 2 ** 31 - 1;
const MAX_NAME = 1024;

/** A model's file with all of its data inside, and the files that the data came from. */
export type PackedModel = { bytes: Uint8Array; from: string[] };

/**
 * Puts a model's external data (onnx.proto, `TensorProto.external_data`) into its file, so that one digest covers every
 * byte that a runtime reads. The same files give the same bytes. A model without such data stays as it is.
 *
 * The data's files are in the model's `folder` or below it: a model from elsewhere names no other file of this machine.
 * Throws Proof402Error `model_external_data` for data that cannot be had, or the codes of `checkModelFile`.
 */
export async function packModel(file: Uint8Array, folder: string): Promise<PackedModel> {
  const model = readModelFile(file, { external: true });
  const from = new Set<string>();
  let size = file.length;
  for (const tensor of tensorsIn(model)) {
    const place = placeOf(tensor);
    if (place === null) continue;
    tensor.rawData = await readAt(folder, place, MAX_BYTES - size);
    tensor.externalData = [];
    clearField(tensor, TensorProtoSchema.field.dataLocation);
    size += tensor.rawData.length;
    from.add(place.location);
  }
  return { bytes: from.size === 0 ? file : toBinary(ModelProtoSchema, model), from: [...from] };
}

/**
 * The tensors of a message, wherever they are in it.
 * @yields each of them once
 */
function* tensorsIn(value: unknown): Generator<TensorProto> {
  if (typeof value !== "object" || value === null || value instanceof Uint8Array) return;
  if ("$typeName" in value && value.$typeName === "onnx.TensorProto") yield value as TensorProto;
  else for (const part of Object.values(value)) yield* tensorsIn(part);
}

/** Bytes of an element, by the type that a tensor's data may be elsewhere in. Smaller elements are packed, and texts have no size. */
const ELEMENT_BYTES: Partial<Record<number, number>> = {
  [DataType.FLOAT]: 4,
  [DataType.UINT8]: 1,
  [DataType.INT8]: 1,
  [DataType.UINT16]: 2,
  [DataType.INT16]: 2,
  [DataType.INT32]: 4,
  [DataType.INT64]: 8,
  [DataType.BOOL]: 1,
  [DataType.FLOAT16]: 2,
  [DataType.DOUBLE]: 8,
  [DataType.UINT32]: 4,
  [DataType.UINT64]: 8,
  [DataType.BFLOAT16]: 2,
};

type Place = { location: string; offset: number; length: number; checksum: string | undefined };

/** Where a tensor's data is, or null for one that holds it. */
function placeOf(tensor: TensorProto): Place | null {
  const { dataLocation, externalData, dataType } = tensor;
  if (dataLocation !== DataLocation.EXTERNAL && externalData.length === 0) return null;
  if (dataLocation !== DataLocation.EXTERNAL) throw ambiguous("data in another file that is not marked as there");
  if (PAYLOADS.some((payload) => tensor[payload].length > 0)) throw ambiguous("a tensor with data here and elsewhere");
  if (dataType === DataType.STRING) throw absent("it has texts in another file");
  const said = new Map(externalData.map(({ key, value }) => [key, value]));
  if (said.size !== externalData.length) throw ambiguous("a place of data named twice");
  const unknown = [...said.keys()].some((key) => !["location", "offset", "length", "checksum"].includes(key));
  const location = said.get("location") ?? "";
  if (unknown || !isBelow(location)) throw absent("its data is named by no file in the model's folder");
  const length = said.get("length");
  return {
    location,
    offset: count(said.get("offset") ?? "0"),
    length: length === undefined ? lengthOf(tensor) : count(length),
    checksum: said.get("checksum"),
  };
}

/** Bytes of a tensor's data by its shape, as runtimes read it, for a place without a length. */
function lengthOf({ dataType, dims }: TensorProto): number {
  const bytes = ELEMENT_BYTES[dataType];
  if (bytes === undefined) throw absent("its data's place has no length");
  return count(String(dims.reduce((product, dim) => product * dim, BigInt(bytes))));
}

const PAYLOADS = [
  "rawData",
  "floatData",
  "int32Data",
  "stringData",
  "int64Data",
  "doubleData",
  "uint64Data",
] as const satisfies readonly (keyof TensorProto)[];

const isBelow = (location: string): boolean =>
  location.length <= MAX_NAME && location.split("/").every((part) => /^[^\\\0:]+$/.test(part) && !/^\.\.?$/.test(part));

function count(text: string): number {
  const number = /^[0-9]{1,15}$/.test(text) ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(number)) throw absent("its data's place is no number of bytes");
  return number;
}

async function readAt(
  folder: string,
  { location, offset, length, checksum }: Place,
  most: number,
): Promise<Uint8Array> {
  const [base, path] = await Promise.all([realpath(folder), realpath(join(folder, location))]).catch(() => [
    null,
    null,
  ]);
  if (base === null || path === null) throw absent(`${location} is not beside it`);
  // A link may lead out of the folder.
  if (!path.startsWith(base.endsWith(sep) ? base : base + sep)) throw absent(`${location} is outside its folder`);
  // A pipe under this name is refused and not waited for.
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const stat = await file.stat();
    if (!stat.isFile() || offset + length > stat.size) throw absent(`${location} has too few bytes`);
    if (length > most) throw absent("with all of it the file has more bytes than a runtime reads");
    if (checksum !== undefined && (await sha1Of(file)) !== checksum.toLowerCase())
      throw absent(`${location} does not have the checksum that the model names`);
    const bytes = new Uint8Array(length);
    for (let at = 0; at < length;) {
      const { bytesRead } = await file.read(bytes, at, length - at, offset + at);
      if (bytesRead === 0) throw absent(`${location} has too few bytes`);
      at += bytesRead;
    }
    return bytes;
  } finally {
    await file.close();
  }
}

/** The checksum that onnx.proto names: of the whole file. */
async function sha1Of(file: Awaited<ReturnType<typeof open>>): Promise<string> {
  const hash = createHash("sha1");
  for await (const chunk of file.createReadStream({ start: 0, autoClose: false })) hash.update(chunk as Buffer);
  return hash.digest("hex");
}

const absent = (why: string): Proof402Error =>
  new Proof402Error("model_external_data", `The model's data in other files cannot be put into it: ${why}.`, {
    next: "Put its files beside it as they were exported, or save it with its data inside (`onnx.save`).",
  });
