import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { compareDecimals, decimalOf } from "../../src/guard/decimal.ts";
import { judgeRules } from "../../src/guard/judge-rules.ts";
import { parseRules, readRules, rulesText, type BindRules } from "../../src/guard/rules.ts";

const input = { account: "ops", limits: { max: "100.50" } };
const answer = { risk: 0.8, class: 2, size: "12345678901234567890", legs: [{ side: "sell" }], "a/b~c": 1 };
/** What rules say of some arguments. */
const judged = (rules: BindRules["rules"], args: Record<string, unknown>, free?: string[]): true | string =>
  judgeRules(readRules({ rules: [...rules, ANSWERED], ...(free === undefined ? {} : { free }) }), {
    args,
    input,
    answer,
  });
/** Each set of rules has to read the answer. */
const ANSWERED: BindRules["rules"][number] = { check: { answer: "/class" }, equals: { value: 2 } };

describe("a rule permits", () => {
  test.each<[string, BindRules["rules"][number], Record<string, unknown>]>([
    ["what is the same", { check: { argument: "/side" }, equals: { answer: "/legs/0/side" } }, { side: "sell" }],
    ["the same number", { check: { argument: "/n" }, equals: { value: 5 } }, { n: 5 }],
    ["a number as text", { check: { argument: "/n" }, equals: { answer: "/size" } }, { n: 12345678901234567890n }],
    ["one of several", { check: { argument: "/side" }, in: [{ value: "buy" }, { value: "sell" }] }, { side: "sell" }],
    ["at most, to the digit", { check: { argument: "/n" }, atMost: { input: "/limits/max" } }, { n: "100.5" }],
    ["at least, to the digit", { check: { answer: "/risk" }, atLeast: { argument: "/n" } }, { n: "0.80" }],
    ["by an escaped path", { check: { argument: "/n" }, equals: { answer: "/a~1b~0c" } }, { n: 1 }],
    ["a whole list", { check: { argument: "/legs" }, equals: { answer: "/legs" } }, { legs: [{ side: "sell" }] }],
    ["nothing at all", { check: { argument: "/n" }, equals: { value: null } }, { n: null }],
  ])("%s", (_name, rule, args) => {
    expect(judged([rule], args)).toBe(true);
  });
});

describe("a rule refuses", () => {
  test.each<[string, BindRules["rules"][number], Record<string, unknown>]>([
    ["another value", { check: { argument: "/side" }, equals: { answer: "/legs/0/side" } }, { side: "buy" }],
    ["a text for a number spelt otherwise", { check: { argument: "/n" }, equals: { value: 5 } }, { n: "05" }],
    ["true for 1", { check: { argument: "/n" }, equals: { value: 1 } }, { n: true }],
    ["none of several", { check: { argument: "/side" }, in: [{ value: "buy" }] }, { side: "sell" }],
    ["the smallest more", { check: { argument: "/n" }, atMost: { value: "0.3" } }, { n: 0.1 + 0.2 }],
    [
      "an integer that a double would round",
      { check: { argument: "/n" }, atMost: { value: "9007199254740992" } },
      { n: 9007199254740993n },
    ],
    ["less", { check: { argument: "/n" }, atLeast: { value: 1 } }, { n: -1e-7 }],
    ["what is no number", { check: { argument: "/n" }, atMost: { value: 1 } }, { n: "NaN" }],
    ["a hexadecimal number", { check: { argument: "/n" }, atMost: { value: 100 } }, { n: "0x01" }],
    ["an empty text for zero", { check: { argument: "/n" }, atMost: { value: 1 } }, { n: "" }],
    ["a missing argument", { check: { argument: "/n" }, atMost: { value: 1 } }, {}],
    ["a missing answer", { check: { argument: "/n" }, atMost: { answer: "/none" } }, { n: 0 }],
    ["a missing element", { check: { argument: "/n" }, equals: { answer: "/legs/1/side" } }, { n: 0 }],
    ["the length of a list", { check: { argument: "/n" }, equals: { answer: "/legs/length" } }, { n: 1 }],
    ["an element by another index", { check: { argument: "/n" }, equals: { answer: "/legs/00/side" } }, { n: "sell" }],
    ["what every object has", { check: { argument: "/toString" }, equals: { answer: "/toString" } }, {}],
    [
      "a list with one more",
      { check: { argument: "/legs" }, equals: { answer: "/legs" } },
      { legs: [{ side: "sell" }, 1] },
    ],
    [
      "an object with one more",
      { check: { argument: "/legs" }, equals: { answer: "/legs" } },
      { legs: [{ side: "sell", x: 1 }] },
    ],
  ])("%s", (_name, rule, args) => {
    expect(judged([rule], args)).toEqual(expect.any(String));
  });
});

describe("arguments that no rule names", () => {
  const side: BindRules["rules"][number] = { check: { argument: "/order/side" }, equals: { value: "sell" } };

  test.each([
    [{ order: { side: "sell" }, memo: "x" }, "/memo"],
    [{ order: { side: "sell", amount: 1 } }, "/order/amount"],
    [{ order: { side: "sell", legs: [] } }, "/order/legs"],
    [{ order: { side: "sell", "a/b": 1 } }, "/order/a~1b"],
    [{ order: { side: "sell" }, orders: 1 }, "/orders"],
  ])("refuse: %j", (args, pointer) => {
    expect(judged([side], args)).toBe(`no rule names the argument ${JSON.stringify(pointer)}`);
  });

  test("may be anything, or missing, where the rules list them", () => {
    expect(judged([side], { order: { side: "sell" }, memo: { any: [1] } }, ["/memo"])).toBe(true);
    expect(judged([side], { order: { side: "sell" } }, ["/memo"])).toBe(true);
    expect(judged([side], { order: { side: "sell" }, memos: 1 }, ["/memo"])).toEqual(expect.any(String));
  });

  test("are not named by a rule that does not apply, nor by its conditions", () => {
    const when = [{ check: { argument: "/side" }, equals: { value: "sell" } }];
    const rules: BindRules["rules"] = [
      { when, check: { argument: "/amount" }, atMost: { value: 5 } },
      { check: { argument: "/side" }, in: [{ value: "sell" }, { value: "hold" }] },
    ];
    expect(judged(rules, { side: "sell", amount: 5 })).toBe(true);
    expect(judged(rules, { side: "sell", amount: 6 })).toEqual(expect.stringContaining("not so"));
    expect(judged(rules, { side: "hold", amount: 5 })).toBe('no rule names the argument "/amount"');
    expect(judged(rules, { side: "hold" })).toBe(true);
    expect(judged([rules[0]!], { side: "sell", amount: 5 })).toBe('no rule names the argument "/side"');
    expect(judged(rules, { amount: 5 })).toBe('there is no argument "/side"');
  });
});

describe("arguments that rules name without binding them", () => {
  const nothing = (pointer: string): string =>
    `the rules compare the argument ${JSON.stringify(pointer)} with nothing but unbound arguments`;
  const most = (argument: string, other: BindRules["rules"][number]["check"]): BindRules["rules"][number] => ({
    check: { argument },
    atMost: other,
  });

  test.each<[string, BindRules["rules"], Record<string, unknown>, string]>([
    ["beside each other", [most("/a", { argument: "/b" }), most("/b", { argument: "/a" })], { a: 9, b: 9 }, "/a"],
    ["beside one that is free", [most("/a", { argument: "/free" })], { a: 9, free: 9 }, "/a"],
    [
      "in a list with an unbound one",
      [{ check: { argument: "/a" }, in: [{ value: 1 }, { argument: "/b" }] }],
      { a: 9, b: 9 },
      "/a",
    ],
    [
      "as one of several in a list",
      [{ check: { value: 1 }, in: [{ argument: "/a" }, { argument: "/b" }] }],
      { a: 1, b: 9 },
      "/a",
    ],
  ])("refuse: %s", (_name, rules, args, pointer) => {
    expect(judged(rules, args, ["/free"])).toBe(nothing(pointer));
  });

  test("are bound through others that are", () => {
    const rules = [most("/a", { argument: "/b" }), most("/b", { argument: "/c" }), most("/c", { answer: "/size" })];
    expect(judged(rules, { a: 1, b: 2, c: 3 })).toBe(true);
    expect(judged([{ check: { answer: "/class" }, in: [{ argument: "/a" }] }], { a: 2 })).toBe(true);
  });
});

test("rules none of which reads the answer in a case refuse in that case", () => {
  const when = (side: string): BindRules["rules"][number]["when"] => [
    { check: { argument: "/side" }, equals: { value: side } },
  ];
  const rules = readRules({
    rules: [
      { when: when("buy"), check: { answer: "/risk" }, atMost: { value: 0.9 } },
      { check: { argument: "/side" }, in: [{ value: "buy" }, { value: "sell" }] },
    ],
  });
  const of = (args: Record<string, unknown>): true | string => judgeRules(rules, { args, input, answer });
  expect(of({ side: "buy" })).toBe(true);
  expect(of({ side: "sell" })).toBe("no rule that reads the answer applies");
  const none = readRules({ rules: [{ when: when("buy"), check: { answer: "/risk" }, atMost: { value: 0.1 } }] });
  expect(judgeRules(none, { args: { side: "sell" }, input, answer })).toBe("no rule that reads the answer applies");
  // An answer that a condition reads decides as well.
  const onCondition = readRules({
    rules: [
      {
        when: [{ check: { answer: "/class" }, equals: { value: 2 } }],
        check: { argument: "/side" },
        equals: { value: "sell" },
      },
    ],
  });
  expect(judgeRules(onCondition, { args: { side: "sell" }, input, answer })).toBe(true);
});

describe("rules are read", () => {
  const rule = { check: { answer: "/risk" }, atMost: { value: 1 } };
  test.each([
    ["that say nothing", { rules: [] }],
    ["of another word", { rules: [{ check: { answer: "/risk" }, below: { value: 1 } }] }],
    ["that compare twice", { rules: [{ ...rule, atLeast: { value: 0 } }] }],
    ["with a path that is none", { rules: [{ ...rule, check: { answer: "risk" } }] }],
    ["with a half escape", { rules: [{ ...rule, check: { answer: "/a~2" } }] }],
    ["with an operand of two kinds", { rules: [{ ...rule, check: { answer: "/a", input: "/a" } }] }],
    ["with a misspelt list", { rules: [rule], fre: ["/memo"] }],
    [
      "that compare an argument with itself",
      {
        rules: [
          { check: { argument: "/a/0" }, equals: { argument: "/a/0" } },
          { check: { argument: "/b" }, equals: { answer: "/b" } },
        ],
      },
    ],
    ["that compare the answer with itself", { rules: [{ check: { answer: "/a" }, equals: { answer: "/a" } }] }],
    ["that list the answer itself", { rules: [{ check: { answer: "/a" }, in: [{ answer: "/a" }, { value: 1 }] }] }],
    [
      "with a condition that compares a value with itself",
      {
        rules: [
          {
            check: { argument: "/a" },
            equals: { value: 1 },
            when: [{ check: { answer: "/a" }, equals: { answer: "/a" } }],
          },
        ],
      },
    ],
    [
      "that compare the answer with what may be anything",
      { rules: [{ check: { answer: "/a" }, atLeast: { argument: "/n" } }], free: ["/n"] },
    ],
    [
      "that take the answer or another value",
      { rules: [{ check: { argument: "/n" }, in: [{ answer: "/a" }, { value: "any" }] }] },
    ],
    ["that never read the answer", { rules: [{ check: { argument: "/a" }, equals: { input: "/a" } }] }],
    ["that are no object", "rules"],
  ])("and not those %s", (_name, rules) => {
    expect(() => readRules(rules)).toThrow(expect.objectContaining({ code: "guard_rules" }));
  });

  test("from text, and no number in it is rounded", () => {
    const text = (number: string): string => `{"rules":[{"check":{"answer":"/risk"},"atMost":{"value":${number}}}]}`;
    for (const good of ["0.8", "1.0", "1e3", "-0.5", '"0.30000000000000000001"']) parseRules(text(good));
    for (const bad of ["0.30000000000000000001", "9007199254740993", "1e999", '1,"value":2'])
      expect(() => parseRules(text(bad)), bad).toThrow(expect.objectContaining({ code: "guard_rules" }));
  });

  test("by people, too", () => {
    const rules = readRules({
      rules: [
        { check: { answer: "/risk" }, atLeast: { value: 0.8 } },
        {
          when: [{ check: { argument: "/side" }, equals: { value: "sell" } }],
          check: { argument: "/amount" },
          atMost: { input: "/limits/max" },
        },
        { check: { argument: "/side" }, in: [{ value: "sell" }, { value: "hold" }] },
      ],
      free: ["/memo"],
    });
    expect(rulesText(rules).split("\n")).toEqual([
      'answer "/risk" is at least 0.8.',
      'If argument "/side" is "sell", then argument "/amount" is at most input "/limits/max".',
      'argument "/side" is one of "sell", "hold".',
      'argument "/memo" may be anything.',
      "Any other argument refuses, also one compared with such arguments alone, and so does a value that is missing.",
      "If no rule that reads the answer applies, nothing is allowed.",
    ]);
  });
});

test("numbers compare as they are written, over signs, powers and sizes", () => {
  const scaled = fc.tuple(fc.bigInt({ min: -(10n ** 30n), max: 10n ** 30n }), fc.integer({ min: 0, max: 20 }));
  const written = ([digits, places]: [bigint, number]): string => {
    const text = (digits < 0n ? -digits : digits).toString().padStart(places + 1, "0");
    const whole = text.slice(0, text.length - places);
    return `${digits < 0n ? "-" : ""}${whole}${places === 0 ? "" : `.${text.slice(-places)}`}`;
  };
  fc.assert(
    fc.property(scaled, scaled, (a, b) => {
      const [one, other] = [decimalOf(written(a)), decimalOf(written(b))];
      if (one === null || other === null) throw new Error("a decimal was not read");
      const difference = a[0] * 10n ** BigInt(b[1]) - b[0] * 10n ** BigInt(a[1]);
      expect(Math.sign(compareDecimals(one, other))).toBe(difference === 0n ? 0 : difference < 0n ? -1 : 1);
    }),
    { numRuns: 300 },
  );
  for (const [value, same] of [
    [1e21, "1000000000000000000000"],
    [5e-324, "5e-324"],
    [-0, "0"],
    [1e-7, "0.0000001"],
  ] as const) {
    const [one, other] = [decimalOf(value), decimalOf(same)];
    expect(one !== null && other !== null && compareDecimals(one, other)).toBe(0);
  }
  for (const none of [Number.NaN, Infinity, "1e9999", "+1", "1.", ".5", " 1", "١", null, {}, true])
    expect(decimalOf(none)).toBeNull();
});
