import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { ROOT, readSources } from "./sources.ts";

/** Most sentences of doc comments, in percent, with two relative words or more. It only shrinks. */
const BUDGET = 1.5;

const RELATIVE = /\b(?:which|whose|whoever|whatever|who|what|that|whom)\b/gi;
// Written so that this file does not contain what it looks for.
const VAGUE = /\b(?:no[b]ody|who[e]ver|what[e]ver|an[e]w)\b/gi;

const house = readSources(["src", "mcp-server"]).filter(({ path }) => !path.endsWith(".artifact.ts"));
const pages = [
  "README.md",
  "SECURITY.md",
  "CONTRIBUTING.md",
  ...readdirSync(join(ROOT, "docs")).map((name) => `docs/${name}`),
];

/** The sentences of all doc comments of a text. What stands in backticks is code and holds no words. */
const sentencesOf = (text: string): string[] =>
  [...text.matchAll(/\/\*\*(.*?)\*\//gs)].flatMap(([, comment = ""]) =>
    comment
      .replace(/\n\s*\* ?/g, " ")
      .replace(/`[^`]*`/g, "CODE")
      .replace(/\s+/g, " ")
      .trim()
      .split(/(?<=[.:;?!]) (?=[A-Z])/)
      .filter((sentence) => sentence !== ""),
  );

const isWound = (sentence: string): boolean => (sentence.match(RELATIVE) ?? []).length >= 2;

/** Lines with a vague word; titles of tests, quoted in SECURITY.md, are their tests' own. */
const vagueLines = (path: string, text: string): string[] =>
  text
    .replace(/`test\/[^|]*/g, "")
    .split("\n")
    .flatMap((line, at) => (line.match(VAGUE) ?? []).map((word) => `${path}:${at + 1} ${word}`));

describe("one language", () => {
  it("doc comments say one fact a sentence", () => {
    const sentences = house.flatMap(({ text }) => sentencesOf(text));
    const wound = sentences.filter(isWound);
    expect(sentences.length).toBeGreaterThan(2000);
    expect(Math.ceil((1000 * wound.length) / sentences.length) / 10, wound.join("\n")).toBeLessThanOrEqual(BUDGET);
  });

  it("code, texts and pages name their actors", () => {
    const lines = [
      ...house.map(({ path, text }) => ({ path, text })),
      ...pages.map((path) => ({ path, text: readFileSync(join(ROOT, path), "utf8") })),
    ].flatMap(({ path, text }) => vagueLines(path, text));
    expect(lines).toEqual([]);
  });

  it("these checks can fail", () => {
    const [plain, wound, ...rest] = sentencesOf(
      "/** Reads the key that `who` made. What it says\n * is what counts. */ export const a = 1;",
    );
    expect([plain, wound, rest]).toEqual(["Reads the key that CODE made.", "What it says is what counts.", []]);
    expect([isWound(plain ?? ""), isWound(wound ?? "")]).toEqual([false, true]);
    expect(vagueLines("x.md", ["a", "asked by ", "who"].join("\n") + "ever")).toEqual([
      `x.md:3 ${["who", "ever"].join("")}`,
    ]);
  });
});
