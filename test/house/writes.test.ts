import { describe, expect, it } from "vitest";
import { readSources } from "./sources.ts";

/** What of `node:fs` only reads, or makes folders, which takes no file's place. */
const HARMLESS = [
  "constants",
  "createReadStream",
  "Dirent",
  "lstat",
  "lstatSync",
  "mkdir",
  "mkdtemp",
  "opendir",
  "readdir",
  "readFile",
  "readFileSync",
  "readlinkSync",
  "realpath",
  "stat",
];

/** Everything else that the program takes from `node:fs`, by file. Whatever a user's file could lose by goes through `writeNew`. */
const ALLOWED: Record<string, readonly string[]> = {
  "src/files/write-new.ts": ["open", "rm"],
  "src/files/read-file.ts": ["open"],
  // One command at a time, and only in the place of the text that it read.
  "src/files/replace.ts": ["rename"],
  // Creates the database's file exclusively, before SQLite opens it.
  "src/storage/database.ts": ["closeSync", "openSync"],
  // The copy of a database is whole under another name first. A link replaces nothing.
  "src/storage/new-place.ts": ["link", "rm"],
  // Reads what it is given.
  "src/cli/receipt-file.ts": ["open"],
  "src/onnx/pack-model.ts": ["open"],
  // Takes the rights to a file with a token from others.
  "src/cli/connect/connect.ts": ["chmod"],
  // Its own temporary folder.
  "src/cli/demo/demo.ts": ["rm"],
};

/** Names taken from `node:fs`, by any form of import; `*` where all of it is. */
function takenFrom(text: string): string[] {
  const named = [...text.matchAll(/import\s+(?:type\s+)?([^;]*?)\s+from\s+"(?:node:)?fs(?:\/promises)?"/g)].flatMap(
    ([, what = ""]) =>
      what.startsWith("{")
        ? what
            .slice(1, -1)
            .split(",")
            .flatMap((name) => /^\s*(\w+)/.exec(name)?.[1] ?? [])
        : ["*"],
  );
  return /(?:import|require|getBuiltinModule)\(\s*"(?:node:)?fs/.test(text) ? [...named, "*"] : named;
}

const writes = (sources: readonly { path: string; text: string }[]): string[] =>
  sources.flatMap(({ path, text }) =>
    takenFrom(text)
      .filter((name) => !HARMLESS.includes(name) && ALLOWED[path]?.includes(name) !== true)
      .map((name) => `${path} takes ${name} from node:fs`),
  );

describe("T47: a file that is there already", () => {
  it("is out of reach: every write of the program goes through writeNew", () => {
    expect(writes(readSources(["src", "mcp-server"]))).toEqual([]);
  });

  it("and a write that goes past it is found, however it is imported", () => {
    for (const line of [
      'import { readFile, writeFile } from "node:fs/promises";',
      'import { writeFileSync as put } from "fs";',
      'import * as fs from "node:fs";',
      'import fs from "node:fs/promises";',
      'const { rename } = await import("node:fs/promises");',
      'const fs = require("fs");',
    ])
      expect(writes([{ path: "src/cli/new.ts", text: line }])).toHaveLength(1);
    expect(writes([{ path: "src/cli/new.ts", text: 'import { readFile } from "node:fs/promises";' }])).toEqual([]);
  });

  it("each exception is still needed", () => {
    const sources = readSources(["src", "mcp-server"]);
    for (const [path, names] of Object.entries(ALLOWED))
      expect(takenFrom(sources.find((source) => source.path === path)?.text ?? "")).toEqual(
        expect.arrayContaining([...names]),
      );
  });
});
