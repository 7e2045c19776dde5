import { describe, expect, it } from "vitest";
import { Proof402Error } from "../../src/errors.ts";
import { ERROR_GROUPS } from "../../src/errors/codes.ts";
import { readSources, stringsMadeIn } from "./sources.ts";

const made = new Set(
  readSources(["src", "mcp-server"])
    .filter(({ path }) => !path.startsWith("src/errors/"))
    .flatMap(({ text }) => stringsMadeIn(text)),
);
const codes = ERROR_GROUPS.flatMap((group) => Object.keys(group.codes));

/** Codes that no line of the house makes. */
const unmade = (listed: readonly string[], strings: ReadonlySet<string>): string[] =>
  listed.filter((code) => !strings.has(code));

describe("codes of errors", () => {
  it("each is listed once, in snake case", () => {
    expect(codes.length).toBeGreaterThan(100);
    expect(codes.filter((code, at) => codes.indexOf(code) !== at)).toEqual([]);
    expect(codes.filter((code) => !/^[a-z]+(?:_[a-z0-9]+)*$/.test(code))).toEqual([]);
  });

  it("each is one that the house makes", () => {
    expect(unmade(codes, made)).toEqual([]);
  });

  it("says what happened and what to do in whole sentences", () => {
    const texts = ERROR_GROUPS.flatMap((group) => Object.values<readonly string[]>(group.codes).flat());
    expect(
      texts.filter((text) => !/^[^a-z].*[^.]\.$|^(?:max_usd|onnxruntime-node|anvil|models\.json) .*\.$/.test(text)),
    ).toEqual([]);
  });

  it("one that is only compared, listed or typed is found", () => {
    const strings = new Set(
      stringsMadeIn(
        'type A = "typed"; const k = { keyed: 1 }; if (code === "compared" || ["listed"].includes(code)) throw new E(x ? "made" : "other", `m`);',
      ),
    );
    expect(unmade(["typed", "keyed", "compared", "listed", "made", "other"], strings)).toEqual([
      "typed",
      "keyed",
      "compared",
      "listed",
    ]);
  });

  it("one outside the table does not compile", () => {
    // @ts-expect-error -- add a new code to its group in src/errors/
    expect(new Proof402Error("no_such_code", "It is in no table.", { next: "Add it." }).code).toBe("no_such_code");
  });
});
