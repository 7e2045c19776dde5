import {
  acceptedContent,
  CLIENT_CAPABILITIES_META_KEY,
  completable,
  createRequestStateCodec,
  inputRequired,
  inputResponse,
  McpServer,
  ResourceTemplate,
  type CallToolResult,
  type ServerContext,
} from "@modelcontextprotocol/server";
import * as z from "zod";

// The tools, resources and prompts of MCP's conformance suite, by the descriptions of its scenarios. They stand on the HTTP
// stack that the product serves with: what the suite judges is that stack.

/** A PNG of one pixel, and a WAV without a sample. */
const PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGP4z8DwHwAFAAH/iZk9HQAAAABJRU5ErkJggg==";
const WAV = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA=";

const text = (words: string) => ({ type: "text" as const, text: words });
const said = (words: string): CallToolResult => ({ content: [text(words)] });
const image = { type: "image" as const, data: PNG, mimeType: "image/png" };
const none = z.object({});
const ofStrings = (...names: string[]) => ({
  type: "object" as const,
  properties: Object.fromEntries(names.map((name) => [name, { type: "string" as const }])),
  required: names,
});

/** Shared by all servers: a question's rounds come over several. */
const state = createRequestStateCodec<{ step: string }>({
  key: crypto.getRandomValues(new Uint8Array(32)),
  ttlSeconds: 600,
});

/** A server with all fixtures of an era. */
export function createFixtures(era: "legacy" | "modern"): McpServer {
  const server = new McpServer(
    { name: "conformance-fixtures", version: "1.0.0" },
    {
      capabilities: {
        tools: { listChanged: false },
        resources: { subscribe: true, listChanged: false },
        prompts: { listChanged: false },
        completions: {},
        logging: {},
      },
      requestState: { verify: (given, context) => state.verify(given, context) },
      cacheHints: {
        "tools/list": { ttlMs: 60_000 },
        "prompts/list": { ttlMs: 60_000 },
        "resources/list": { ttlMs: 1000 },
        "resources/templates/list": { ttlMs: 60_000 },
        "resources/read": { ttlMs: 1000 },
      },
    },
  );
  addContent(server);
  addResources(server);
  addPrompts(server);
  addAsides(server);
  addQuestions(server);
  if (era === "legacy") {
    server.server.setRequestHandler("resources/subscribe", () => ({}));
    server.server.setRequestHandler("resources/unsubscribe", () => ({}));
    addPushed(server);
  }
  return server;
}

function addContent(server: McpServer): void {
  const contents: Record<string, CallToolResult["content"]> = {
    test_simple_text: [text("This is a simple text response for testing.")],
    test_image_content: [image],
    test_audio_content: [{ type: "audio", data: WAV, mimeType: "audio/wav" }],
    test_embedded_resource: [
      {
        type: "resource",
        resource: {
          uri: "test://embedded-resource",
          mimeType: "text/plain",
          text: "This is an embedded resource content.",
        },
      },
    ],
    test_multiple_content_types: [
      text("Multiple content types test:"),
      image,
      {
        type: "resource",
        resource: {
          uri: "test://mixed-content-resource",
          mimeType: "application/json",
          text: '{"test":"data","value":123}',
        },
      },
    ],
  };
  for (const [name, content] of Object.entries(contents))
    server.registerTool(name, { description: "Returns fixed content", inputSchema: none }, () => ({ content }));
  server.registerTool("test_error_handling", { description: "Fails", inputSchema: none }, () => {
    throw new Error("This tool intentionally returns an error for testing");
  });
}

const pause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 50));

function addAsides(server: McpServer): void {
  server.registerTool(
    "test_tool_with_progress",
    { description: "Tells its progress", inputSchema: none },
    async (_args, { mcpReq }) => {
      const progressToken = mcpReq._meta?.progressToken;
      for (const progress of [0, 50, 100]) {
        if (progressToken !== undefined)
          await mcpReq.notify({ method: "notifications/progress", params: { progressToken, progress, total: 100 } });
        await pause();
      }
      return said("done");
    },
  );
  server.registerTool(
    "test_tool_with_logging",
    { description: "Logs while it runs", inputSchema: none },
    async (_args, { mcpReq }) => {
      for (const data of ["Tool execution started", "Tool processing data", "Tool execution completed"]) {
        await mcpReq.notify({ method: "notifications/message", params: { level: "info", data } });
        await pause();
      }
      return said("done");
    },
  );
  server.registerTool(
    "test_logging_tool",
    { description: "Logs one line where logging was asked for", inputSchema: none },
    async (_args, { mcpReq }) => {
      // oxlint-disable-next-line typescript/no-deprecated -- what is judged is that none is sent unasked
      await mcpReq.log("info", "a line");
      return said("done");
    },
  );
  server.registerTool(
    "test_streaming_elicitation",
    { description: "Tells progress and asks", inputSchema: none },
    async (_args, context) => {
      const progressToken = context.mcpReq._meta?.progressToken;
      if (progressToken !== undefined)
        await context.mcpReq.notify({ method: "notifications/progress", params: { progressToken, progress: 1 } });
      return asked(context, "user_name", "What is your name?", "name") ?? said("done");
    },
  );
  server.registerTool(
    "test_missing_capability",
    { description: "Needs a client that samples", inputSchema: none },
    () => inputRequired({ inputRequests: { capital_question: inputRequired.createMessage(CAPITAL) } }),
  );
}

function addResources(server: McpServer): void {
  const at = (
    name: string,
    uri: string,
    contents: { mimeType: string } & ({ text: string } | { blob: string }),
  ): void =>
    void server.registerResource(name, uri, { title: name, mimeType: contents.mimeType }, () => ({
      contents: [{ uri, ...contents }],
    }));
  at("static-text", "test://static-text", {
    mimeType: "text/plain",
    text: "This is the content of the static text resource.",
  });
  at("static-binary", "test://static-binary", { mimeType: "image/png", blob: PNG });
  at("watched-resource", "test://watched-resource", { mimeType: "text/plain", text: "Watched." });
  server.registerResource(
    "template",
    new ResourceTemplate("test://template/{id}/data", { list: undefined }),
    { title: "template", mimeType: "application/json" },
    (uri, { id }) => ({
      contents: [
        {
          uri: uri.href,
          mimeType: "application/json",
          text: JSON.stringify({ id, templateTest: true, data: `Data for ID: ${String(id)}` }),
        },
      ],
    }),
  );
}

function addPrompts(server: McpServer): void {
  const user = (...contents: ({ type: "text"; text: string } | typeof image)[]) => ({
    messages: contents.map((content) => ({ role: "user" as const, content })),
  });
  server.registerPrompt("test_simple_prompt", { description: "A line" }, () =>
    user(text("This is a simple prompt for testing.")),
  );
  const word = (begun: string): string[] => ["paris", "park", "party"].filter((one) => one.startsWith(begun));
  server.registerPrompt(
    "test_prompt_with_arguments",
    {
      description: "Two arguments",
      argsSchema: z.object({ arg1: completable(z.string(), word), arg2: completable(z.string(), word) }),
    },
    ({ arg1, arg2 }) => user(text(`Prompt with arguments: arg1='${arg1}', arg2='${arg2}'`)),
  );
  server.registerPrompt(
    "test_prompt_with_embedded_resource",
    { description: "A resource", argsSchema: z.object({ resourceUri: z.string() }) },
    ({ resourceUri }) => ({
      messages: [
        {
          role: "user",
          content: {
            type: "resource",
            resource: { uri: resourceUri, mimeType: "text/plain", text: "Embedded resource content for testing." },
          },
        },
        { role: "user", content: text("Please process the embedded resource above.") },
      ],
    }),
  );
  server.registerPrompt("test_prompt_with_image", { description: "An image" }, () =>
    user(image, text("Please analyze the image above.")),
  );
  server.registerPrompt(
    "test_input_required_result_prompt",
    { description: "Asks for its context" },
    (context) =>
      asked(context, "user_context", "What context should the prompt use?", "context") ??
      user(text("In that context.")),
  );
}

const declares = ({ mcpReq }: ServerContext, capability: string): boolean => {
  const envelope: Readonly<Record<string, unknown>> | undefined = mcpReq.envelope;
  const capabilities = envelope?.[CLIENT_CAPABILITIES_META_KEY];
  return typeof capabilities === "object" && capabilities !== null && capability in capabilities;
};

/** The question for one string, or null once this round has its answer. */
function asked({ mcpReq }: ServerContext, key: string, message: string, field: string) {
  const answer = acceptedContent(mcpReq.inputResponses, key, z.object({ [field]: z.string() }));
  if (answer !== undefined) return null;
  return inputRequired({
    inputRequests: { [key]: inputRequired.elicit({ message, requestedSchema: ofStrings(field) }) },
  });
}

const CAPITAL = {
  messages: [{ role: "user" as const, content: text("What is the capital of France?") }],
  maxTokens: 100,
};
const GREETING = { messages: [{ role: "user" as const, content: text("Generate a greeting") }], maxTokens: 50 };
const NAME = () => inputRequired.elicit({ message: "What is your name?", requestedSchema: ofStrings("name") });

function addQuestions(server: McpServer): void {
  const tool = (name: string, run: (context: ServerContext) => unknown): void =>
    void server.registerTool(
      `test_input_required_result_${name}`,
      { description: "Asks its caller", inputSchema: none },
      (_args, context) => run(context) as Promise<CallToolResult>,
    );
  const has = ({ mcpReq }: ServerContext, key: string): boolean =>
    inputResponse(mcpReq.inputResponses, key).kind !== "missing";
  tool("elicitation", (context) => asked(context, "user_name", "What is your name?", "name") ?? said("Hello!"));
  tool("sampling", (context) =>
    has(context, "capital_question")
      ? said("The answer came.")
      : inputRequired({ inputRequests: { capital_question: inputRequired.createMessage(CAPITAL) } }),
  );
  tool("list_roots", (context) =>
    has(context, "client_roots")
      ? said(`Roots: ${JSON.stringify(context.mcpReq.inputResponses)}`)
      : inputRequired({ inputRequests: { client_roots: inputRequired.listRoots() } }),
  );
  const confirm = async () =>
    inputRequired({
      inputRequests: {
        confirm: inputRequired.elicit({
          message: "Please confirm",
          requestedSchema: { type: "object", properties: { ok: { type: "boolean" } }, required: ["ok"] },
        }),
      },
      requestState: await state.mint({ step: "confirm" }),
    });
  for (const name of ["request_state", "tampered_state"])
    tool(name, ({ mcpReq }) =>
      mcpReq.requestState<{ step: string }>()?.step === "confirm" ? said("state-ok") : confirm(),
    );
  tool("multiple_inputs", async (context) =>
    ["user_name", "greeting", "client_roots"].every((key) => has(context, key))
      ? said("All came.")
      : inputRequired({
          inputRequests: {
            user_name: NAME(),
            greeting: inputRequired.createMessage(GREETING),
            client_roots: inputRequired.listRoots(),
          },
          requestState: await state.mint({ step: "all" }),
        }),
  );
  tool("multi_round", async ({ mcpReq }) => {
    const step = mcpReq.requestState<{ step: string }>()?.step;
    if (step === "two") return said("Both came.");
    const [key, message, field, next] =
      step === "one"
        ? (["step2", "Step 2: What is your favorite color?", "color", "two"] as const)
        : (["step1", "Step 1: What is your name?", "name", "one"] as const);
    return inputRequired({
      inputRequests: { [key]: inputRequired.elicit({ message, requestedSchema: ofStrings(field) }) },
      requestState: await state.mint({ step: next }),
    });
  });
  tool("capabilities", (context) => {
    const requests = {
      ...(declares(context, "elicitation") ? { user_name: NAME() } : {}),
      ...(declares(context, "sampling") ? { capital_question: inputRequired.createMessage(CAPITAL) } : {}),
    };
    return Object.keys(requests).length === 0
      ? said("Nothing can be asked.")
      : inputRequired({ inputRequests: requests });
  });
}

/** Questions that a server of 2025 pushes while the call waits. */
function addPushed(server: McpServer): void {
  const ask = async (
    { mcpReq }: ServerContext,
    message: string,
    requestedSchema: object,
  ): Promise<{ action: string; content?: unknown }> =>
    mcpReq.send({
      method: "elicitation/create",
      params: { mode: "form", message, requestedSchema },
    });
  server.registerTool(
    "test_sampling",
    { description: "Has the client sample", inputSchema: z.object({ prompt: z.string() }) },
    async ({ prompt }, { mcpReq }) => {
      const { content } = await mcpReq.send({
        method: "sampling/createMessage",
        params: { messages: [{ role: "user", content: text(prompt) }], maxTokens: 100 },
      });
      const [part] = [content].flat();
      return said(`LLM response: ${part !== undefined && "text" in part ? part.text : ""}`);
    },
  );
  server.registerTool(
    "test_elicitation",
    { description: "Asks a person", inputSchema: z.object({ message: z.string() }) },
    async ({ message }, context) => {
      const { action, content } = await ask(context, message, ofStrings("username", "email"));
      return said(`User response: action=${action}, content=${JSON.stringify(content ?? {})}`);
    },
  );
  const options = (...titles: string[]) => titles.map((title, at) => ({ const: `value${at + 1}`, title }));
  const [one, two, three] = ["option1", "option2", "option3"];
  const FORMS = {
    test_elicitation_sep1034_defaults: {
      name: { type: "string", default: "John Doe" },
      age: { type: "integer", default: 30 },
      score: { type: "number", default: 95.5 },
      status: { type: "string", enum: ["active", "inactive", "pending"], default: "active" },
      verified: { type: "boolean", default: true },
    },
    test_elicitation_sep1330_enums: {
      untitledSingle: { type: "string", enum: [one, two, three] },
      titledSingle: { type: "string", oneOf: options("First Option", "Second Option", "Third Option") },
      legacyEnum: {
        type: "string",
        enum: ["opt1", "opt2", "opt3"],
        enumNames: ["Option One", "Option Two", "Option Three"],
      },
      untitledMulti: { type: "array", items: { type: "string", enum: [one, two, three] } },
      titledMulti: { type: "array", items: { anyOf: options("First Choice", "Second Choice", "Third Choice") } },
    },
  };
  for (const [name, properties] of Object.entries(FORMS))
    server.registerTool(name, { description: "Asks with a form", inputSchema: none }, async (_args, context) => {
      const { action, content } = await ask(context, "Please fill in", { type: "object", properties, required: [] });
      return said(`Elicitation completed: action=${action}, content=${JSON.stringify(content ?? {})}`);
    });
}
