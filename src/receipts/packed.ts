import { deflateRawSync, inflateRawSync } from "node:zlib";
import { fromHex, toHex, utf8 } from "../evidence/bytes.ts";
import { contentOf, MAX_BYTES, type Content } from "../storage/contents.ts";
import { PACK_WORDS } from "./pack-words.ts";
import type { Evidence, KnownEvidence, Receipt } from "./schema.ts";

/**
 * A receipt's row: `json` is for queries, `packed` holds the whole receipt without its long parts. These are contents beside the
 * row. Receipts with equal parts share one content.
 */
export type PackedReceipt = { json: string; packed: Uint8Array; contents: Content[] };

/** A place in a receipt. */
type Path = readonly (string | number)[];

/** The form of `packed`: this number, the count of its contents, their hashes, and by DEFLATE the rest and the contents' places. */
const FORM = 1;
const HEAD_BYTES = 3;
const HASH_BYTES = 32;
const WORDS = utf8(PACK_WORDS);

/** Most contents of a receipt: more than its pieces of evidence have fields of any length. */
const MAX_CONTENTS = 1024;

/** Parts of evidence with equal bytes in many receipts, by kind. */
const ALIKE: { [K in KnownEvidence["kind"]]?: readonly (keyof Extract<KnownEvidence, { kind: K }>)[] } = {
  "tee.nitro": ["document", "publicKey"],
  "model.manifest": ["manifest"],
  "signature.key": ["publicKey"],
  "zk.groth16": ["key"],
  "zk.ezkl": ["key", "settings"],
};

/** Shorter ones take less room in the row than beside it, characters. */
const LONG = { alike: 200, evidence: 4096, body: 2048 };
const BODIES = ["request", "response"] as const;

/** The stored form of a receipt. */
export function packReceipt(receipt: Receipt): PackedReceipt {
  const places = placesApart(receipt);
  const contents = places.map((path) => {
    const value = valueAt(receipt, path);
    return isBody(path) ? bodyContent(receipt.id, String(value)) : contentOf(JSON.stringify(value));
  });
  const rest = places.reduce<unknown>(withoutValue, receipt);
  const head = Buffer.alloc(HEAD_BYTES);
  head.writeUInt8(FORM);
  head.writeUInt16BE(contents.length, 1);
  const packed = Buffer.concat([
    head,
    ...contents.map(({ hash }) => fromHex(hash)),
    deflateRawSync(JSON.stringify([rest, places]), { dictionary: WORDS }),
  ]);
  return { json: soughtOf(receipt), packed, contents };
}

/** A receipt's body as a content. It begins with the receipt's id and is no JSON, so no other receipt and no evidence shares it. */
export const bodyContent = (id: string, body: string): Content => contentOf(`${markOf(id)}${body}`);
const markOf = (id: string): string => `body ${id} `;

/** The hashes of a packed receipt's contents, in order. Empty for other bytes. */
export function contentsOfPacked(packed: Uint8Array): string[] {
  const bytes = Buffer.from(packed.buffer, packed.byteOffset, packed.byteLength);
  if (bytes.length < HEAD_BYTES || bytes[0] !== FORM) return [];
  const count = Math.min(bytes.readUInt16BE(1), Math.floor((bytes.length - HEAD_BYTES) / HASH_BYTES), MAX_CONTENTS);
  return Array.from({ length: count }, (_one, at) => {
    const start = HEAD_BYTES + at * HASH_BYTES;
    return toHex(bytes.subarray(start, start + HASH_BYTES));
  });
}

/** Unpacks a value, with its contents by their hashes. Gives undefined for other bytes. */
export function unpackReceipt(packed: Uint8Array, contents: ReadonlyMap<string, string>): unknown {
  const hashes = contentsOfPacked(packed);
  if (packed[0] !== FORM) return undefined;
  try {
    const deflated = packed.subarray(HEAD_BYTES + hashes.length * HASH_BYTES);
    const text = inflateRawSync(deflated, { dictionary: WORDS, maxOutputLength: MAX_BYTES }).toString("utf8");
    const [receipt, places] = JSON.parse(text) as [unknown, Path[]];
    const parts = hashes.map((hash) => contents.get(hash) ?? "");
    if (places.length !== parts.length || parts.reduce((sum, { length }) => sum + length, 0) > MAX_BYTES)
      return undefined;
    for (const [at, path] of places.entries()) putAt(receipt, path, valueOf(receipt, path, parts[at] ?? ""));
    return receipt;
  } catch {
    return undefined;
  }
}

/** The columns' JSON of a packed receipt by the form of `packed`, so that a later form may have other fields. */
export const soughtIn = (packed: Uint8Array, receipt: Receipt): string | undefined =>
  packed[0] === FORM ? soughtOf(receipt) : undefined;

/** The fields of a receipt for queries: seller, offer, times, status, the answer's transfer, verdicts and the place in the log. */
function soughtOf({ core, appraisals, log }: Receipt): string {
  const { seller, request, response, offer, evidence } = core;
  return JSON.stringify({
    core: {
      seller,
      offer,
      request: { sentAt: request.sentAt },
      response: { status: response.status, receivedAt: response.receivedAt, sha256: response.sha256 },
      evidence: evidence.filter(({ kind }) => kind === "transfer.http"),
    },
    appraisals: appraisals
      .filter(({ verdict }, at) => verdict !== "pending" || at === appraisals.length - 1)
      .map(({ at, verdict, assurance }) => ({ at, verdict, assurance })),
    log: log === null ? null : { seq: log.seq },
  });
}

/** The places of the parts beside the row. */
function placesApart({ core, later }: Receipt): Path[] {
  const bodies = BODIES.filter((part) => (core[part].body?.length ?? 0) >= LONG.body);
  return [
    ...bodies.map((part) => ["core", part, "body"]),
    ...core.evidence.flatMap((piece, at) => fieldsApart(piece).map((field) => ["core", "evidence", at, field])),
    ...later.flatMap(({ evidence }, at) => fieldsApart(evidence).map((field) => ["later", at, "evidence", field])),
  ];
}

function fieldsApart(piece: Evidence): string[] {
  const alike: readonly string[] = Object.hasOwn(ALIKE, piece.kind)
    ? (ALIKE[piece.kind as KnownEvidence["kind"]] ?? [])
    : [];
  return Object.entries(piece).flatMap(([field, value]) => {
    const least = alike.includes(field) ? LONG.alike : LONG.evidence;
    // Set on an object, this name would be no field of it.
    return field !== "__proto__" && (JSON.stringify(value)?.length ?? 0) >= least ? [field] : [];
  });
}

/** The value of a content at its place. Throws for another receipt's body. */
function valueOf(receipt: unknown, path: Path, text: string): unknown {
  if (!isBody(path)) return JSON.parse(text);
  const mark = markOf(String((receipt as Node)["id"]));
  if (!text.startsWith(mark)) throw new TypeError("another receipt's body");
  return text.slice(mark.length);
}

const isBody = (path: Path): boolean => path.length === 3 && path[2] === "body";

type Node = Record<string | number, unknown>;

/** The value at a place. Throws for a place of another form, and for one that is not the value's own. */
function valueAt(node: unknown, path: Path): unknown {
  return path.reduce((inner, key) => {
    if (typeof inner !== "object" || inner === null || !Object.hasOwn(inner, key)) throw new TypeError("no such place");
    return (inner as Node)[key];
  }, node);
}

/** Whether a place is one that {@link placesApart} makes. */
function isApart([first, second, third, fourth, ...more]: Path): boolean {
  if (more.length > 0) return false;
  if (first === "core" && fourth === undefined)
    return (second === "request" || second === "response") && third === "body";
  const at = first === "core" ? second === "evidence" && third : first === "later" && third === "evidence" && second;
  return Number.isSafeInteger(at) && typeof fourth === "string" && fourth !== "__proto__";
}

/** The same with 0 at a place, all keys in their order. */
function withoutValue(node: unknown, [key, ...rest]: Path): unknown {
  if (key === undefined) return 0;
  const inner = withoutValue((node as Node)[key], rest);
  return Array.isArray(node) ? node.with(Number(key), inner) : { ...(node as Node), [key]: inner };
}

/** Puts a value in its place. Throws for an unknown place. */
function putAt(node: unknown, path: Path, value: unknown): void {
  if (!isApart(path)) throw new TypeError("no such place");
  valueAt(node, path);
  (valueAt(node, path.slice(0, -1)) as Node)[path.at(-1) ?? ""] = value;
}
