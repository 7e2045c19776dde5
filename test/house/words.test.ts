import { execFile } from "node:child_process";
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { beforeAll, describe, expect, it } from "vitest";
import { ROOT, parseSource, readSources, type Source } from "./sources.ts";

const house = readSources(["src", "mcp-server"]);
const everything = [...house, ...readSources(["examples", "scripts", "models", "test"])];
const manifest = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as {
  exports: Record<string, string | { types: string; default: string }>;
  bin: Record<string, string>;
};

// Written so that this file does not contain what it looks for.
const UNFINISHED = /\b(?:T[O]DO|F[I]XME|X[X]X|not [i]mplemented)\b/;
const SWITCHED_OFF = /\b(?:it|test|describe)(?:\.\w+)*\.(?:only|skip|fails)\(/;
const joined = (...pieces: string[]): string => pieces.join("");

const linesWith = (sources: Source[], pattern: RegExp): string[] =>
  sources.flatMap((source) =>
    source.text
      .split("\n")
      .flatMap((line, at) => (pattern.test(line) ? [`${source.path}:${at + 1} ${line.trim()}`] : [])),
  );

/** Lines on which `verified` is said of something other than a verdict, or of nothing that the lines around it name. */
const otherwiseVerified = (sources: Source[]): string[] =>
  sources.flatMap(({ path, text }) => {
    const lines = text.split("\n");
    return lines.flatMap((line, at) => {
      if (!/(?<![-\w])verified\b/.test(line)) return [];
      const named = /verdict|receipt|wait/i.test(lines.slice(Math.max(0, at - 3), at + 3).join("\n"));
      return named && !/verified (?:key|signature|platform|proof|payment)\b/.test(line) ? [] : [`${path}:${at + 1}`];
    });
  });

describe("words that have no place", () => {
  it("nothing is left for later", () => {
    expect(everything.length).toBeGreaterThan(house.length);
    expect(linesWith(everything, UNFINISHED)).toEqual([]);
  });

  it("no test is switched off, and none stands alone", () => {
    expect(linesWith(everything, SWITCHED_OFF)).toEqual([]);
  });

  it("only the CLI writes to the console: stdout is a protocol elsewhere", () => {
    const library = house.filter((source) => !source.path.startsWith("src/cli/"));
    expect(library.filter((source) => source.usesConsole).map((source) => source.path)).toEqual([]);
  });

  it("verified is the verdict, and no step, outcome, key or signature", () => {
    expect(otherwiseVerified(house)).toEqual([]);
  });

  it("these checks can fail", () => {
    const steps = parseSource("src/x.ts", 'const STEPS = [\n  "paid",\n  "verified",\n] as const;');
    const key = parseSource("src/x.ts", "/** The verdict, if a verified key signed. */\nexport const a = 1;");
    const verdict = parseSource(
      "src/x.ts",
      '/** The verdict. */\nconst good = "verified";\nconst other = "payment-verified";',
    );
    expect(otherwiseVerified([steps, key, verdict])).toEqual(["src/x.ts:3", "src/x.ts:1"]);
    const marks = [joined("// TO", "DO: later"), joined("/* FIX", "ME */")].map((text) =>
      parseSource("src/x.ts", text),
    );
    const off = ["on-ly", "sk-ip", "concurrent.on-ly"].map((word) =>
      parseSource("test/x.ts", `it.${word.replace("-", "")}("a", f)`),
    );
    expect(linesWith(marks, UNFINISHED)).toHaveLength(2);
    expect(linesWith(off, SWITCHED_OFF)).toHaveLength(3);
    expect(linesWith([parseSource("src/x.ts", joined("queue.", "skip", "(2);"))], SWITCHED_OFF)).toEqual([]);
    expect(parseSource("src/x.ts", "console.error(1)").usesConsole).toBe(true);
    expect(parseSource("src/x.ts", "/** console.log(1) */ export const a = `console.log(1)`").usesConsole).toBe(false);
  });
});

describe("the public face", () => {
  const byPath = new Map(house.map((source) => [source.path, source]));
  const entries = Object.values(manifest.exports)
    .map((target) => (typeof target === "string" ? target : target.default))
    .filter((path) => path.endsWith(".js"))
    .map((path) => path.replace(/^\.\/dist\//, "").replace(/\.js$/, ".ts"));

  it.each(entries)("everything %s exports says what it means", (entry) => {
    const face = byPath.get(entry);
    expect(face, `${entry} is a public entry and must exist`).toBeDefined();
    const silent = undocumented(face as Source);
    expect(silent).toEqual([]);
  });

  it("an export without a word is found", () => {
    const bare = parseSource(
      "src/x.ts",
      "/** Said. */\nexport const a = 1;\nexport function b() {}\n/* Not said. */\nexport type C = 1;",
    );
    expect(bare.exports.filter((one) => !one.documented).map((one) => one.name)).toEqual(["b", "C"]);
  });

  it("a type read from a value needs no words of its own, one written out does", () => {
    const types = parseSource(
      "src/x.ts",
      "export type A = z.infer<typeof a>;\nexport type B = (typeof LIST)[number];\nexport type C = { c: typeof c };",
    );
    expect(types.exports.filter((one) => !one.documented).map((one) => one.name)).toEqual(["C"]);
  });

  function undocumented(face: Source): string[] {
    const own = face.exports.filter((one) => !one.documented).map((one) => `${face.path}: ${one.name}`);
    const passedOn = face.reexports.flatMap((one) => {
      const source = byPath.get(one.file);
      if (source === undefined || one.names === "all") return [];
      // One name may be declared twice (a function and its namespace of types): the first one speaks for both.
      return one.names
        .map((name) => source.exports.find((declared) => declared.name === name))
        .filter((declared) => declared?.documented === false)
        .map((declared) => `${source.path}: ${declared?.name}`);
    });
    return [...new Set([...own, ...passedOn])];
  }
});

describe("the package", () => {
  let files: string[] = [];
  let name = "";

  beforeAll(async () => {
    const { stdout } = await promisify(execFile)("npm", ["pack", "--dry-run", "--json", "--ignore-scripts"], {
      cwd: ROOT,
      maxBuffer: 16 * 1024 * 1024,
    });
    const [packed] = JSON.parse(stdout) as [{ filename: string; files: { path: string }[] }];
    files = packed.files.map((file) => file.path);
    name = packed.filename;
  });

  it("holds every public entry with its types, and the command", () => {
    const needed = [
      ...Object.values(manifest.exports).flatMap((target) =>
        typeof target === "string" ? [target] : Object.values(target),
      ),
      ...Object.values(manifest.bin),
    ].map((path) => path.replace(/^\.\//, ""));
    expect(needed.filter((path) => !files.includes(path))).toEqual([]);
  });

  it("is packed into a file of the name that the README installs", () => {
    expect(readFileSync(join(ROOT, "README.md"), "utf8")).toContain(`\`npm install ./${name}\``);
  });

  it("holds its licence, its documents and the sources its maps point to", () => {
    expect(files).toEqual(
      expect.arrayContaining(["LICENSE", "README.md", "SECURITY.md", "package.json", "src/errors.ts"]),
    );
  });

  it("holds no tests, no working files and no data of anybody's", () => {
    const wrong = files.filter((path) =>
      /(^|\/)(test|bench|fixtures|coverage|examples|scripts|node_modules|\.ci|\.proof402)\/|\.test\.|\.(db|sqlite|pem|key|env|log|tgz)$|(^|\/)\.env/.test(
        path,
      ),
    );
    expect(wrong).toEqual([]);
  });

  it("holds no private key in any text", () => {
    const marker = /-----BEGIN [A-Z ]*PRIVATE KE[Y]-----\s*[A-Za-z0-9+/=]{16}/;
    const wrong = files.filter(
      (path) => statSync(join(ROOT, path)).size < 5_000_000 && marker.test(readFileSync(join(ROOT, path), "utf8")),
    );
    expect(files.length).toBeGreaterThan(50);
    expect(wrong).toEqual([]);
  });
});
