import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { ARROWS } from "./rooms.ts";
import { ROOT } from "./sources.ts";

const read = (name: string): string => readFileSync(join(ROOT, name), "utf8");
const manifest = JSON.parse(read("package.json")) as { scripts: Record<string, string> };

/** Paths of the repository that a document names in backticks, patterns and placeholders aside. */
const pathsIn = (text: string): string[] =>
  [...text.matchAll(/`((?:src|mcp-server|test|examples|models|schema|scripts|\.ci|\.changeset)\/[\w./-]*)`/g)].map(
    (match) => match[1] ?? "",
  );

const scriptsIn = (text: string): string[] => [...text.matchAll(/npm run ([\w-]+)/g)].map((match) => match[1] ?? "");

describe("documents stay true", () => {
  it.each(["README.md", "AGENTS.md", "SECURITY.md"])("%s names only files and scripts that exist", (name) => {
    const text = read(name);
    expect(pathsIn(text).filter((path) => !existsSync(join(ROOT, path)))).toEqual([]);
    expect(scriptsIn(text).filter((script) => !(script in manifest.scripts))).toEqual([]);
  });

  it("a path that is not there is found", () => {
    expect(pathsIn("see `src/attic/gone.ts`, `src/<room>/x.ts` and `npm run x`")).toEqual(["src/attic/gone.ts"]);
    expect(scriptsIn("run `npm run nothing -- x`")).toEqual(["nothing"]);
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
