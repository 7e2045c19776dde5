import { parseAst } from "vitest/node";

/** One small change to a program: what it may be mistaken for. */
export type Mutation = {
  /** The expression or statement that changes, and what stands there instead; nothing for a statement that is left out. */
  start: number;
  end: number;
  replacement: string | null;
  /** The changed line, trimmed, and what was changed: together they name the mutation wherever the line moves. */
  line: string;
  change: string;
  /** It takes effect as the module is loaded, and not later. */
  atLoad: boolean;
};

type Node = { type: string; start: number; end: number; [field: string]: unknown };
type Change = { node: Node; replacement: string | null; original: string; instead: string };

const swaps = (pairs: Record<string, string>): ReadonlyMap<string, string> => new Map(Object.entries(pairs));
const OPERATORS = swaps({
  "<": "<=",
  "<=": "<",
  ">": ">=",
  ">=": ">",
  "===": "!==",
  "!==": "===",
  "+": "-",
  "-": "+",
  "*": "/",
  "/": "*",
  "&&": "||",
  "||": "&&",
});
const METHODS = swaps({
  some: "every",
  every: "some",
  min: "max",
  max: "min",
  floor: "ceil",
  ceil: "floor",
  find: "findLast",
  findLast: "find",
});

const isNode = (value: unknown): value is Node =>
  typeof value === "object" && value !== null && typeof (value as Node).type === "string";

/**
 * All mutations of one JavaScript module: operators, conditions, constants and left-out statements. Texts are left alone, as
 * is all that only words a message: tests hold what is decided by its code, and the wording is for people to judge.
 */
export function mutationsOf(text: string): Mutation[] {
  // oxlint-disable-next-line typescript/no-deprecated -- the one parser vitest passes on
  const program = parseAst(text) as unknown as Node;
  const found: Mutation[] = [];
  const visit = (node: Node, atLoad: boolean, inChain: boolean): void => {
    if (isMessage(node)) return;
    for (const { node: of, replacement, original, instead } of changesOf(node, text, inChain)) {
      const from = text.lastIndexOf("\n", of.start - 1) + 1;
      const line = text.slice(from, text.indexOf("\n", of.start)).trim();
      const change = `${brief(original)} -> ${brief(instead)}`;
      found.push({ start: of.start, end: of.end, replacement, line, change, atLoad });
    }
    const within = atLoad && !node.type.includes("Function");
    for (const value of Object.values(node))
      for (const child of Array.isArray(value) ? value : [value])
        if (isNode(child)) visit(child, within, node.type === "ChainExpression" || (inChain && isLink(node)));
  };
  visit(program, true, false);
  return found;
}

/** Words for people, and a choice among nothing but such words: what differs in these alone decides the same. */
const isMessage = (node: Node): boolean => {
  if (node.type === "ConditionalExpression")
    return [node["consequent"], node["alternate"]].every((branch) => isMessage(branch as Node));
  if (node.type === "Literal") return typeof node["value"] === "string" && isSentence(node["value"]);
  const parts = node.type === "TemplateLiteral" ? (node["quasis"] as { value: { raw: string } }[]) : [];
  return parts.some(({ value }) => isSentence(value.raw));
};
const isSentence = (text: string): boolean => /[a-z]+,? [a-z]+/i.test(text);

const isLink = ({ type }: Node): boolean => type === "MemberExpression" || type === "CallExpression";

const brief = (part: string): string => {
  const line = part.replace(/\s+/g, " ").trim();
  return line.length > 80 ? `${line.slice(0, 77)}...` : line || "(nothing)";
};

function changesOf(node: Node, text: string, inChain: boolean): Change[] {
  const of = (field: string): Node => node[field] as Node;
  const source = ({ start, end }: Pick<Node, "start" | "end">): string => text.slice(start, end);
  const to = (at: Node, instead: string): Change => ({
    node: at,
    replacement: instead,
    original: source(at),
    instead,
  });
  switch (node.type) {
    case "BinaryExpression":
    case "LogicalExpression": {
      const [left, right] = [of("left"), of("right")];
      const operator = node["operator"] as string;
      if (operator === "??") return [to(node, source(left))];
      const joinsText = [left, right].some(
        ({ type, value }) => type === "TemplateLiteral" || typeof value === "string",
      );
      const other = OPERATORS.get(operator);
      if (other === undefined || (operator === "+" && joinsText)) return [];
      const replacement = `(${source(left)}) ${other} (${source(right)})`;
      return [{ node, replacement, original: source(node), instead: other }];
    }
    case "ConditionalExpression":
      return [to(node, source(of("consequent"))), to(node, source(of("alternate")))];
    case "IfStatement":
      return [to(of("test"), "true"), to(of("test"), "false")];
    case "UnaryExpression":
      return node["operator"] === "!" ? [to(node, source(of("argument")))] : [];
    case "Literal": {
      const { value } = node;
      if (typeof value === "boolean") return [to(node, String(!value))];
      if (typeof value === "number") return [to(node, `${source(node)} + 1`)];
      return typeof value === "bigint" ? [to(node, `${source(node)} + 1n`)] : [];
    }
    case "ThrowStatement":
    case "ExpressionStatement":
      return [{ node, replacement: null, original: source(node), instead: "" }];
    case "CallExpression":
      return inChain ? [] : renamed(node, text, to);
    default:
      return [];
  }
}

function renamed(node: Node, text: string, to: (at: Node, instead: string) => Change): Change[] {
  const callee = node["callee"] as Node;
  if (callee.type !== "MemberExpression") return [];
  const [object, property] = [callee["object"] as Node, callee["property"] as Node];
  const name = text.slice(property.start, property.end);
  const other = METHODS.get(name);
  if (other !== undefined)
    return [to(node, `${text.slice(node.start, property.start)}${other}${text.slice(property.end, node.end)}`)];
  return name === "filter" ? [to(node, text.slice(object.start, object.end))] : [];
}

const SWITCH =
  'globalThis.mutant ??= Number(process.env["PROOF402_MUTANT"]);' +
  "const mutantIsOn = (number) => (globalThis.passed?.add(number), globalThis.mutant === number);";

/**
 * The program with all mutations in it, each of which holds while `globalThis.mutant` is its number. The variable
 * `PROOF402_MUTANT` of the environment sets it before the module is loaded.
 */
export function instrumented(text: string, mutations: readonly Mutation[]): string {
  const numbered = mutations
    .map((mutation, number) => ({ ...mutation, number }))
    .toSorted((a, b) => a.start - b.start || b.end - a.end);
  const write = (from: number, to: number): string => {
    let written = "";
    let at = from;
    for (let next = numbered[0]; next !== undefined && next.start < to; next = numbered[0]) {
      const { start, end } = next;
      const here = numbered.filter((one) => one.start === start && one.end === end);
      for (const one of here) numbered.splice(numbered.indexOf(one), 1);
      const inside = here.reduce(
        (inner, { number, replacement }) =>
          replacement === null
            ? `{ if (!mutantIsOn(${number})) { ${inner} } }`
            : `(mutantIsOn(${number}) ? (${replacement}) : (${inner}))`,
        write(start, end),
      );
      written += `${text.slice(at, start)}${inside}`;
      at = end;
    }
    return `${written}${text.slice(at, to)}`;
  };
  return `${SWITCH}${write(0, text.length)}`;
}
