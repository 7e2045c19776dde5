import { homedir } from "node:os";
import { join } from "node:path";
import type { Addition } from "./lines.ts";

/** What a client needs to reach the proxy. */
export type Reach = { baseUrl: string; token: string; model: string };

/** A program that can be pointed at the proxy. */
export type Client = {
  /** Completes "Start ... ". */
  name: string;
  /** Its file, where the command names none. */
  file: () => string;
  /** Whether its file names a model. */
  needsModel: boolean;
  /** What its user has to know beside the file. */
  hint?: (model: string) => string;
  addition: (reach: Reach) => Addition;
};

const environment = (base: string, hint: string): Omit<Client, "name"> => ({
  file: () => ".env",
  needsModel: false,
  hint: () => hint,
  addition: ({ baseUrl, token }) => ({
    kind: "lines",
    keys: [base, "OPENAI_API_KEY"],
    lines: [`${base}=${baseUrl}`, `OPENAI_API_KEY=${token}`],
  }),
});

/**
 * The clients by the command's word. Sources: aider's docs/config/aider_conf, continue's docs/reference (config.yaml), Open
 * WebUI's environment variables, LiteLLM's proxy configuration, the AI SDK's OpenAI provider.
 */
export const CLIENTS: Readonly<Record<string, Client>> = {
  aider: {
    name: "aider",
    file: () => join(homedir(), ".aider.conf.yml"),
    needsModel: false,
    hint: (model) => `aider sends models here by their prefix: aider --model openai/${model === "" ? "NAME" : model}`,
    addition: ({ baseUrl, token, model }) => ({
      kind: "lines",
      keys: ["openai-api-base", "openai-api-key", ...(model === "" ? [] : ["model"])],
      lines: [
        `openai-api-base: ${baseUrl}`,
        `openai-api-key: ${token}`,
        ...(model === "" ? [] : [`model: ${JSON.stringify(`openai/${model}`)}`]),
      ],
    }),
  },
  continue: {
    name: "Continue",
    file: () => join(homedir(), ".continue", "config.yaml"),
    needsModel: true,
    addition: ({ baseUrl, token, model }) => ({
      kind: "item",
      list: "models",
      head: ["name: Local", "version: 1.0.0", "schema: v1"],
      lines: [
        `- name: ${JSON.stringify(`${model} (proof402)`)}`,
        "  provider: openai",
        `  model: ${JSON.stringify(model)}`,
        `  apiBase: ${baseUrl}`,
        `  apiKey: ${token}`,
      ],
    }),
  },
  "open-webui": {
    name: "Open WebUI",
    ...environment(
      "OPENAI_API_BASE_URL",
      "Open WebUI reads these at its first start alone, and keeps them. Later, set the connection in its admin settings, or start it with ENABLE_PERSISTENT_CONFIG=False.",
    ),
  },
  litellm: {
    name: "LiteLLM's proxy",
    file: () => "config.yaml",
    needsModel: true,
    addition: ({ baseUrl, token, model }) => ({
      kind: "item",
      list: "model_list",
      lines: [
        `- model_name: ${JSON.stringify(model)}`,
        "  litellm_params:",
        `    model: ${JSON.stringify(`openai/${model}`)}`,
        `    api_base: ${baseUrl}`,
        `    api_key: ${token}`,
      ],
    }),
  },
  "ai-sdk": {
    name: "your program",
    ...environment(
      "OPENAI_BASE_URL",
      "Name models as openai.chat(NAME): openai(NAME) asks for the Responses API, and the proxy does not serve that.",
    ),
  },
};
