import { fromBase64, fromUtf8, toBase64, utf8 } from "../../src/evidence/bytes.ts";
import { DISPUTABLE } from "../../src/receipts/schema.ts";
import { leaves, replaceAt, type Path } from "../receipts/json-edits.ts";

/** Draws: numbers from 0 to 1, the same for the same seed. */
export type Draw = () => number;

const below = (draw: Draw, count: number): number => Math.floor(draw() * count);
const oneOf = <T>(draw: Draw, items: readonly T[]): T => items[below(draw, items.length)] as T;

/** The value at a place, or undefined. */
const at = (value: unknown, path: Path): unknown =>
  path.reduce<unknown>((inside, key) => (inside as Record<string | number, unknown> | undefined)?.[key], value);

/** Every place of a receipt but those of its file alone. */
const placesOf = (receipt: unknown): Path[] =>
  leaves(receipt).filter(([first]) => first === "core" || first === "later" || first === "version");

/** A place and some of its containers' places: whole objects are swapped and left out as well as leaves. */
function drawPlace(draw: Draw, receipt: unknown): Path {
  const leaf = oneOf(draw, placesOf(receipt));
  return draw() < 0.6 ? leaf : leaf.slice(0, Math.max(1, below(draw, leaf.length) + 1));
}

/** Digits that are not ASCII, letters that look like others, marks that are not seen, and forms that normalise to the same. */
const LOOK_ALIKES: readonly (readonly [RegExp, string])[] = [
  [/a/, "\u0430"],
  [/e/, "\u0435"],
  [/[0-9]/, "\uff11"],
  [/k/i, "\u212a"],
  [/$/, "\u200b"],
  [/^/, "\ufeff"],
  [/$/, " "],
  [/$/, "\u0000"],
  [/o/, "o\u0301"],
  [/$/, "\ud800"],
];

function otherText(draw: Draw, text: string): string {
  const where = below(draw, Math.max(1, text.length));
  const [pattern, instead] = oneOf(draw, LOOK_ALIKES);
  return oneOf<() => string>(draw, [
    () => text.slice(0, where) + oneOf(draw, "0123456789abcdefAZ=+/".split("")) + text.slice(where + 1),
    () => text.slice(0, where) + text.slice(where + 1),
    () => text.slice(0, where) + text.slice(where, where + 1).repeat(2) + text.slice(where + 1),
    () => text.toUpperCase(),
    () => text.replace(/^0x/, ""),
    () => `0x${text}`,
    () => `0${text}`,
    () => `${text}0`,
    () => text.replaceAll("+", "-").replaceAll("/", "_"),
    () => text.replace(/=+$/, ""),
    () => text.replace(pattern, instead),
    () => (/^[0-9]+$/.test(text) ? String(BigInt(text) + BigInt(oneOf(draw, [1, -1, 10]))) : text.normalize("NFD")),
    () => "",
  ])();
}

const otherNumber = (draw: Draw, value: number): number =>
  oneOf(draw, [
    value + 1,
    value - 1,
    value + 3600,
    value - 3600,
    -value,
    0,
    value * 2,
    value + 0.5,
    2 ** 53,
    2 ** 53 + 2,
  ]);

function otherLeaf(draw: Draw, value: unknown): unknown {
  if (draw() < 0.05) return oneOf<unknown>(draw, [null, true, 0, "", [], {}, [value], { value }]);
  if (typeof value === "string") return otherText(draw, value);
  if (typeof value === "number") return otherNumber(draw, value);
  return typeof value === "boolean" ? !value : value;
}

/** Without the value at a place. */
const leftOut = (value: unknown, path: Path): unknown =>
  replaceAt(value, path.slice(0, -1), (container) =>
    Array.isArray(container)
      ? container.filter((_item, index) => index !== path.at(-1))
      : Object.fromEntries(Object.entries(container as object).filter(([key]) => key !== path.at(-1))),
  );

/** JSON in base64, changed inside: a body, or a manifest. */
function otherJson(draw: Draw, text: string, others: readonly unknown[]): string {
  let bytes: Uint8Array = new Uint8Array();
  let inside: string;
  try {
    bytes = fromBase64(text);
    inside = fromUtf8(bytes);
    const value = JSON.parse(inside) as unknown;
    const places = leaves(value);
    const path = oneOf(draw, places);
    const key = String(path.at(-1));
    inside = oneOf<() => string>(draw, [
      () => JSON.stringify(replaceAt(value, path, (old) => otherLeaf(draw, old))),
      () => JSON.stringify(leftOut(value, path)),
      () => JSON.stringify(value, null, 1),
      // The same key twice, before and behind.
      () => inside.replace("{", `{${JSON.stringify(key)}:${JSON.stringify(otherLeaf(draw, at(value, path)))},`),
      () => inside.replace(/\}$/, `,${JSON.stringify(key)}:${JSON.stringify(otherLeaf(draw, at(value, path)))}}`),
      () => inside.replace(/[a-z]/, (letter) => `\\u00${letter.charCodeAt(0).toString(16)}`),
      () => inside.replace(/(\d)([,\]}])/, "$1.0$2"),
      () => `${inside}${oneOf(draw, [" ", "\n", "{}", "\u0000"])}`,
      () => `\ufeff${inside}`,
    ])();
  } catch {
    // Not JSON: a document or a key, of which one byte changes, or some are cut off or put behind.
    const where = below(draw, Math.max(1, bytes.length));
    return oneOf<() => string>(draw, [
      () => toBase64(bytes.map((byte, index) => (index === where ? byte ^ (1 << below(draw, 8)) : byte))),
      () => toBase64(bytes.slice(0, where)),
      () => toBase64(Uint8Array.from([...bytes, below(draw, 256)])),
      () => {
        const other = at(oneOf(draw, others), ["core", "response", "body"]);
        return typeof other === "string" ? other : "";
      },
    ])();
  }
  return toBase64(utf8(inside));
}

/** One change of a receipt's structure or of a value in it. `others`: receipts to take from. */
function mutateOnce(draw: Draw, receipt: unknown, others: readonly unknown[]): unknown {
  const path = drawPlace(draw, receipt);
  const other = oneOf(draw, others);
  const lists: Path[] = [["core", "evidence"], ["later"], ["later", 0, "evidence", "logs"]];
  const list = oneOf(draw, lists);
  const items = at(receipt, list);
  const one = Array.isArray(items) && items.length > 0 ? below(draw, items.length) : 0;
  const changed = (change: (old: readonly unknown[]) => readonly unknown[]): unknown =>
    Array.isArray(items) ? replaceAt(receipt, list, () => change(items)) : receipt;
  return oneOf<() => unknown>(draw, [
    () => replaceAt(receipt, path, (old) => (typeof old === "object" ? old : otherLeaf(draw, old))),
    () => replaceAt(receipt, path, (old) => (typeof old === "object" ? old : otherLeaf(draw, old))),
    // From the same place of another receipt.
    () => replaceAt(receipt, path, (old) => at(other, path) ?? old),
    () => replaceAt(receipt, path, (old) => at(other, path) ?? old),
    // From another place of the same or another receipt.
    () => replaceAt(receipt, path, () => at(other, drawPlace(draw, other))),
    () => leftOut(receipt, path),
    () =>
      replaceAt(receipt, path, (old) => (isObject(old) ? { ...old, [oneOf(draw, NAMES)]: at(other, path) ?? 1 } : old)),
    () => changed((old) => [...old, ...old.slice(one, one + 1)]),
    () => changed((old) => old.filter((_item, index) => index !== one)),
    () => changed((old) => old.toReversed()),
    () => changed((old) => [...old, ...((at(other, list) as unknown[] | undefined) ?? []).slice(one, one + 1)]),
    () => changed((old) => ((at(other, list) as unknown[] | undefined) ?? old).slice(0, 64)),
    () => moved(draw, receipt),
    () => disputed(draw, receipt, others),
    () => disputed(draw, receipt, others),
    () => {
      const encoded = ENCODED.filter((place) => typeof at(receipt, place) === "string");
      if (encoded.length === 0) return receipt;
      return replaceAt(receipt, oneOf(draw, encoded), (old) => otherJson(draw, String(old), others));
    },
  ])();
}

const isObject = (value: unknown): value is object =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** Names that a receipt knows, that every object has, and that differ by case or marks. */
const NAMES = [
  "salt",
  "previous",
  "body",
  "signature",
  "listedPrice",
  "outcome",
  "toString",
  "constructor",
  "Amount",
  "amount\u200b",
  "id",
];

/** What holds bytes in base64. */
const ENCODED: readonly Path[] = [
  ["core", "request", "body"],
  ["core", "response", "body"],
  ["core", "evidence", 0, "document"],
  ["core", "evidence", 0, "publicKey"],
  ["core", "evidence", 1, "manifest"],
  ["core", "evidence", 2, "signature"],
];

/** A piece of evidence in the other list: what came at delivery as if it came later, and the other way round. */
function moved(draw: Draw, receipt: unknown): unknown {
  const [evidence, later] = [at(receipt, ["core", "evidence"]), at(receipt, ["later"])];
  if (!Array.isArray(evidence) || !Array.isArray(later)) return receipt;
  if (draw() < 0.5) {
    const one = below(draw, later.length);
    const rest = later.filter((_item, index) => index !== one);
    const item = at(later, [one, "evidence"]);
    return replaceAt(
      replaceAt(receipt, ["later"], () => rest),
      ["core", "evidence"],
      () => [...evidence, item],
    );
  }
  const one = below(draw, evidence.length);
  const rest = evidence.filter((_item, index) => index !== one);
  const item = { at: "2026-11-01T12:00:00.000Z", evidence: evidence[one] as unknown };
  return replaceAt(
    replaceAt(receipt, ["later"], () => [...later, item]),
    ["core", "evidence"],
    () => rest,
  );
}

/** A receipt with a marker of a dispute, with or without a piece of its kind beside the others: the same, another's or junk. */
function disputed(draw: Draw, receipt: unknown, others: readonly unknown[]): unknown {
  const later = at(receipt, ["later"]);
  if (!Array.isArray(later)) return receipt;
  const kind = oneOf(draw, DISPUTABLE);
  const piecesIn = (from: unknown): unknown[] => {
    const list = at(from, ["later"]);
    return (Array.isArray(list) ? list : []).filter((item) => at(item, ["evidence", "kind"]) === kind);
  };
  const known = [...piecesIn(receipt), ...piecesIn(oneOf(draw, others))];
  const more = Array.from({ length: known.length === 0 ? 0 : below(draw, 4) }, () => {
    const piece = oneOf(draw, known);
    const place = oneOf(draw, leaves(piece));
    return draw() < 0.3 ? piece : replaceAt(piece, place, (old) => otherLeaf(draw, old));
  });
  const marker = { at: "2026-11-01T12:00:00.000Z", evidence: { kind: "disputed", of: kind } };
  return replaceAt(receipt, ["later"], () => [...later, ...more, ...(draw() < 0.8 ? [marker] : [])]);
}

/** A receipt changed in one to three places, by its structure. */
export function mutate(draw: Draw, receipt: unknown, others: readonly unknown[]): unknown {
  let changed = receipt;
  for (let times = 1 + below(draw, 3); times > 0; times -= 1) changed = mutateOnce(draw, changed, others);
  return changed;
}

/** A receipt file changed as text: spellings of the same value, and of two at once. */
export function mutateText(draw: Draw, text: string): string {
  const where = below(draw, text.length);
  const key = /"(\w+)": ("[^"]*"|\d+)/g;
  const pairs = [...text.matchAll(key)];
  const pair = oneOf(draw, pairs);
  const [whole, name = "", value = ""] = pair;
  const put = (instead: string): string => text.slice(0, pair.index) + instead + text.slice(pair.index + whole.length);
  return oneOf<() => string>(draw, [
    () => put(`"${name}": ${JSON.stringify(otherLeaf(draw, JSON.parse(value)))}, ${whole}`),
    () => put(`${whole}, "${name}": ${JSON.stringify(otherLeaf(draw, JSON.parse(value)))}`),
    () => put(`"\\u00${name.charCodeAt(0).toString(16)}${name.slice(1)}": ${value}, ${whole}`),
    () => put(`"\\u00${name.charCodeAt(0).toString(16)}${name.slice(1)}": ${value}`),
    () =>
      put(
        `"${name}": ${/^\d/.test(value) ? oneOf(draw, [`${value}.0`, `${value}e0`, `0${value}`, `+${value}`, `-${value}`]) : value}`,
      ),
    () => put(`"__proto__": { "${name}": ${value} }`),
    () => `\ufeff${text}`,
    () => `${text}${oneOf(draw, [text, " ", "{}", "\u0000"])}`,
    () => text.slice(0, where) + oneOf(draw, '0123456789abcdef"{}[],:\\ '.split("")) + text.slice(where + 1),
    () => text.slice(0, where),
    () => text.replaceAll("\n", "\r\n"),
    () => JSON.stringify(JSON.parse(text)),
  ])();
}
