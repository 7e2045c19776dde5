import { isDeepStrictEqual } from "node:util";
import {
  createScanner,
  findNodeAtLocation,
  parse as parseJson,
  parseTree,
  type Node,
  type ParseError,
} from "jsonc-parser";
import { parse as parseToml, stringify as stringifyToml } from "smol-toml";
import { parseDocument, stringify as stringifyYaml } from "yaml";
import { isRecord } from "../../evidence/record.ts";
import type { Client } from "./clients.ts";

/** An entry's place in a client's file: table, then name. */
export type Place = readonly [servers: string, name: string];
type Entry = Readonly<Record<string, unknown>>;

/**
 * A file format. Every change adds or takes out lines of one entry and leaves all other text as it is. `read` throws on text
 * of another form, `add` and `cut` on a file written in a way that they do not change.
 */
type Format = {
  read: (text: string) => unknown;
  add: (text: string, place: Place, entry: Entry) => string;
  cut: (text: string, place: Place) => string;
};

const otherForm = (): Error => new Error("another form");

const json: Format = {
  read(text) {
    if (text.trim() === "") return {};
    const errors: ParseError[] = [];
    const value: unknown = parseJson(text, errors, { allowTrailingComma: true });
    if (errors.length > 0) throw otherForm();
    return value;
  },
  add(text, [servers, name], entry) {
    if (text.trim() === "") return `${JSON.stringify({ [servers]: { [name]: entry } }, null, 2)}\n`;
    const root = parseTree(text, [], { allowTrailingComma: true });
    const table = root && findNodeAtLocation(root, [servers]);
    return table === undefined
      ? asFirst(text, root, 1, servers, { [name]: entry })
      : asFirst(text, table, 2, name, entry);
  },
  cut(text, place) {
    const root = parseTree(text, [], { allowTrailingComma: true });
    const property = (root && findNodeAtLocation(root, [...place]))?.parent;
    const siblings = property?.parent?.children ?? [];
    if (property === undefined) throw otherForm();
    const end = property.offset + property.length;
    const comma = commaAt(text, end, siblings[siblings.indexOf(property) + 1]?.offset ?? text.length);
    if (comma !== null) return withoutLine(text, property.offset, comma + 1);
    const before = siblings[siblings.indexOf(property) - 1];
    const shorter = withoutLine(text, property.offset, end);
    const earlier = before === undefined ? null : commaAt(text, before.offset + before.length, property.offset);
    return earlier === null ? shorter : shorter.slice(0, earlier) + shorter.slice(earlier + 1);
  },
};

/** Writes a property before all others of an object. */
function asFirst(text: string, object: Node | undefined, depth: number, name: string, value: unknown): string {
  if (object?.type !== "object") throw otherForm();
  const eol = text.includes("\r\n") ? "\r\n" : "\n";
  const unit = /^([ \t]+)"/m.exec(text)?.[1] ?? "  ";
  const lines = JSON.stringify({ [name]: value }, null, unit)
    .split("\n")
    .slice(1, -1);
  const at = object.offset + 1;
  const isEmpty = (object.children ?? []).length === 0;
  const written = lines.map((line) => unit.repeat(depth - 1) + line).join(eol) + (isEmpty ? "" : ",");
  const rest = text.slice(at);
  const gap = /^[ \t]*(?:\r?\n|\/\/|\/\*)/.test(rest) ? "" : eol + unit.repeat(isEmpty ? depth - 1 : depth);
  return text.slice(0, at) + eol + written + gap + rest;
}

/** The place of the comma between two offsets, comments passed over. */
function commaAt(text: string, from: number, to: number): number | null {
  const scanner = createScanner(text, true);
  scanner.setPosition(from);
  scanner.scan();
  const at = scanner.getTokenOffset();
  return at < to && text[at] === "," ? at : null;
}

/** Takes a range out, and its line with it if nothing else stands there. */
function withoutLine(text: string, from: number, to: number): string {
  const before = text.slice(0, from).replace(/[ \t]*$/, "");
  const after = text.slice(to).replace(/^[ \t]*/, "");
  const isAlone = before.endsWith("\n") && /^\r?\n/.test(after);
  return isAlone ? before + after.replace(/^\r?\n/, "") : before + after;
}

const markOf = (name: string): readonly [begin: string, end: string] => [
  `# proof402 begin ${name}`,
  `# proof402 end ${name}`,
];

/** Takes the lines between the marks out. */
function withoutMarked(text: string, [, name]: Place): string {
  const [begin, end] = markOf(name);
  const lines = text.split("\n");
  const first = lines.findIndex((line) => line.trim() === begin);
  const last = lines.findIndex((line, at) => at > first && line.trim() === end);
  if (first === -1 || last === -1) throw otherForm();
  return [...lines.slice(0, first), ...lines.slice(last + 1)].join("\n");
}

const marked = (name: string, lines: readonly string[], indent = ""): string[] =>
  [markOf(name)[0], ...lines, markOf(name)[1]].map((line) => indent + line);
const atEnd = (text: string, lines: readonly string[]): string =>
  `${text}${text === "" || text.endsWith("\n") ? "" : "\n"}${lines.join("\n")}\n`;

/** A table may stand anywhere in TOML: the entry's stands at the end. */
const toml: Format = {
  read: (text) => parseToml(text, { integersAsBigInt: "asNeeded" }),
  add: (text, [servers, name], entry) =>
    atEnd(
      text,
      marked(
        name,
        stringifyToml({ [servers]: { [name]: entry } })
          .trim()
          .split("\n"),
      ),
    ),
  cut: withoutMarked,
};

const yaml: Format = {
  read(text) {
    const document = parseDocument(text, { intAsBigInt: true });
    const [problem] = document.errors;
    if (problem !== undefined) throw problem;
    const number = (_key: unknown, value: unknown): unknown =>
      typeof value === "bigint" && Number.isSafeInteger(Number(value)) ? Number(value) : value;
    return (document.toJS({ reviver: number }) as unknown) ?? {};
  },
  add(text, [servers, name], entry) {
    const written = stringifyYaml({ [name]: entry }, { lineWidth: 0 })
      .trim()
      .split("\n");
    const lines = text.split("\n");
    const named = lines.findIndex((line) => line.startsWith(`${servers}:`));
    if (named === -1) return atEnd(text, marked(name, [`${servers}:`, ...written.map((line) => `  ${line}`)]));
    const child = lines.slice(named + 1).find((line) => line.trim() !== "" && !line.trim().startsWith("#"));
    const indent = /^( +)\S/.exec(child ?? "")?.[1];
    // A table in flow style, an empty one, or none.
    if (!/^[^:]*:\s*(?:#.*)?$/.test(lines[named] ?? "") || indent === undefined) throw otherForm();
    return [...lines.slice(0, named + 1), ...marked(name, written, indent), ...lines.slice(named + 1)].join("\n");
  },
  cut: withoutMarked,
};

const FORMATS: Readonly<Record<Client["format"], Format>> = { json, toml, yaml };

/**
 * A client's file with an entry in it, or without it if `entry` is undefined. Null if the file cannot be read, or if the
 * change would touch anything else in it: the result is read again and compared. Null text is no file.
 */
export function changed(
  text: string | null,
  { format, place, entry }: { format: Client["format"]; place: Place; entry?: Entry },
): string | null {
  const [servers, name] = place;
  const { read, add, cut } = FORMATS[format];
  try {
    const before = read(text ?? "");
    if (!isRecord(before)) return null;
    const table = before[servers] ?? {};
    if (!isRecord(table)) return null;
    const { [name]: old, ...others } = table;
    if (entry !== undefined && old !== undefined && isDeepStrictEqual(plain(old), plain(entry))) return text;
    const wanted = { ...before, [servers]: entry === undefined ? others : { ...others, [name]: entry } };
    const bare = old === undefined ? (text ?? "") : cut(text ?? "", place);
    const after = entry === undefined ? bare : add(bare, place, entry);
    return isDeepStrictEqual(plain(withTable(read(after), servers)), plain(withTable(wanted, servers))) ? after : null;
  } catch {
    return null;
  }
}

/** The entry that a file has, or undefined. */
export function entryIn(text: string | null, format: Client["format"], [servers, name]: Place): unknown {
  try {
    const value = FORMATS[format].read(text ?? "");
    const table = isRecord(value) ? value[servers] : undefined;
    return isRecord(table) ? table[name] : undefined;
  } catch {
    return undefined;
  }
}

/** An absent table and an empty one are the same to a client. */
const withTable = (value: unknown, servers: string): unknown =>
  isRecord(value) ? { ...value, [servers]: value[servers] ?? {} } : value;

/** Values of one shape: parsers make objects without a prototype, and dates and big integers of their own. */
const plain = (value: unknown): unknown =>
  JSON.parse(JSON.stringify(value, (_, part: unknown) => (typeof part === "bigint" ? `${part}n` : part)));
