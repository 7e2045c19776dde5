import * as z from "zod";
import type { Spends } from "../buyer/action-types.ts";
import { Proof402Error } from "../errors.ts";
import { ASSURANCES } from "../receipts/schema.ts";
import { exactJson, readRules, type BindRules } from "./rules.ts";

/** The treatments of a tool without a requirement. */
const OTHERS = ["pass", "hide", "refuse"] as const;
type Other = (typeof OTHERS)[number];

/**
 * The answers of a tool that prove it did nothing: a result with `isError`, a protocol error, a question in place of a
 * result, a result marked `proof402/not-done`. Every other bad end leaves the action undecided.
 */
const NOT_DONE = ["error", "protocol", "question", "marked"] as const;
export type NotDoneAnswer = (typeof NOT_DONE)[number];

const ids = z.array(z.string().min(1)).min(1).optional();

const guardedTool = z.strictObject({
  assurance: z.enum(ASSURANCES.filter((one) => one !== "none")),
  /** Seconds. */
  maxAge: z.number().positive(),
  models: ids,
  sellers: ids,
  /** Read by `readRules`, for its messages. */
  bind: z.unknown(),
  spends: z
    .union([
      z.literal("once"),
      z.strictObject({ kind: z.string().regex(/^[\w-]{1,64}$/), times: z.int().min(1).max(1_000_000) }),
    ])
    .default("once"),
  allowSimulated: z.boolean().default(false),
  allowImported: z.boolean().default(false),
  notDone: z.array(z.enum(NOT_DONE)).default([]),
  /** The digest of the tool's input schema, as the guard's check shows it. */
  schema: z
    .string()
    .regex(/^[0-9a-f]{64}$/, "must be a sha256 in hex")
    .optional(),
});

/** The requirement of a guarded tool, and the meaning of its answers. */
export type GuardedToolConfig = {
  assurance: "signed" | "attested" | "proven";
  maxAge: number;
  models?: readonly string[] | undefined;
  sellers?: readonly string[] | undefined;
  bind: BindRules;
  spends: Spends;
  allowSimulated: boolean;
  allowImported: boolean;
  notDone: readonly NotDoneAnswer[];
  schema?: string | undefined;
};

const variable = z.string().regex(/^[A-Za-z_][A-Za-z0-9_]{0,127}$/, "must be the name of an environment variable");

const whole = z.strictObject({
  /** Stands before the tool's name in the record of each action, so that tools of two servers are two. */
  server: z.string().regex(/^[a-z0-9][a-z0-9-]{0,31}$/, "must be 1 to 32 small letters, digits and hyphens"),
  tools: z.record(z.string().min(1).max(95), z.unknown()),
  others: z.enum(OTHERS).default("hide"),
  resources: z.enum(["pass", "hide"]).default("pass"),
  prompts: z.enum(["pass", "hide"]).default("pass"),
  questions: z.enum(["pass", "refuse"]).default("refuse"),
  env: z.array(variable).default([]),
  bearer: variable.optional(),
});

/** The configuration of a guard in front of an MCP server. */
export type GuardConfig = Omit<z.infer<typeof whole>, "tools"> & {
  /** By exact name. */
  tools: ReadonlyMap<string, Other | GuardedToolConfig>;
  /** What is done with a tool of this name, configured or not. */
  ruleOf: (name: string) => Other | GuardedToolConfig;
};

/** The names MCP asks for. Others could be written so that they look like a guarded tool's. */
const PLAIN = /^[A-Za-z0-9_.-]{1,128}$/;

/** A name as a careless reader sees it: letters and digits, of one form and case. */
const folded = (name: string): string =>
  name
    .normalize("NFKD")
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}]/gu, "");

/**
 * Reads the configuration of a guard in front of an MCP server, from JSON text. A tool that is not configured is hidden,
 * unless `others` says another thing. One whose name only differs from that of a guarded, hidden or refused tool by case,
 * hyphens, dots or signs out of sight is hidden always.
 *
 * Throws Proof402Error `guard_config`, with the field's path.
 *
 * @example
 * ```ts
 * import { parseGuardConfig } from "proof402";
 *
 * const config = parseGuardConfig(`{
 *   "server": "bank",
 *   "tools": {
 *     "get_balance": "pass",
 *     "transfer": {
 *       "assurance": "attested",
 *       "maxAge": 300,
 *       "bind": { "rules": [{ "check": { "argument": "/amount" }, "atMost": { "answer": "/limit" } }] }
 *     }
 *   }
 * }`);
 * config.ruleOf("close_account"); // "hide"
 * ```
 */
export function parseGuardConfig(text: string): GuardConfig {
  const json = exactJson(text);
  if ("problem" in json) throw wrong("", json.problem);
  const { tools: written, ...rest } = read(whole, json.value, []);
  const tools = new Map(Object.entries(written).map(([name, rule]) => [name, ruleIn(name, rule)]));
  const guarded = new Map(
    [...tools].filter(([, rule]) => typeof rule === "object").map(([name]) => [folded(name), name]),
  );
  if (guarded.size === 0) throw wrong("tools", "None of them is guarded.");
  for (const [name, rule] of tools) {
    const like = guarded.get(folded(name));
    if (like !== undefined && like !== name && rule !== "hide")
      throw wrong(
        `tools/${name}`,
        `Its name is too much like that of the guarded tool ${JSON.stringify(like)}: only "hide" will do.`,
      );
  }
  const kept = new Set([...tools].filter(([, rule]) => rule !== "pass").map(([name]) => folded(name)));
  return {
    ...rest,
    tools,
    ruleOf(name) {
      const known = tools.get(name);
      if (known !== undefined) return known;
      return PLAIN.test(name) && !kept.has(folded(name)) ? rest.others : "hide";
    },
  };
}

function ruleIn(name: string, rule: unknown): Other | GuardedToolConfig {
  const path = ["tools", name];
  if (typeof rule === "string") return read(z.enum(OTHERS), rule, path);
  const { bind, ...required } = read(guardedTool, rule, path);
  try {
    return { ...required, bind: readRules(bind) };
  } catch (error) {
    throw Proof402Error.isInstance(error) ? wrong([...path, "bind"].join("/"), error.message) : error;
  }
}

function read<T>(schema: z.ZodType<T>, value: unknown, path: readonly string[]): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw wrong([...path, ...(issue?.path ?? [])].join("/"), `${issue?.message ?? "Another form"}.`);
}

const wrong = (path: string, why: string): Proof402Error =>
  new Proof402Error("guard_config", `The guard's configuration cannot be used. At ${path || "the top"}: ${why}`, {
    next: "Correct the file. docs/guard-proxy.md in the package explains each field.",
  });
