import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { ARROWS } from "./rooms.ts";
import { errorsPage } from "../../scripts/write-errors.ts";
import { ROOT, readSources } from "./sources.ts";

const read = (name: string): string => readFileSync(join(ROOT, name), "utf8");
const manifest = JSON.parse(read("package.json")) as { scripts: Record<string, string> };

const DOCUMENTS = ["README.md", "AGENTS.md", "SECURITY.md", "CONTRIBUTING.md", "docs/architecture.md"];

/** Paths of the repository that a document names in backticks, patterns and placeholders aside. */
const pathsIn = (text: string): string[] =>
  [...text.matchAll(/`((?:src|mcp-server|test|examples|models|schema|scripts|docs|\.ci|\.changeset)\/[\w./-]*)`/g)].map(
    (match) => match[1] ?? "",
  );

const scriptsIn = (text: string): string[] => [...text.matchAll(/npm run ([\w:-]+)/g)].map((match) => match[1] ?? "");

/** Where a source cites a section of a document of ours: `docs/architecture.md §4.2`. */
const citations = (text: string): string[] =>
  [...text.matchAll(/(?<![\w./-])(?:docs\/[\w.-]+|[A-Z]{4,}(?:\.md)?) §[0-9]+(?:\.[0-9]+)*/g)].map(([match]) => match);

/** The numbered sections of docs/architecture.md and the numbered items in them, as they are cited. */
function sections(text: string): Set<string> {
  let section = "";
  const found = [...text.matchAll(/^(## )?([0-9]+)\. /gm)].map(([, heading, number = ""]) => {
    if (heading === undefined) return `${section}.${number}`;
    section = number;
    return section;
  });
  return new Set(found.map((number) => `docs/architecture.md §${number}`));
}

describe("documents stay true", () => {
  it.each(DOCUMENTS)("%s names only files and scripts that exist", (name) => {
    const text = read(name);
    expect(pathsIn(text).filter((path) => !existsSync(join(ROOT, path)))).toEqual([]);
    expect(scriptsIn(text).filter((script) => !(script in manifest.scripts))).toEqual([]);
  });

  it("a path that is not there is found", () => {
    expect(pathsIn("see `src/attic/gone.ts`, `src/<room>/x.ts` and `npm run x`")).toEqual(["src/attic/gone.ts"]);
    expect(scriptsIn("run `npm run nothing -- x`")).toEqual(["nothing"]);
  });

  it("CONTRIBUTING.md's commands are those that .ci/run runs, and the workflow runs .ci/run", () => {
    const run = read(".ci/run").replaceAll("npm run --silent", "npm run");
    const commands = [...read("CONTRIBUTING.md").matchAll(/^```sh\n([\s\S]*?)^```/gm)].flatMap(([, block = ""]) =>
      block.trim().split("\n"),
    );
    expect(commands.length).toBeGreaterThan(3);
    // Of the tests a contributor runs one room's.
    expect(commands.filter((command) => !run.includes(command.replace(/ test\/\w+$/, "")))).toEqual([]);
    expect(read(".github/workflows/ci.yml")).toContain("- run: .ci/run\n");
  });

  it("each generated file has a test that says which script makes it anew, and CONTRIBUTING.md names it", () => {
    const generators = Object.keys(manifest.scripts).filter((name) => name.startsWith("generate:"));
    const tests = readSources(["test"]).filter(({ path }) => path.endsWith(".test.ts"));
    expect(generators.length).toBeGreaterThan(3);
    for (const name of generators) {
      expect(
        tests.some(({ text }) => text.includes(`stale: npm run ${name}`)),
        name,
      ).toBe(true);
      expect(read("CONTRIBUTING.md")).toContain(`\`npm run ${name}\``);
    }
  });

  it("docs/errors.md holds every code as the tables of codes have it", () => {
    expect(read("docs/errors.md"), "stale: npm run generate:docs").toBe(errorsPage());
  });

  it("the code cites sections of docs/architecture.md that are there, and no document that is not", () => {
    const sources = readSources(["src", "mcp-server"]);
    const cited = sources.flatMap(({ text }) => citations(text));
    expect(cited.length).toBeGreaterThan(10);
    expect(cited.filter((citation) => !sections(read("docs/architecture.md")).has(citation))).toEqual([]);
  });

  it("a section that is not there is found, and so is a document", () => {
    const there = sections("## 1. A\n\n1. one\n10. ten\n\n## 2. B\n");
    expect([...there]).toEqual([
      "docs/architecture.md §1",
      "docs/architecture.md §1.1",
      "docs/architecture.md §1.10",
      "docs/architecture.md §2",
    ]);
    expect(citations("(docs/architecture.md §1.10): x, DESIGN §2, RFC 9110 §15.6, EIP-712 §3.")).toEqual([
      "docs/architecture.md §1.10",
      "DESIGN §2",
    ]);
  });

  it("AGENTS.md describes every room", () => {
    const table = read("AGENTS.md");
    expect(Object.keys(ARROWS).filter((room) => room !== "index" && !table.includes(`\`${room}\``))).toEqual([]);
  });

  it("SECURITY.md answers every threat, once and in order, with tests that exist by those names", () => {
    const rows = [...read("SECURITY.md").matchAll(/^\| T(\d+) \|[^|]+\|[^|]+\|([^|]+)\|$/gm)];
    const numbers = rows.map((row) => Number(row[1]));
    expect(numbers).toEqual([...new Set(numbers)].toSorted((a, b) => a - b));
    expect(numbers.slice(0, 30)).toEqual(Array.from({ length: 30 }, (_, at) => at + 1));
    const missing = rows.flatMap(([, threat, cell = ""]) =>
      cell.split("; ").flatMap((part) => {
        const [, path, titles] = /^\s*`(test\/[\w./-]+)`: (.+?)\s*$/.exec(part) ?? [];
        if (path === undefined || titles === undefined) return [`T${threat}: ${part}`];
        const source = read(path);
        return titles.split(" / ").filter((title) => !source.includes(`"T${threat}: ${title}"`));
      }),
    );
    expect(missing).toEqual([]);
  });
});
