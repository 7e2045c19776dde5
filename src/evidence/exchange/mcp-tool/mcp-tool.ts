import { Proof402Error } from "../../../errors.ts";
import { jsonOf, textOf, utf8 } from "../../bytes.ts";
import { isBeyondDouble, parseStrictJson } from "../../exact-json.ts";
import { ambiguityOf, isAmbiguousJson, isInteroperable, membersIn } from "../../json-text.ts";
import { isRecord } from "../../record.ts";
import { unreadableAnswer, type Asked, type ExchangeFormat } from "../format.ts";
import { TERMS_KEY, textsIn } from "../../tool-parts.ts";

const NONCE = /^[0-9a-f]{64}$/;

/**
 * A call of a tool of an MCP server. Its model is the tool, its input the arguments. The bytes of both parts are those of
 * `requestPartOf` and `responsePartOf`: what was asked and answered, exactly as it was sent and received. A seller that signs, signs these.
 * The nonce is in `_meta`, so that it is no argument to the tool. No answer repeats it.
 */
export const mcpTool = {
  name: "MCP tool",
  carrier: "mcp",
  at: "/mcp",

  pathOf: () => "/mcp",

  describeInput: () => ({ arguments: "those of the tool, by name" }),

  writeRequest({ model, input, nonce, numbers = [] }) {
    if (!isInteroperable(input))
      throw new Proof402Error("invalid_input", "The input holds what JSON cannot carry, or is nested too deeply.", {
        next: "Give the tool's arguments by name, as plain JSON.",
      });
    const [name, meta] = [JSON.stringify(model), JSON.stringify({ [TERMS_KEY]: nonce })];
    return { headers: {}, body: utf8(`{"name":${name},"arguments":${argumentsText(input, numbers)},"_meta":${meta}}`) };
  },

  exampleInput: () => ({}),

  pricedBy(request) {
    const members = membersIn(textOf(request) ?? "");
    return JSON.stringify([members?.get("name") ?? null, members?.get("arguments") ?? null]);
  },

  readInput(request) {
    const asked = fieldsOf(request, parseStrictJson)?.["arguments"];
    return isRecord(asked) ? asked : null;
  },

  readAnswer(response) {
    if (isAmbiguousJson(response)) return unreadableAnswer(response, "inconsistent");
    const fields = fieldsOf(response);
    const content = fields?.["content"];
    if (fields === null || !Array.isArray(content)) return unreadableAnswer(response, "other_format");
    if (fields["isError"] === true) return unreadableAnswer(response, "states_error");
    // A number in place of a text is none, however it is held.
    const texts = textsIn(content);
    const exact = fieldsOf(response, parseStrictJson) ?? {};
    const [plain, structured] = [fields["structuredContent"], exact["structuredContent"]];
    const isRepeated = texts?.every((text) => isSameJson(text, plain, structured)) === true;
    return { readable: true, answer: answerOf(texts, exact["content"], structured, isRepeated) };
  },

  nonceIn(body, part) {
    const meta = part === "request" && !isAmbiguousJson(body) ? fieldsOf(body)?.["_meta"] : null;
    const nonce = isRecord(meta) ? meta[TERMS_KEY] : null;
    return typeof nonce === "string" && NONCE.test(nonce) ? nonce : null;
  },

  modelIn(body, part) {
    const name = part === "request" && !isAmbiguousJson(body) ? fieldsOf(body)?.["name"] : null;
    return typeof name === "string" ? name : null;
  },

  mustCarry: { request: ["nonce", "model"], response: [] },
  isAmbiguous: isAmbiguousJson,
} as const satisfies ExchangeFormat;

function fieldsOf(body: Uint8Array, parse?: (text: string) => unknown): Record<string, unknown> | null {
  const value = jsonOf(body, parse);
  return isRecord(value) ? value : null;
}

/**
 * Structured content as it is, if texts repeat it or there are none; texts as one text; anything else as it came. Numbers beyond
 * a double are texts.
 */
function answerOf(
  texts: readonly string[] | null,
  content: unknown,
  structured: unknown,
  isRepeated: boolean,
): Record<string, unknown> {
  if (structured === undefined) return texts === null ? { content } : { text: texts.join("\n") };
  return isRecord(structured) && isRepeated ? structured : { content, structuredContent: structured };
}

/** Compares plain and exact readings: the plain ones differ between a number and its text, the exact ones between two numbers. */
function isSameJson(text: string, plain: unknown, exact: unknown): boolean {
  const isAs = (one: unknown, other: unknown): boolean => JSON.stringify(one) === JSON.stringify(other);
  try {
    return ambiguityOf(text) === null && isAs(JSON.parse(text), plain) && isAs(parseStrictJson(text), exact);
  } catch {
    return false;
  }
}

/** Arguments as JSON text. A text in place of a number, at one of these places, becomes that number if a double would change it. */
function argumentsText(input: unknown, places: NonNullable<Asked["numbers"]>): string {
  const text = JSON.stringify(input);
  if (places.length === 0) return text;
  const numbers = new Set(places.map((place) => JSON.stringify(place)));
  const write = (value: unknown, place: readonly (string | null)[]): string => {
    if (Array.isArray(value)) {
      const item = [...place, null];
      return `[${value.map((one) => write(one, item)).join(",")}]`;
    }
    if (isRecord(value))
      return `{${Object.entries(value)
        .map(([name, one]) => `${JSON.stringify(name)}:${write(one, [...place, name])}`)
        .join(",")}}`;
    const isNumber = typeof value === "string" && isBeyondDouble(value) && numbers.has(JSON.stringify(place));
    return isNumber ? value : JSON.stringify(value);
  };
  return write(JSON.parse(text), []);
}
