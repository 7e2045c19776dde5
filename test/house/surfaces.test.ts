import { describe, expect, it } from "vitest";
import { roomOf } from "./rooms.ts";
import { parseSource, readSources, stringsMadeIn, type Source } from "./sources.ts";

const house = readSources(["src", "mcp-server"]);

/** The names of tools and of their arguments. */
const OF_TOOLS = /\b(?:list_models|buy_inference|get_receipt|verify_receipt|max_usd|wait_seconds|idempotency_key)\b/;
/** The words of the command line. */
const OF_COMMANDS =
  /\bproof402 (?:buy|models|receipts|verify|trust|spending|sellers|wallet|channel|audit)\b|(?:^| )--[a-z]/;
/** The words of a program that uses the library. */
const OF_LIBRARY = /\b(?:openBuyer\b|[a-z]+[A-Z]?[a-z]*\(\))/;

/** The rooms with texts for all surfaces. */
const SHARED = /^(?:evidence|receipts|storage|http|chain|payment|market|buyer|verify|errors)$/;

const sentencesIn = ({ text }: Source): string[] => stringsMadeIn(text).filter((one) => /^[A-Z…].* .*\.$/.test(one));

/** Sentences of the shared rooms in the words of one surface. Only the command line has the owner's commands, so a sentence to the owner names them. */
const inWordsOfOne = (sources: Source[]): string[] =>
  sources
    .filter(({ path }) => SHARED.test(roomOf(path) ?? ""))
    .flatMap((source) =>
      sentencesIn(source)
        .filter(
          (text) =>
            OF_TOOLS.test(text) || OF_LIBRARY.test(text) || (OF_COMMANDS.test(text) && !/\bowner\b/i.test(text)),
        )
        .map((text) => `${source.path}: ${text}`),
    );

/** Texts of the command line that name a tool or its arguments. The demo shows an agent and its tools. */
const inWordsOfTools = (sources: Source[]): string[] =>
  sources
    .filter(({ path }) => path.startsWith("src/cli/") && !path.startsWith("src/cli/demo/"))
    .flatMap((source) =>
      sentencesIn(source)
        .filter((text) => OF_TOOLS.test(text))
        .map((text) => `${source.path}: ${text}`),
    );

/** Files with texts about tokens of unknown decimals: a receipt's own word. */
const OF_UNKNOWN_TOKENS: readonly string[] = ["src/cli/fact-list.ts"];

/** Texts that tell an amount of a configured token in its smallest units. */
const inBaseUnits = (sources: Source[]): string[] =>
  sources
    .filter(({ path }) => /^(?:buyer|payment|market|tools|cli)$/.test(roomOf(path) ?? ""))
    .filter(({ path }) => !OF_UNKNOWN_TOKENS.includes(path))
    .flatMap(({ path, text }) =>
      stringsMadeIn(text)
        .filter((one) => /(?:^|[ …])… base units|base units of …/.test(one))
        .map((one) => `${path}: ${one}`),
    );

describe("words of surfaces", () => {
  it("an amount is told in whole tokens", () => {
    expect(inBaseUnits(house)).toEqual([]);
    const told = parseSource("src/payment/x.ts", "f(`${a} base units of ${b} are too many.`);");
    expect(inBaseUnits([told])).toHaveLength(1);
  });

  it("a text for several surfaces is in the words of none", () => {
    expect(house.flatMap(sentencesIn).length).toBeGreaterThan(400);
    expect(inWordsOfOne(house)).toEqual([]);
  });

  it("the command line names no tool", () => {
    expect(inWordsOfTools(house)).toEqual([]);
  });

  it("these checks can fail", () => {
    const shared = (text: string): string[] => inWordsOfOne([parseSource("src/buyer/x.ts", `f(${text});`)]);
    expect(shared('"Call list_models."')).toHaveLength(1);
    expect(shared('"Look at sellers() for those."')).toHaveLength(1);
    expect(shared("`Run proof402 wallet show ${x}.`")).toHaveLength(1);
    expect(shared('"Open one beside it with --another."')).toHaveLength(1);
    expect(shared('"The owner can look with `proof402 wallet show`."')).toEqual([]);
    expect(shared('"idempotency_key"')).toEqual([]);
    expect(inWordsOfTools([parseSource("src/cli/x.ts", 'f("Call get_receipt again.");')])).toHaveLength(1);
  });
});
