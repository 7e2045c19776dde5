import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { ROOT } from "./sources.ts";

const TEXTS = /\.(?:md|ts|html|json)$/;
const filesIn = (folder: string): string[] =>
  readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" })
    .filter((name) => TEXTS.test(name))
    .map((name) => join(folder, name));
/** What a reader may follow: documents, sources and their messages, examples. */
const texts = ["docs", "src", "mcp-server", "examples", ".changeset"]
  .flatMap(filesIn)
  .concat(readdirSync(ROOT).filter((name) => name.endsWith(".md")));

const VERBS = String.raw`(?:npx|bunx|(?:npm|pnpm|yarn|bun) (?:install|i|add|exec|x|dlx|create)\b)`;
/** A line that fetches the package by its name; a path to a clone or a tarball is none. */
const byName = new RegExp(
  String.raw`\b${VERBS}(?:[ ",\[\]\w:=@./-]*[ "])?proof402(?:@[\w.^~-]+)?(?=[ "\x60';]|$)`,
  "m",
);

it("T106: no text has the package fetched by a name that is not ours", () => {
  expect(texts.length).toBeGreaterThan(200);
  expect(texts.filter((path) => byName.test(readFileSync(join(ROOT, path), "utf8")))).toEqual([]);
});

it.each([
  ["npx proof402 buy", true],
  ["npx -y proof402 mcp", true],
  ['"command": "npx", "args": ["-y", "proof402", "mcp"]', true],
  ["npm install proof402 langchain", true],
  ["npm install --global proof402@0.1.0", true],
  ["run `npm install langchain proof402`.", true],
  ["npm install ./proof402-0.1.0.tgz", false],
  ["npm run proof402 -- devnet", false],
  ["npm install langchain beside it; then proof402 models", false],
])("%s: %s", (line, found) => expect(byName.test(line)).toBe(found));
