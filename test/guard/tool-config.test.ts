import { describe, expect, test } from "vitest";
import { parseGuardConfig } from "../../src/guard/tool-config.ts";

const BIND = { rules: [{ check: { argument: "/amount" }, atMost: { answer: "/limit" } }] };
const TRANSFER = { assurance: "attested", maxAge: 60, bind: BIND };
const config = (change: Record<string, unknown> = {}): string =>
  JSON.stringify({ server: "bank", tools: { transfer: TRANSFER, read: "pass" }, ...change });

describe("the configuration of a guard before a server", () => {
  test("hides what it does not name, passes no question on, and takes no answer for a proof that nothing happened", () => {
    const { tools, ruleOf, ...rest } = parseGuardConfig(config());
    expect(rest).toEqual({
      server: "bank",
      others: "hide",
      resources: "pass",
      prompts: "pass",
      questions: "refuse",
      env: [],
    });
    expect(tools.get("transfer")).toEqual({
      ...TRANSFER,
      spends: "once",
      allowSimulated: false,
      allowImported: false,
      notDone: [],
    });
    expect(["transfer", "read", "other"].map(ruleOf)).toEqual([tools.get("transfer"), "pass", "hide"]);
  });

  test.each([
    "Transfer",
    "TRANSFER",
    "trans-fer",
    "trans_fer",
    "tran.sfer",
    "trans\u200bfer",
    "\uff54ransfer",
    "tr\u0430nsfer",
    "a b",
    "",
  ])("hides %j, which looks like a guarded tool or is no plain name, though others pass", (name) => {
    const { ruleOf } = parseGuardConfig(config({ others: "pass" }));
    expect([ruleOf("other"), ruleOf(name)]).toEqual(["pass", "hide"]);
  });

  test.each(["hide", "refuse"])("hides what looks like a tool at %j, though others pass", (rule) => {
    const { ruleOf } = parseGuardConfig(config({ others: "pass", tools: { transfer: TRANSFER, close_account: rule } }));
    expect(["close_account", "Close_Account", "close-account", "closed"].map(ruleOf)).toEqual([
      rule,
      "hide",
      "hide",
      "pass",
    ]);
  });

  test.each<[string, string, string]>([
    ["no JSON", "{", "not JSON"],
    ["a key twice", '{"server":"bank","server":"bank","tools":{}}', "twice"],
    ["a number that would be rounded", config().replace("60", "60.00000000000000000001"), "would be rounded"],
    ["no server", config({ server: undefined }), "server"],
    ["a field that is none", config({ other: "pass" }), "other"],
    ["no guarded tool", config({ tools: { read: "pass" } }), "None of them is guarded"],
    ["a word that is none", config({ tools: { transfer: TRANSFER, read: "allow" } }), "tools/read"],
    ["no rules", config({ tools: { transfer: { ...TRANSFER, bind: undefined } } }), "tools/transfer/bind"],
    [
      "rules for any answer",
      config({
        tools: { transfer: { ...TRANSFER, bind: { rules: [{ check: { argument: "/a" }, equals: { value: 1 } }] } } },
      }),
      "reads the answer",
    ],
    ["no age", config({ tools: { transfer: { ...TRANSFER, maxAge: 0 } } }), "tools/transfer/maxAge"],
    ["no assurance", config({ tools: { transfer: { ...TRANSFER, assurance: "none" } } }), "tools/transfer/assurance"],
    ["a misspelt field", config({ tools: { transfer: { ...TRANSFER, maxage: 1 } } }), "maxage"],
    ["an unknown proof of nothing", config({ tools: { transfer: { ...TRANSFER, notDone: ["timeout"] } } }), "notDone"],
    [
      "a tool like a guarded one that passes",
      config({ tools: { transfer: TRANSFER, Transfer: "pass" } }),
      "too much like",
    ],
    [
      "two guarded tools that are too much alike",
      config({ tools: { transfer: TRANSFER, Transfer: TRANSFER } }),
      "too much like",
    ],
  ])("is refused with %s", (_name, text, said) => {
    expect(() => parseGuardConfig(text)).toThrow(
      expect.objectContaining({ code: "guard_config", message: expect.stringContaining(said) as string }),
    );
  });
});
