import { decode, encode, type DecodeOptions } from "cborg";
import { equalBytes, type Bytes } from "./bytes.ts";

/** What an AWS Nitro attestation document says (AWS `nitro-enclaves-nsm-api`, attestation process §"payload"). */
export type NitroPayload = {
  moduleId: string;
  digest: "SHA384";
  /** Unix milliseconds. */
  timestamp: number;
  /** PCR index -> 48 bytes. */
  pcrs: ReadonlyMap<number, Uint8Array>;
  /** DER of the leaf certificate whose key signs the document. */
  certificate: Uint8Array;
  /** DER of the chain above the leaf, root first. */
  cabundle: readonly Uint8Array[];
  publicKey: Uint8Array | null;
  userData: Uint8Array | null;
  nonce: Uint8Array | null;
};

/** A decoded document with the exact bytes its signature covers. */
export type NitroDocument = {
  payload: NitroPayload;
  /** CBOR of the COSE Sig_structure (RFC 9052 §4.4): what ES384 signs. */
  sigStructure: Bytes;
  /** r ‖ s, 96 bytes (IEEE P1363). */
  signature: Bytes;
};

/** Outcome of decoding. `check` is `malformed` or `algorithm`. */
export type DecodedNitro =
  | { ok: true; document: NitroDocument }
  | { ok: false; check: "malformed" | "algorithm"; message: string };

/** Documents are 4 to 6 KB; the NSM answers with at most 16 KB. */
const MAX_DOCUMENT = 32_768;
const MAX_CHAIN = 8;
/** CBOR of `{1: -35}`: algorithm ES384 and nothing else (RFC 9053 §2.1). */
const PROTECTED_ES384 = new Uint8Array([0xa1, 0x01, 0x38, 0x22]);

const STRICT: DecodeOptions = {
  useMaps: true,
  allowUndefined: false,
  allowInfinity: false,
  allowNaN: false,
  allowBigInt: false,
  rejectDuplicateMapKeys: true,
};

/**
 * Decodes a Nitro attestation document: an untagged COSE_Sign1 (RFC 9052 §4.2) `[protected, {}, payload, signature]`.
 *
 * The outer array must be in the one deterministic encoding (RFC 8949 §4.2.1), so that no byte of the document is
 * free: each is fixed here, signed, or the signature. The payload may use indefinite lengths, as genuine documents
 * do: it is signed as it stands. Never throws.
 */
export function decodeNitroDocument(bytes: Uint8Array): DecodedNitro {
  if (bytes.length > MAX_DOCUMENT) return malformed(`a document is at most ${MAX_DOCUMENT} bytes`);
  const outer = tryDecode(bytes);
  if (!Array.isArray(outer) || outer.length !== 4) return malformed("not an untagged COSE_Sign1 array of four");
  const [protectedHeader, unprotected, payload, signature] = outer as unknown[];
  if (
    !(protectedHeader instanceof Uint8Array) ||
    !(payload instanceof Uint8Array) ||
    !(signature instanceof Uint8Array)
  ) {
    return malformed("COSE_Sign1 fields have other types than the standard's");
  }
  if (!(unprotected instanceof Map) || unprotected.size !== 0)
    return malformed("the unprotected header is not an empty map");
  if (!equalBytes(encodeSign1(protectedHeader, payload, signature), bytes))
    return malformed("the COSE_Sign1 array is not in deterministic encoding");
  if (!equalBytes(protectedHeader, PROTECTED_ES384)) {
    return { ok: false, check: "algorithm", message: "the protected header is not exactly {alg: ES384}" };
  }
  if (signature.length !== 96) return malformed("an ES384 signature is 96 bytes");
  const fields = readPayload(tryDecode(payload));
  if (typeof fields === "string") return malformed(fields);
  return {
    ok: true,
    document: {
      payload: fields,
      sigStructure: sigStructureOf(protectedHeader, payload),
      signature: new Uint8Array(signature),
    },
  };
}

const malformed = (message: string): DecodedNitro => ({ ok: false, check: "malformed", message });

function tryDecode(bytes: Uint8Array): unknown {
  try {
    return decode(bytes, STRICT);
  } catch {
    return undefined;
  }
}

const encodeSign1 = (protectedHeader: Uint8Array, payload: Uint8Array, signature: Uint8Array): Bytes =>
  new Uint8Array(encode([protectedHeader, new Map(), payload, signature]));

const sigStructureOf = (protectedHeader: Uint8Array, payload: Uint8Array): Bytes =>
  new Uint8Array(encode(["Signature1", protectedHeader, new Uint8Array(0), payload]));

/** The fields, or what is wrong with them. */
function readPayload(value: unknown): NitroPayload | string {
  if (!(value instanceof Map)) return "the payload is not a CBOR map";
  const map = value as Map<unknown, unknown>;
  const moduleId = map.get("module_id");
  const timestamp = map.get("timestamp");
  const certificate = map.get("certificate");
  const cabundle = map.get("cabundle");
  const pcrs = map.get("pcrs");
  if (typeof moduleId !== "string" || moduleId.length === 0 || moduleId.length > 256) return "module_id is missing";
  if (map.get("digest") !== "SHA384") return "digest is not SHA384";
  if (typeof timestamp !== "number" || !Number.isSafeInteger(timestamp) || timestamp <= 0)
    return "timestamp is missing";
  if (!isBytes(certificate, 1, 4096)) return "certificate is missing";
  if (
    !Array.isArray(cabundle) ||
    cabundle.length === 0 ||
    cabundle.length > MAX_CHAIN ||
    !cabundle.every((c) => isBytes(c, 1, 4096))
  ) {
    return "cabundle is not a list of certificates";
  }
  if (!(pcrs instanceof Map) || pcrs.size === 0 || pcrs.size > 32) return "pcrs is not a map";
  for (const [index, digest] of pcrs as Map<unknown, unknown>) {
    if (typeof index !== "number" || !Number.isInteger(index) || index < 0 || index > 31 || !isBytes(digest, 48, 48))
      return "a PCR is not 48 bytes";
  }
  const optional: Record<string, Uint8Array | null> = {};
  for (const name of ["public_key", "user_data", "nonce"]) {
    const field = map.get(name) ?? null;
    if (field !== null && !isBytes(field, 0, 4096)) return `${name} is not a byte string`;
    optional[name] = field;
  }
  return {
    moduleId,
    digest: "SHA384",
    timestamp,
    pcrs: pcrs as Map<number, Uint8Array>,
    certificate,
    cabundle,
    publicKey: optional["public_key"] ?? null,
    userData: optional["user_data"] ?? null,
    nonce: optional["nonce"] ?? null,
  };
}

const isBytes = (value: unknown, min: number, max: number): value is Uint8Array =>
  value instanceof Uint8Array && value.length >= min && value.length <= max;

/**
 * Encodes and signs a document. `sign` gets the Sig_structure bytes and returns the 96-byte ES384 signature.
 */
export async function encodeNitroDocument(options: {
  payload: NitroPayload;
  sign: (sigStructure: Bytes) => Promise<Uint8Array>;
}): Promise<Bytes> {
  const { payload: p } = options;
  const payload = encode(
    new Map<string, unknown>([
      ["module_id", p.moduleId],
      ["digest", p.digest],
      ["timestamp", p.timestamp],
      ["pcrs", new Map([...p.pcrs].toSorted(([a], [b]) => a - b))],
      ["certificate", p.certificate],
      ["cabundle", [...p.cabundle]],
      ["public_key", p.publicKey],
      ["user_data", p.userData],
      ["nonce", p.nonce],
    ]),
  );
  const signature = await options.sign(sigStructureOf(PROTECTED_ES384, payload));
  return encodeSign1(PROTECTED_ES384, payload, signature);
}
