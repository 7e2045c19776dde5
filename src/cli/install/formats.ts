import { isDeepStrictEqual } from "node:util";
import { applyEdits, modify, parse as parseJson, type ParseError } from "jsonc-parser";
import { parse as parseToml, stringify as stringifyToml } from "smol-toml";
import { parseDocument } from "yaml";
import { isRecord } from "../../evidence/record.ts";
import type { Client } from "./clients.ts";

/** An entry's place in a client's file: table, then name. */
export type Place = readonly [servers: string, name: string];

/**
 * A file format, with its comments and order kept at each change. `read` throws on text of another form. `set` with an
 * undefined entry takes the entry out.
 */
type Format = {
  read: (text: string) => unknown;
  set: (text: string, place: Place, entry: Readonly<Record<string, unknown>> | undefined) => string;
};

const BEGIN = "# proof402 begin";
const END = "# proof402 end";

const json: Format = {
  read(text) {
    if (text.trim() === "") return {};
    const errors: ParseError[] = [];
    const value: unknown = parseJson(text, errors, { allowTrailingComma: true });
    if (errors.length > 0) throw new Error("not JSON");
    return value;
  },
  set: (text, place, entry) => {
    const indent = /^([ \t]+)"/m.exec(text)?.[1] ?? "  ";
    const formattingOptions = {
      insertSpaces: !indent.includes("\t"),
      tabSize: indent.includes("\t") ? 1 : indent.length,
      eol: text.includes("\r\n") ? "\r\n" : "\n",
      insertFinalNewline: true,
    };
    const edited = applyEdits(text, modify(text, [...place], entry, { formattingOptions }));
    return edited.endsWith("\n") || text !== "" ? edited : `${edited}\n`;
  },
};

/** The lines of the entry stand at the end between two comments: a TOML writer would lose the comments of the others. */
const toml: Format = {
  read: (text) => parseToml(text, { integersAsBigInt: "asNeeded" }),
  set(text, [servers, name], entry) {
    const bare = withoutLines(text);
    if (entry === undefined) return bare;
    const lines = stringifyToml({ [servers]: { [name]: entry } }).trim();
    const gap = bare === "" || bare.endsWith("\n") ? "" : "\n";
    return `${bare}${gap}${BEGIN}\n${lines}\n${END}\n`;
  },
};

function withoutLines(text: string): string {
  const lines = text.split("\n");
  const begin = lines.indexOf(BEGIN);
  const end = lines.indexOf(END, begin);
  return begin === -1 || end === -1 ? text : [...lines.slice(0, begin), ...lines.slice(end + 1)].join("\n");
}

const yaml: Format = {
  read(text) {
    const document = parseDocument(text);
    const [problem] = document.errors;
    if (problem !== undefined) throw problem;
    return (document.toJS() as unknown) ?? {};
  },
  set(text, place, entry) {
    const document = parseDocument(text);
    if (entry === undefined) document.deleteIn(place);
    else document.setIn(place, document.createNode(entry));
    return document.toString({ lineWidth: 0 });
  },
};

const FORMATS: Readonly<Record<Client["format"], Format>> = { json, toml, yaml };

/**
 * A client's file with an entry in it, or without it if `entry` is undefined. Null if the file cannot be read, or if the
 * change would touch anything else in it: the result is read again and compared. Null text is no file.
 */
export function changed(
  text: string | null,
  { format, place, entry }: { format: Client["format"]; place: Place; entry?: Readonly<Record<string, unknown>> },
): string | null {
  const [servers, name] = place;
  const { read, set } = FORMATS[format];
  try {
    const before = read(text ?? "");
    if (!isRecord(before)) return null;
    const table = before[servers] ?? {};
    if (!isRecord(table)) return null;
    const { [name]: old, ...others } = table;
    if (entry !== undefined && old !== undefined && isDeepStrictEqual(plain(old), plain(entry))) return text;
    const wanted = { ...before, [servers]: entry === undefined ? others : { ...others, [name]: entry } };
    const after = set(text ?? "", place, entry);
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
