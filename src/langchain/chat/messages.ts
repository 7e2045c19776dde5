import type { AIMessage, BaseMessage, ContentBlock, ToolMessage } from "@langchain/core/messages";
import { Proof402Error } from "../../errors.ts";

/** A message as a chat's input has it. */
type InputMessage = Record<string, unknown>;

/**
 * LangChain's messages as the `messages` of a chat's input. Names of AI and tool messages are LangChain's own labels and
 * stay here, as do artifacts and metadata. Any other name goes out, and the exchange format refuses it if sellers sign none.
 *
 * Throws Proof402Error `invalid_input` for a message or a content without a place in a chat.
 */
export const toInputMessages = (messages: readonly BaseMessage[]): InputMessage[] => messages.map(toInputMessage);

function toInputMessage(message: BaseMessage): InputMessage {
  if (isOfTool(message)) return { role: "tool", tool_call_id: message.tool_call_id, content: textIn(message, "tool") };
  if (isOfModel(message)) return assistantMessage(message);
  const type = typeOf(message);
  const role = ROLES[type];
  if (role === undefined) throw misfit(`A message of type "${type.slice(0, 64)}" has no place in a chat.`);
  const { name } = message;
  const content = role === "system" ? textIn(message, role) : userContent(message);
  return { role, content, ...(name === undefined ? {} : { name }) };
}

/** A message's type. LangChain 0.3 tells it by a call, and has neither the field nor `AIMessage.isInstance`. */
function typeOf(message: BaseMessage): string {
  const { type } = message as { type?: string };
  return type ?? message.getType(); // oxlint-disable-line typescript/no-deprecated -- LangChain 0.3 has no other
}

/** Whether a message is a model's, in every LangChain that is supported. */
export const isOfModel = (message: BaseMessage): message is AIMessage => typeOf(message) === "ai";
const isOfTool = (message: BaseMessage): message is ToolMessage => typeOf(message) === "tool";

const ROLES: Readonly<Record<string, "system" | "user">> = { system: "system", developer: "system", human: "user" };

function assistantMessage(message: AIMessage): InputMessage {
  const { tool_calls: calls = [], invalid_tool_calls: invalid = [] } = message;
  const made = [
    ...calls.map(({ id, name, args }) => ({ id, name, arguments: JSON.stringify(args) })),
    // The model wrote no JSON. It sees what it wrote.
    ...invalid.map(({ id, name, args }) => ({ id, name, arguments: args ?? "" })),
  ];
  const content = textIn(message, "assistant");
  if (made.length === 0) return { role: "assistant", content };
  return {
    role: "assistant",
    content,
    tool_calls: made.map(({ id = "", name = "", arguments: args }) => ({
      id,
      type: "function",
      function: { name, arguments: args },
    })),
  };
}

/** Blocks that repeat a message's own fields or are the model's notes. */
const REPEATED: readonly string[] = [
  "tool_use",
  "tool_call",
  "tool_call_chunk",
  "invalid_tool_call",
  "reasoning",
  "thinking",
];

/** A content of text alone. */
function textIn({ content }: BaseMessage, role: string): string {
  if (typeof content === "string") return content;
  const texts = content.flatMap((block) => {
    if (block.type === "text" && typeof block["text"] === "string") return [block["text"]];
    if (role === "assistant" && REPEATED.includes(block.type)) return [];
    throw misfit(`A content block "${block.type.slice(0, 64)}" has no place in a message of role ${role}.`);
  });
  return texts.join("");
}

/** A user's content: text, or the parts of OpenAI's API. */
function userContent({ content }: BaseMessage): unknown {
  return typeof content === "string" ? content : content.map(userPart);
}

const PARTS: readonly string[] = ["text", "image_url", "input_audio", "file"];

function userPart(block: ContentBlock): unknown {
  if (block.type === "image") {
    const { url, data, mimeType } = block as ContentBlock.Multimodal.Image;
    if (typeof url === "string") return { type: "image_url", image_url: { url } };
    if (typeof data === "string")
      return { type: "image_url", image_url: { url: `data:${mimeType ?? "image/png"};base64,${data}` } };
  }
  if (PARTS.includes(block.type)) return block;
  throw misfit(`A content block "${block.type.slice(0, 64)}" has no place in a message of a user.`);
}

const misfit = (message: string): Proof402Error =>
  new Proof402Error("invalid_input", message, {
    next: "Use system, human, AI and tool messages with text, and image_url blocks in human ones.",
  });
