import { Proof402Error } from "../errors.ts";

/** One field of a message: its number and value. Groups are not known to proto3. */
export type Field = { number: number; value: number | Uint8Array };

const broken = (): Proof402Error =>
  new Proof402Error("model_unreadable", "The file is not an ONNX model.", { next: "Export the model again." });

/**
 * The fields of a protobuf message in order (protobuf encoding specification): varints as numbers, everything else as its
 * bytes. Throws Proof402Error `model_unreadable`.
 */
export function readMessage(bytes: Uint8Array): Field[] {
  const fields: Field[] = [];
  let at = 0;
  const varint = (): number => {
    // Negative int64 take ten bytes; their upper bits wrap as two's complement does.
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = bytes[at];
      if (byte === undefined) throw broken();
      at += 1;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return Number(BigInt.asIntN(64, value));
    }
    throw broken();
  };
  const take = (length: number): Uint8Array => {
    if (!Number.isSafeInteger(length) || length < 0 || at + length > bytes.length) throw broken();
    at += length;
    return bytes.subarray(at - length, at);
  };
  while (at < bytes.length) {
    const tag = varint();
    const number = Math.floor(tag / 8);
    switch (tag % 8) {
      case 0:
        fields.push({ number, value: varint() });
        break;
      case 1:
        fields.push({ number, value: take(8) });
        break;
      case 2:
        fields.push({ number, value: take(varint()) });
        break;
      case 5:
        fields.push({ number, value: take(4) });
        break;
      default:
        throw broken();
    }
  }
  return fields;
}

/** The bytes of every field of a number. */
export const bytesOf = (fields: readonly Field[], number: number): Uint8Array[] =>
  fields.flatMap((field) => (field.number === number && field.value instanceof Uint8Array ? [field.value] : []));

/** The text of the last field of a number, or "". */
export const textOf = (fields: readonly Field[], number: number): string => {
  const last = bytesOf(fields, number).at(-1);
  return last === undefined ? "" : new TextDecoder().decode(last);
};

/** The varints of a number, packed or not. */
export const intsOf = (fields: readonly Field[], number: number): number[] =>
  fields.flatMap((field) => {
    if (field.number !== number) return [];
    if (typeof field.value === "number") return [field.value];
    // Packed varints have no tags: each is read as field 0 of its own.
    return unpack(field.value);
  });

function unpack(bytes: Uint8Array): number[] {
  const values: number[] = [];
  let value = 0n;
  let shift = 0n;
  for (const byte of bytes) {
    value |= BigInt(byte & 0x7f) << shift;
    shift += 7n;
    if (byte >= 0x80) continue;
    values.push(Number(BigInt.asIntN(64, value)));
    value = 0n;
    shift = 0n;
  }
  return values;
}
