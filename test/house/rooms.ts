import { isBuiltin } from "node:module";
import type { Source } from "./sources.ts";

/**
 * What each room may import, besides itself and packages. A room is a folder of `src/`, a file directly in it
 * (`errors`, `version`, `index`), or `mcp-server`. Examples and tests stand outside the house and may import any room.
 */
export const ARROWS: Record<string, readonly string[]> = {
  errors: [],
  version: [],
  peers: ["errors"],
  evidence: ["errors"],
  files: ["errors"],
  storage: ["evidence", "files", "peers", "errors"],
  http: ["errors", "version"],
  receipts: ["subprocess", "evidence", "storage", "errors", "version"],
  verify: ["receipts", "evidence", "errors", "version"],
  chain: ["verify", "receipts", "evidence", "storage", "errors"],
  pages: ["chain", "verify", "receipts", "evidence", "errors"],
  ezkl: ["subprocess", "verify", "evidence"],
  payment: ["chain", "receipts", "evidence", "storage", "files", "http", "errors", "version"],
  market: ["payment", "verify", "receipts", "evidence", "storage", "http", "errors", "version"],
  config: ["market", "payment", "verify", "receipts", "storage", "files", "http", "evidence", "errors", "version"],
  buyer: [
    "onnx",
    "ezkl",
    "config",
    "market",
    "payment",
    "chain",
    "verify",
    "receipts",
    "storage",
    "http",
    "evidence",
    "errors",
    "version",
  ],
  tools: ["buyer", "config", "market", "payment", "chain", "verify", "receipts", "evidence", "errors", "version"],
  guard: ["buyer", "receipts", "evidence", "errors"],
  langchain: ["guard", "tools", "buyer", "config", "market", "verify", "receipts", "evidence", "errors", "version"],
  ai: ["guard", "tools", "buyer", "errors"],
  "openai-agents": ["guard", "tools", "buyer", "errors"],
  proxy: ["tools", "buyer", "chain", "receipts", "evidence", "files", "errors"],
  tables: ["buyer", "config", "payment", "chain", "receipts", "storage"],
  dashboard: [
    "tables",
    "guard",
    "market",
    "pages",
    "tools",
    "buyer",
    "config",
    "payment",
    "chain",
    "verify",
    "receipts",
    "storage",
    "evidence",
    "errors",
  ],
  // By their public names only.
  "mcp-server": ["index", "pages", "tools", "verify"],
  subprocess: [],
  onnx: ["subprocess", "peers", "errors"],
  node: [
    "onnx",
    "subprocess",
    "peers",
    "files",
    "chain",
    "receipts",
    "evidence",
    "storage",
    "http",
    "errors",
    "version",
  ],
  devnet: [
    "node",
    "peers",
    "config",
    "market",
    "payment",
    "chain",
    "verify",
    "receipts",
    "evidence",
    "storage",
    "files",
    "http",
    "errors",
    "version",
  ],
  cli: [
    "tables",
    "dashboard",
    "pages",
    "guard",
    "peers",
    "langchain",
    "proxy",
    "ezkl",
    "mcp-server",
    "node",
    "devnet",
    "tools",
    "buyer",
    "config",
    "market",
    "payment",
    "chain",
    "verify",
    "receipts",
    "storage",
    "subprocess",
    "files",
    "http",
    "evidence",
    "errors",
    "version",
  ],
  index: [
    "ezkl",
    "guard",
    "tools",
    "buyer",
    "config",
    "market",
    "payment",
    "chain",
    "verify",
    "receipts",
    "evidence",
    "storage",
    "http",
    "errors",
    "version",
  ],
};

/** The receipt files `verify` may know: the shape and its canonical form, not the store. */
export const RECEIPT_FILES_OF_VERIFY = [
  "src/receipts/schema.ts",
  "src/receipts/fields.ts",
  "src/receipts/signature-schema.ts",
  "src/receipts/disputed.ts",
  "src/receipts/transfer.ts",
  "src/receipts/receipt.ts",
  "src/receipts/decision-schema.ts",
  "src/receipts/report-schema.ts",
  "src/receipts/log-digest.ts",
];

/**
 * Packages too heavy to load before they are needed, each with the folders of `src` whose files may name them at the top. The
 * command shows an agent at work in its demo; that its other commands stay light is held by `loadedWith`.
 */
export const HEAVY: Record<string, readonly string[]> = {
  "onnxruntime-node": ["onnx"],
  "@foundry-rs/anvil": ["devnet"],
  solc: [],
  viem: ["node", "devnet"],
  snarkjs: ["node/zk"],
  "@ezkljs/engine": ["ezkl"],
  langchain: ["langchain", "cli"],
  "@langchain/core": ["langchain", "cli"],
  "@langchain/langgraph": ["langchain", "cli"],
  ai: ["ai"],
  "@openai/agents": ["openai-agents"],
};

/** The room of a file, or undefined outside the house. */
export function roomOf(path: string): string | undefined {
  if (path.startsWith("mcp-server/")) return "mcp-server";
  const inside = /^src\/([^/]+?)(?:\.ts$|\/)/.exec(path);
  return inside?.[1];
}

/** The package a bare specifier names: `@noble/hashes/sha3.js` is of `@noble/hashes`. */
function packageOf(specifier: string): string {
  return specifier
    .split("/")
    .slice(0, specifier.startsWith("@") ? 2 : 1)
    .join("/");
}

/** Every import of one room by another that the table does not allow, as readable lines. Types count: they are knowledge too. */
export function wrongArrows(sources: Source[], arrows: Record<string, readonly string[]> = ARROWS): string[] {
  return sources.flatMap((source) => {
    const from = roomOf(source.path);
    if (from === undefined) return [];
    const allowed = arrows[from];
    if (allowed === undefined) return [`${source.path}: the room ${from} is not in the table`];
    return source.imports.flatMap((one) => {
      if (one.file === undefined) return [];
      const to = roomOf(one.file);
      if (to === undefined) return [`${source.path} leaves the house: ${one.file}`];
      return to === from || allowed.includes(to) ? [] : [`${source.path} (${from}) imports ${one.file} (${to})`];
    });
  });
}

/** One line per group of rooms that can reach each other, empty where the arrows go down only. */
export const cyclesBetweenRooms = (sources: Source[]): string[] => cyclesBetween(sources, roomOf);

/** One line per group of files that can reach each other, types included. */
export const cyclesBetweenFiles = (sources: Source[]): string[] => cyclesBetween(sources, (path) => path);

function cyclesBetween(sources: Source[], placeOf: (path: string) => string | undefined): string[] {
  const edges = new Map<string, Set<string>>();
  for (const source of sources) {
    const from = placeOf(source.path);
    if (from === undefined) continue;
    const targets = edges.get(from) ?? new Set<string>();
    edges.set(from, targets);
    for (const one of source.imports) {
      const to = one.file === undefined ? undefined : placeOf(one.file);
      if (to !== undefined && to !== from) targets.add(to);
    }
  }
  const reach = (start: string): Set<string> => {
    const seen = new Set<string>();
    const todo = [...(edges.get(start) ?? [])];
    for (let next = todo.pop(); next !== undefined; next = todo.pop()) {
      if (seen.has(next)) continue;
      seen.add(next);
      todo.push(...(edges.get(next) ?? []));
    }
    return seen;
  };
  const reached = new Map([...edges.keys()].map((place) => [place, reach(place)] as const));
  const groups = [...reached]
    .filter(([place, seen]) => seen.has(place))
    .map(([place, seen]) =>
      [...seen]
        .filter((other) => reached.get(other)?.has(place))
        .toSorted()
        .join(" <-> "),
    );
  return [...new Set(groups)];
}

/** Heavy packages imported with their importer, outside the rooms that are about them. */
export function eagerHeavyImports(sources: Source[], heavy: Record<string, readonly string[]> = HEAVY): string[] {
  return sources.flatMap((source) => {
    if (roomOf(source.path) === undefined) return [];
    return source.imports
      .filter((one) => one.kind === "static" && one.file === undefined)
      .filter(
        (one) => heavy[packageOf(one.specifier)]?.some((folder) => source.path.startsWith(`src/${folder}/`)) === false,
      )
      .map((one) => `${source.path} loads ${one.specifier} at import`);
  });
}

/** The files and packages that load when `entry` is imported, following static imports only. */
export function loadedWith(entry: string, sources: Source[]): { files: Set<string>; packages: Set<string> } {
  const byPath = new Map(sources.map((source) => [source.path, source]));
  const files = new Set<string>();
  const packages = new Set<string>();
  const todo = [entry];
  for (let path = todo.pop(); path !== undefined; path = todo.pop()) {
    if (files.has(path)) continue;
    files.add(path);
    for (const one of byPath.get(path)?.imports ?? []) {
      if (one.kind !== "static") continue;
      if (one.file === undefined)
        packages.add(one.specifier.startsWith("node:") ? one.specifier : packageOf(one.specifier));
      else todo.push(one.file);
    }
  }
  return { files, packages };
}

/** Packages the house imports in any way that its users would not get from `allowed`. */
export function foreignPackages(sources: Source[], allowed: readonly string[]): string[] {
  return sources.flatMap((source) =>
    source.imports
      .filter(
        (one) => one.file === undefined && !isBuiltin(one.specifier) && !allowed.includes(packageOf(one.specifier)),
      )
      .map((one) => `${source.path} imports ${one.specifier}`),
  );
}
