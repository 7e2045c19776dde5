/** A request to an upstream, of a chat or a completion. */
export type Wish = {
  messages: readonly { role: string; text: string }[];
  tools: readonly { name: string; parameters?: unknown }[];
  choice: "none" | "auto" | "required" | { name: string };
  /** An answer in JSON, by a schema if there is one; null for text. */
  format: { schema: unknown } | null;
  stops: readonly string[];
  most: number | null;
};

export type Call = { id: string; name: string; arguments: string };

/** An answer: text, or calls of tools. */
export type Said = { text: string; calls: readonly Call[]; reason: "stop" | "length" | "tool_calls" };

const MAX_WORDS = 100_000;
const MAX_DEPTH = 12;

/** A text's tokens: its words, each with the space before it. Joined they are the text. */
export const tokensIn = (text: string): string[] => text.match(/\s*\S+|\s+$/g) ?? [];

/**
 * The answer to a wish, by these rules:
 *
 * - A last message with a tool's name in it ("use get_price") gets a call of that tool, as does a choice that requires one.
 *   Its arguments are the first JSON object in the message, or an example by the tool's schema.
 * - A wish for JSON gets an example by its schema, or `{"answer": TEXT}`.
 * - "Write 500 words" gets so many words.
 * - "Say only: TEXT" gets the text.
 * - The result of a tool gets "The tool says: RESULT".
 * - Everything else gets "You said: TEXT".
 *
 * A stop sequence and the most tokens cut the text.
 */
export function answerTo(wish: Wish): Said {
  const last = wish.messages.at(-1) ?? { role: "user", text: "" };
  const tool = toolFor(wish, last);
  if (tool !== undefined) {
    const given = objectIn(last.text) ?? exampleOf(tool.parameters, last.text, tool.parameters);
    const args = JSON.stringify(given ?? {});
    return { text: "", calls: [{ id: `call_${tool.name}_1`, name: tool.name, arguments: args }], reason: "tool_calls" };
  }
  const { text, isCut } = shortened(wordsFor(wish, last), wish);
  return { text, calls: [], reason: isCut ? "length" : "stop" };
}

function toolFor({ tools, choice }: Wish, last: Wish["messages"][number]): Wish["tools"][number] | undefined {
  if (choice === "none") return undefined;
  if (typeof choice === "object") return tools.find(({ name }) => name === choice.name);
  const named = last.role === "user" ? tools.find(({ name }) => last.text.includes(name)) : undefined;
  return named ?? (choice === "required" ? tools[0] : undefined);
}

function wordsFor({ format }: Wish, { role, text }: Wish["messages"][number]): string {
  if (format !== null) return JSON.stringify(exampleOf(format.schema, text, format.schema) ?? { answer: text });
  if (role === "tool" || role === "function") return `The tool says: ${text}`;
  const count = /\b(\d{1,6}) words\b/.exec(text)?.[1];
  if (count !== undefined)
    return Array.from({ length: Math.min(Number(count), MAX_WORDS) }, (_, at) => `word${at + 1}`).join(" ");
  const only = /^Say only: ([^]*)$/.exec(text)?.[1];
  return only ?? `You said: ${text}`;
}

function shortened(text: string, { stops, most }: Wish): { text: string; isCut: boolean } {
  const ends = stops.filter((stop) => stop !== "").map((stop) => text.indexOf(stop));
  const end = Math.min(text.length, ...ends.filter((at) => at >= 0));
  const tokens = tokensIn(text.slice(0, end));
  const isCut = most !== null && tokens.length > most;
  return { text: (isCut ? tokens.slice(0, most) : tokens).join(""), isCut };
}

/** The first JSON object that a text holds, or undefined. */
function objectIn(text: string): object | undefined {
  const found = /\{[^]*\}/.exec(text)?.[0];
  if (found === undefined) return undefined;
  try {
    return JSON.parse(found) as object;
  } catch {
    return undefined;
  }
}

type Schema = Readonly<Record<string, unknown>>;

/** An example of a JSON Schema: its texts are `text`, its numbers the least that fit. Undefined for what is no schema. */
function exampleOf(schema: unknown, text: string, root: unknown, depth = MAX_DEPTH): unknown {
  if (!isRecord(schema) || depth === 0) return undefined;
  const inner = (one: unknown): unknown => exampleOf(one, text, root, depth - 1);
  if (typeof schema["$ref"] === "string") return inner(definitionOf(schema["$ref"], root));
  if ("const" in schema) return schema["const"];
  if (Array.isArray(schema["enum"])) return schema["enum"][0] as unknown;
  const [choice] = [schema["anyOf"], schema["oneOf"]].flatMap((one): unknown[] => (Array.isArray(one) ? one : []));
  if (choice !== undefined) return inner(choice);
  const type: unknown = Array.isArray(schema["type"]) ? schema["type"][0] : schema["type"];
  const least = typeof schema["minimum"] === "number" ? schema["minimum"] : 1;
  switch (type) {
    case "object":
      return objectOf(schema, inner);
    case "array":
      return [inner(schema["items"])].filter((one) => one !== undefined);
    case "string":
      return text.slice(0, typeof schema["maxLength"] === "number" ? schema["maxLength"] : undefined);
    case "integer":
      return Math.ceil(least);
    case "number":
      return least;
    case "boolean":
      return true;
    default:
      return null;
  }
}

function objectOf(schema: Schema, inner: (one: unknown) => unknown): object {
  const properties = isRecord(schema["properties"]) ? schema["properties"] : {};
  const required: unknown[] = Array.isArray(schema["required"]) ? schema["required"] : Object.keys(properties);
  const shown = Object.entries(properties).filter(([name]) => required.includes(name));
  return Object.fromEntries(shown.map(([name, one]) => [name, inner(one)]));
}

/** A schema's own definition (`#/$defs/NAME`), or undefined. */
function definitionOf(reference: string, root: unknown): unknown {
  const path = reference.startsWith("#/") ? reference.slice(2).split("/") : [];
  return path.reduce<unknown>((at, name) => (isRecord(at) && Object.hasOwn(at, name) ? at[name] : undefined), root);
}

const isRecord = (value: unknown): value is Schema =>
  typeof value === "object" && value !== null && !Array.isArray(value);
