import type { JSONRPCRequest, JSONRPCResponse } from "@modelcontextprotocol/server";
import type { GuardConfig, GuardedToolConfig, JsonSchema } from "proof402";
import { callDigest, Proof402Error } from "proof402/tools";
import { GUARD_META, metaOf, protocolMeta, withoutGuardKeys } from "./messages.ts";
import { lost } from "./upstream.ts";

/** A tool as the server lists it. */
export type ListedTool = Readonly<Record<string, unknown>> & { name: string; inputSchema: JsonSchema };

/** The tools of a server, as the guard has seen and shown them. */
export type Catalog = {
  /** All tools as the client may see them, with the other fields of the server's listing. Asks the server each time. */
  listed(request: JSONRPCRequest): Promise<Record<string, unknown>>;
  /** A guarded tool as the server lists it at this moment, unchanged since it was seen first. */
  guarded(name: string, request: JSONRPCRequest): Promise<ListedTool>;
  /** Whether the server listed a tool of this name when it was first asked. */
  wasThere(name: string, request: JSONRPCRequest): Promise<boolean>;
};

const MAX_PAGES = 100;
const MAX_TOOLS = 10_000;

/** The library's `withReceiptId`, loaded at the first listing: the store and the verifier come with it. */
type AddReceiptId = (name: string, schema: JsonSchema) => JsonSchema;
const receiptIds = async (): Promise<AddReceiptId> => (await import("proof402")).withReceiptId;

type Listing = { tools: ListedTool[]; rest: Record<string, unknown> };

/**
 * Holds a server to its first listing. It must have all tools of the configuration, each guarded one once, with a schema
 * for a receipt's id. Later tools are hidden. A changed guarded tool refuses.
 */
export function createCatalog(
  config: GuardConfig,
  ask: (request: Omit<JSONRPCRequest, "id" | "jsonrpc">) => Promise<JSONRPCResponse>,
): Catalog {
  /** The names of the first listing, and of each guarded tool in it the digest of its schema. */
  let first: { names: ReadonlySet<string>; schemas: ReadonlyMap<string, string> } | null = null;

  async function fetched(
    request: JSONRPCRequest,
  ): Promise<Listing & { seen: NonNullable<typeof first>; add: AddReceiptId }> {
    const [listing, add] = await Promise.all([allTools(ask, request), receiptIds()]);
    first ??= holdTo(listing.tools, config, add);
    return { ...listing, seen: first, add };
  }

  return {
    async listed(request) {
      const { tools, rest, seen, add } = await fetched(request);
      const shown = tools.flatMap((tool) => {
        const rule = config.ruleOf(tool.name);
        if (typeof rule === "object")
          return isUnchanged(tools, tool.name, seen.schemas) ? [guardedDefinition(tool, rule, add)] : [];
        return rule !== "hide" && seen.names.has(tool.name) ? [tool] : [];
      });
      return { ...rest, tools: shown };
    },
    async guarded(name, request) {
      const { tools, seen } = await fetched(request);
      const tool = tools.find((one) => one.name === name);
      if (tool !== undefined && isUnchanged(tools, name, seen.schemas)) return tool;
      throw new Proof402Error(
        "guard_tool_changed",
        `The server changed ${JSON.stringify(name)} since it was seen first.`,
        {
          next: "Do not use it. Its owner looks at what changed, and starts the guard again.",
        },
      );
    },
    wasThere: async (name, request) => (first ?? (await fetched(request)).seen).names.has(name),
  };
}

/** Every page of the server's list, asked for with what the client's request says of the protocol. */
export async function allTools(
  ask: (request: Omit<JSONRPCRequest, "id" | "jsonrpc">) => Promise<JSONRPCResponse>,
  request: JSONRPCRequest,
): Promise<Listing> {
  const { progressToken: _none, ...meta } = protocolMeta(metaOf(request.params));
  const tools: ListedTool[] = [];
  let rest: Record<string, unknown> | null = null;
  let cursor: unknown;
  for (let page = 0; page < MAX_PAGES; page += 1) {
    const params = {
      ...(Object.keys(meta).length > 0 ? { _meta: meta } : {}),
      ...(cursor === undefined ? {} : { cursor }),
    };
    const answer = await ask({ method: "tools/list", params });
    if ("error" in answer) throw lost(`does not list its tools: ${answer.error.message.slice(0, 200)}`);
    const { tools: found, nextCursor, ...others } = withoutGuardKeys(answer.result) as Record<string, unknown>;
    rest ??= others;
    if (!Array.isArray(found) || !found.every(isTool)) throw lost("lists tools of another form");
    tools.push(...found);
    if (tools.length > MAX_TOOLS) break;
    if (nextCursor === undefined || nextCursor === null) return { tools, rest };
    cursor = nextCursor;
  }
  throw lost(`lists more than ${MAX_PAGES} pages or ${MAX_TOOLS} tools`);
}

const isTool = (value: unknown): value is ListedTool =>
  typeof value === "object" &&
  value !== null &&
  typeof (value as ListedTool).name === "string" &&
  typeof (value as ListedTool).inputSchema === "object" &&
  (value as ListedTool).inputSchema !== null;

/** Why a tool that the configuration names cannot be used, for each. */
export async function problemsOf(
  tools: readonly ListedTool[],
  config: GuardConfig,
): Promise<Map<string, Proof402Error>> {
  return problemsIn(tools, config, await receiptIds());
}

function problemsIn(tools: readonly ListedTool[], config: GuardConfig, add: AddReceiptId): Map<string, Proof402Error> {
  const problems = new Map<string, Proof402Error>();
  for (const [name, rule] of config.tools) {
    const found = tools.filter((tool) => tool.name === name);
    const [tool] = found;
    if (tool === undefined) {
      // Where others pass, a misspelt name would leave the tool itself open.
      if (rule !== "hide" || config.others === "pass")
        problems.set(
          name,
          new Proof402Error("guard_tool_missing", `The server has no tool ${JSON.stringify(name)}.`, {
            next: "Correct the name in the guard's configuration: proof402 guard serve --check shows the server's tools.",
          }),
        );
    } else if (typeof rule === "object") {
      const problem = problemOf(found, tool, rule, add);
      if (problem !== null) problems.set(name, problem);
    }
  }
  return problems;
}

function problemOf(
  found: readonly ListedTool[],
  tool: ListedTool,
  rule: GuardedToolConfig,
  add: AddReceiptId,
): Proof402Error | null {
  const unfit = (why: string): Proof402Error =>
    new Proof402Error("guard_schema", `The tool ${JSON.stringify(tool.name)} cannot be guarded: ${why}.`, {
      next: "Hide it in the guard's configuration, or have its server offer it in another form.",
    });
  if (found.length > 1) return unfit("its server lists it more than once");
  const { execution } = tool as { execution?: { taskSupport?: unknown } };
  if (execution?.taskSupport === "required") return unfit("it only runs as a task, whose end is not seen");
  if (rule.schema !== undefined && rule.schema !== schemaDigest(tool))
    return new Proof402Error(
      "guard_tool_changed",
      `The input schema of ${JSON.stringify(tool.name)} is not the one pinned in the configuration.`,
      { next: "Look at what changed: proof402 guard serve --check shows its digest." },
    );
  try {
    guardedDefinition(tool, rule, add);
    return null;
  } catch (error) {
    if (Proof402Error.isInstance(error)) return error;
    return unfit("its schema cannot be read");
  }
}

function holdTo(
  tools: readonly ListedTool[],
  config: GuardConfig,
  add: AddReceiptId,
): { names: ReadonlySet<string>; schemas: ReadonlyMap<string, string> } {
  const [problem] = problemsIn(tools, config, add).values();
  if (problem !== undefined) throw problem;
  const guarded = tools.filter(({ name }) => typeof config.tools.get(name) === "object");
  return {
    names: new Set(tools.map(({ name }) => name)),
    schemas: new Map(guarded.map((tool) => [tool.name, schemaDigest(tool)])),
  };
}

function isUnchanged(tools: readonly ListedTool[], name: string, schemas: ReadonlyMap<string, string>): boolean {
  const found = tools.filter((tool) => tool.name === name);
  return found.length === 1 && found.every((tool) => schemaDigest(tool) === schemas.get(name));
}

/** Names an input schema in any order of its keys, for a configuration to pin. */
export const schemaDigest = ({ inputSchema }: ListedTool): string => callDigest([inputSchema]);

function guardedDefinition(tool: ListedTool, { assurance, spends }: GuardedToolConfig, add: AddReceiptId): ListedTool {
  // How its server would run it as a task is not offered: the end of a task is not seen.
  const { execution: _execution, ...own } = tool;
  const allows =
    spends === "once"
      ? "Each receipt allows one action."
      : `Each receipt allows ${spends.times} actions of the kind ${spends.kind}.`;
  const needs = `Needs receipt_id: a verified proof402 receipt (assurance ${assurance}) whose answer justifies the arguments. ${allows}`;
  const { description } = own;
  return {
    ...own,
    name: tool.name,
    description: typeof description === "string" ? `${description} ${needs}` : needs,
    inputSchema: add(tool.name, tool.inputSchema),
    _meta: { ...metaOf(own), [GUARD_META.guarded]: true },
  };
}
