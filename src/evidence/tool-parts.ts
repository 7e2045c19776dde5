import { isRecord } from "./record.ts";
import { membersIn } from "./json-text.ts";

/** The key in a call's `_meta` with the hash of its payment's terms, 64 characters of hex. Servers pass over keys that they do not know. */
export const TERMS_KEY = "proof402/terms";

/** The key in a result's `_meta` with its seller's signature: the headers of HTTP by their names. */
export const SIGNATURE_KEY = "proof402/signature";

/** The key in a listed tool's `_meta` with the model behind it: its digest and price. */
export const METADATA_KEY = "proof402/model";

/** The name of a tool (Model Context Protocol 2026-07-28, tools, tool names). */
export const TOOL_NAME = /^[A-Za-z0-9_.-]{1,128}$/;

const asObject = (parts: readonly (readonly [name: string, text: string])[]): string =>
  `{${parts.map(([name, text]) => `${JSON.stringify(name)}:${text}`).join(",")}}`;

/**
 * The part of a `tools/call` that is hashed and signed, from the text of its `params` (Model Context Protocol, tools, `CallToolRequest`):
 * `{"name":…,"arguments":…,"_meta":{"proof402/terms":…}}`. Each value is the exact text that was sent. Members are in this order, without
 * whitespace between them, and one that was not sent is left out. The rest of `_meta` is left out: it holds the payment, which names
 * the hash of the terms, and the keys of the protocol's era, which a second sending may have otherwise.
 *
 * Null for a text that is no such object.
 */
export function requestPartOf(params: string): string | null {
  const members = membersIn(params);
  const name = members?.get("name");
  if (members === null || name === undefined) return null;
  const asked = members.get("arguments");
  const terms = membersIn(members.get("_meta") ?? "")?.get(TERMS_KEY);
  return asObject([
    ["name", name],
    ...(asked === undefined ? [] : [["arguments", asked] as const]),
    ...(terms === undefined ? [] : [["_meta", asObject([[TERMS_KEY, terms]])] as const]),
  ]);
}

/** A call's `params` on the wire: the part that is hashed, with more keys in its `_meta` after the one that it has. */
export const paramsWith = (part: string, meta: Readonly<Record<string, unknown>>): string => {
  const more = JSON.stringify(meta).slice(1, -1);
  return more === "" ? part : `${part.slice(0, -2)},${more}}}`;
};

/** The members of a result with its answer (Model Context Protocol, tools, `CallToolResult`). */
const ANSWERING = ["content", "structuredContent", "isError"] as const;

/**
 * The part of a result that is hashed and signed, from the text of `result`: `{"content":…,"structuredContent":…,"isError":…}`. Each value
 * is the exact text that came. Members are in this order, without whitespace between them, and one that did not come is left
 * out. `_meta` is left out: it holds the settlement, and the signature of this part.
 *
 * Null for a text that is no object, or one with a member named twice.
 */
export function responsePartOf(result: string): string | null {
  const members = membersIn(result);
  if (members === null) return null;
  return asObject(
    ANSWERING.flatMap((name) => {
      const text = members.get(name);
      return text === undefined ? [] : [[name, text] as const];
    }),
  );
}

/** The text of a block of content, or null for a block of another type. */
const textOfBlock = (block: unknown): string | null =>
  isRecord(block) && block["type"] === "text" && typeof block["text"] === "string" ? block["text"] : null;

/** The texts of a result's content, or null if it has blocks of other types. */
export function textsIn(content: readonly unknown[]): string[] | null {
  const texts = content.map(textOfBlock);
  return texts.every((text) => text !== null) ? texts : null;
}
