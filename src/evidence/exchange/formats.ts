import type { ExchangeFormat } from "./format.ts";
import { mcpTool } from "./mcp-tool/mcp-tool.ts";
import { ollamaChat } from "./ollama/ollama-chat.ts";
import { oip } from "./oip.ts";
import { openAiChat } from "./openai-chat/openai-chat.ts";
import { plainChat } from "./openai-chat/plain-chat.ts";

/** The exchange format of each kind of seller, by the kind's name in configurations and receipts. */
export const FORMATS = {
  oip,
  opengradient: openAiChat,
  "openai-x402": plainChat,
  "marlin-oyster": ollamaChat,
  "mcp-tool": mcpTool,
} as const satisfies Record<string, ExchangeFormat>;

/** The format of a receipt's exchange, or null if this version does not know its kind of seller. */
export const formatOf = (provider: string): ExchangeFormat | null =>
  Object.hasOwn(FORMATS, provider) ? FORMATS[provider as keyof typeof FORMATS] : null;
