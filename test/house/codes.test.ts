import { describe, expect, it } from "vitest";
import { Proof402Error } from "../../src/errors.ts";
import { ERROR_GROUPS } from "../../src/errors/codes.ts";
import { HOLD_REASONS } from "../../src/buyer/hold-reasons.ts";
import { ABSENCES } from "../../src/buyer/background/jobs/absences.ts";
import { WARNINGS } from "../../src/buyer/types.ts";
import { AUDIT_CODES } from "../../src/receipts/audit-codes.ts";
import { EVERY_LAYER, LAYER_CODES } from "../../src/verify/codes.ts";
import { CONTRADICTIONS } from "../../src/verify/contradiction-codes.ts";
import { fail } from "../../src/verify/types.ts";
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
      texts.filter((text) => !/^[^a-z].*[^.]\.$|^(?:onnxruntime-node|anvil|models\.json) .*\.$/.test(text)),
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
    // @ts-expect-error -- a new code is a new line of its group in src/errors/
    expect(new Proof402Error("no_such_code", "It is in no table.", { next: "Add it." }).code).toBe("no_such_code");
  });
});

describe("codes of layers", () => {
  const byLayer = Object.values(LAYER_CODES).map((table) => Object.keys(table));

  it("each is one that the house makes", () => {
    // Checks of attestation documents are written with hyphens in their vectors.
    const written = new Set([...made].map((text) => text.replaceAll("-", "_")));
    expect(byLayer).toHaveLength(11);
    expect(unmade([...byLayer.flat(), ...Object.keys(EVERY_LAYER)], written)).toEqual([]);
  });

  it("one outside the table, or of another status, does not compile", () => {
    // @ts-expect-error -- a new code is a new line of its layer in src/verify/codes.ts
    expect(fail("no_such_code", "It is in no table.").code).toBe("no_such_code");
    // @ts-expect-error -- it is the code of a pass
    expect(fail("replay_matched", "It passed.").status).toBe("fail");
  });
});

describe("other codes", () => {
  it.each([
    ["contradictions", CONTRADICTIONS],
    ["absences of late evidence", ABSENCES],
    ["warnings", WARNINGS],
    ["breaks of the log", AUDIT_CODES],
    ["holds", HOLD_REASONS],
  ])("%s: each is one that the house makes", (_of, table) => {
    const texts = new Set([...made].map((text) => text.split(":")[0] ?? ""));
    expect(unmade(Object.keys(table), texts)).toEqual([]);
  });
});
