import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, posix, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { parseAst } from "vitest/node";

/** The repository's root, absolute. */
export const ROOT = join(dirname(fileURLToPath(import.meta.url)), "..", "..");

export type Import = {
  /** As written. */
  specifier: string;
  /** `static` loads with its importer, `dynamic` at a call, `type` never at run time. */
  kind: "static" | "dynamic" | "type";
  /** Path from the repository root, for files of this repository: named relatively, or as a public entry. */
  file?: string;
};

export type Export = {
  name: string;
  kind: "function" | "class" | "const" | "type";
  documented: boolean;
};

export type Source = {
  /** Path from the repository root, with forward slashes. */
  path: string;
  text: string;
  lines: number;
  imports: Import[];
  /** Declared in this file; re-exports are `reexports`. */
  exports: Export[];
  reexports: { file: string; names: string[] | "all" }[];
  hasDefaultExport: boolean;
  usesConsole: boolean;
};

type Node = { type: string; start: number; end: number } & Record<string, unknown>;

/** The file of the repository behind a specifier: a relative one, or a public entry by its name. */
function fileOf(path: string, specifier: string): string | undefined {
  if (specifier.startsWith(".")) return posix.normalize(posix.join(posix.dirname(path), specifier));
  const [name, entry] = specifier.split("/");
  if (name !== "proof402") return undefined;
  if (entry === undefined) return "src/index.ts";
  return entry === "mcp" ? "mcp-server/index.ts" : `src/${entry}/index.ts`;
}

/** Every TypeScript file under the folders, in a stable order. */
export function readSources(folders: string[], root: string = ROOT): Source[] {
  return folders
    .flatMap((folder) => filesUnder(join(root, folder)))
    .filter((path) => path.endsWith(".ts"))
    .map((path) => relative(root, path).split(sep).join("/"))
    .toSorted()
    .map((path) => parseSource(path, readFileSync(join(root, path), "utf8")));
}

/** Reads one file's imports and exports from its syntax tree, so comments and strings never count. */
export function parseSource(path: string, text: string): Source {
  // oxlint-disable-next-line typescript/no-deprecated -- the one TypeScript parser vitest passes on
  const program = parseAst(text, { lang: "ts" }) as unknown as { body: Node[] };
  const imports: Import[] = [];
  let usesConsole = false;
  visit(program, (node) => {
    usesConsole ||= node.type === "MemberExpression" && nameOf(node["object"]) === "console";
    const found = importOf(node);
    if (found === undefined) return;
    const file = fileOf(path, found.specifier);
    imports.push(file === undefined ? found : { ...found, file });
  });
  return {
    path,
    text,
    lines: text.replace(/\n$/, "").split("\n").length,
    imports,
    exports: program.body.flatMap((node) => declaredExports(node, text)),
    reexports: program.body.flatMap((node) => reexportsOf(node, path)),
    hasDefaultExport: program.body.some(exportsDefault),
    usesConsole,
  };
}

/**
 * The strings that code makes something of: no type, no key, and nothing that others are only compared with (an operand of
 * `===`, a `case`, an entry of a list). A template is one string, with `…` for what it fills in.
 */
export function stringsMadeIn(text: string): string[] {
  // oxlint-disable-next-line typescript/no-deprecated -- the one TypeScript parser vitest passes on
  return madeIn(parseAst(text, { lang: "ts" }));
}

function madeIn(value: unknown): string[] {
  if (Array.isArray(value)) return value.flatMap(madeIn);
  if (typeof value !== "object" || value === null) return [];
  const node = value as Node;
  if (node.type === "Literal") return typeof node["value"] === "string" ? [node["value"]] : [];
  if (/^TS(?!As|Satisfies|NonNull)|^(?:Import|ExportAll)/.test(node.type)) return [];
  if (node.type === "TemplateLiteral") {
    const pieces = (node["quasis"] as { value: { cooked: string } }[]).map(({ value: piece }) => piece.cooked);
    return [pieces.join("…"), ...madeIn(node["expressions"])];
  }
  if (node.type === "ArrayExpression")
    return madeIn((node["elements"] as Node[]).filter((one) => one?.type !== "Literal"));
  if (node.type === "BinaryExpression" && /^[!=]==?$/.test(node["operator"] as string)) return [];
  const skipped = node.type === "Property" ? "key" : node.type === "SwitchCase" ? "test" : "typeAnnotation";
  return Object.entries(node).flatMap(([name, child]) => (name === skipped ? [] : madeIn(child)));
}

function filesUnder(folder: string): string[] {
  let entries;
  try {
    entries = readdirSync(folder, { withFileTypes: true });
  } catch {
    return [];
  }
  return entries.flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return entry.name === "node_modules" || entry.name === "dist" ? [] : filesUnder(path);
    return [path];
  });
}

function importOf(node: Node): Import | undefined {
  const specifier = (node["source"] as { value?: unknown } | null | undefined)?.value;
  if (typeof specifier !== "string") return undefined;
  switch (node.type) {
    case "ImportDeclaration":
    case "ExportNamedDeclaration":
    case "ExportAllDeclaration":
      return { specifier, kind: isTypeOnly(node) ? "type" : "static" };
    case "ImportExpression":
      return { specifier, kind: "dynamic" };
    case "TSImportType":
      return { specifier, kind: "type" };
    default:
      return undefined;
  }
}

// Under `verbatimModuleSyntax`, `import { type A } from` still loads the module; only `import type` vanishes.
const isTypeOnly = (node: Node): boolean => node["importKind"] === "type" || node["exportKind"] === "type";

function declaredExports(node: Node, text: string): Export[] {
  if (node.type !== "ExportNamedDeclaration") return [];
  const declaration = node["declaration"] as Node | null;
  if (declaration === null) return [];
  const documented =
    /\*\/\s*$/.test(text.slice(0, node.start)) && /\/\*\*(?:(?!\*\/)[\s\S])*\*\/\s*$/.test(text.slice(0, node.start));
  if (declaration.type === "VariableDeclaration") {
    return (declaration["declarations"] as Node[]).map((one) => {
      const init = one["init"] as Node | null;
      const kind =
        init?.type === "ArrowFunctionExpression" || init?.type === "FunctionExpression" ? "function" : "const";
      return { name: nameOf(one["id"]), kind, documented };
    });
  }
  if (isDerivedType(declaration)) return [{ name: nameOf(declaration["id"]), kind: "type", documented: true }];
  const kind =
    declaration.type === "FunctionDeclaration" || declaration.type === "TSDeclareFunction"
      ? "function"
      : declaration.type === "ClassDeclaration"
        ? "class"
        : "type";
  return [{ name: nameOf(declaration["id"]), kind, documented }];
}

/** `z.infer<typeof schema>` and `(typeof LIST)[number]` mean what the value they are read from means. */
function isDerivedType(declaration: Node): boolean {
  const body = declaration["typeAnnotation"] as Node | null | undefined;
  if (declaration.type !== "TSTypeAliasDeclaration" || body == null) return false;
  let derived = false;
  if (body.type === "TSTypeReference" || body.type === "TSIndexedAccessType") {
    visit(body, (node) => (derived ||= node.type === "TSTypeQuery"));
  }
  return derived;
}

function reexportsOf(node: Node, path: string): Source["reexports"] {
  const specifier = (node["source"] as { value?: unknown } | null | undefined)?.value;
  if (typeof specifier !== "string" || !node.type.startsWith("Export")) return [];
  const file = specifier.startsWith(".") ? posix.normalize(posix.join(posix.dirname(path), specifier)) : specifier;
  if (node.type === "ExportAllDeclaration") return [{ file, names: "all" }];
  const names = (node["specifiers"] as { local: unknown }[]).map((one) => nameOf(one.local));
  return [{ file, names }];
}

const exportsDefault = (node: Node): boolean =>
  node.type === "ExportDefaultDeclaration" ||
  node.type === "TSExportAssignment" ||
  (node.type === "ExportNamedDeclaration" &&
    (node["specifiers"] as { exported: unknown }[]).some((one) => nameOf(one.exported) === "default"));

function nameOf(identifier: unknown): string {
  const node = identifier as { name?: string; value?: string } | null;
  return node?.name ?? node?.value ?? "";
}

function visit(value: unknown, seen: (node: Node) => void): void {
  if (Array.isArray(value)) {
    for (const one of value) visit(one, seen);
    return;
  }
  if (typeof value !== "object" || value === null) return;
  if (typeof (value as Node).type === "string") seen(value as Node);
  for (const child of Object.values(value)) if (typeof child === "object") visit(child, seen);
}
