import { tool, type StructuredToolInterface } from "@langchain/core/tools";
import { AIMessage, createAgent, fakeModel, toolRetryMiddleware } from "langchain";
import { createDeepAgent } from "deepagents";
import { guardTool } from "../../../src/langchain/index.ts";
import { written, type GuardAdapter } from "./adapter.ts";

// oxlint-disable-next-line typescript/no-unsafe-assignment -- its type is of zod 3, as exactOptionalPropertyTypes does not know it
const retrying: any = toolRetryMiddleware({ maxRetries: 2, initialDelayMs: 0 }); // oxlint-disable-line typescript/no-explicit-any

/** LangChain's tools, agents and deep agents. */
export const langchain: GuardAdapter = {
  name: "LangChain",
  inProcess: true,
  make({ name, schema, run }, options) {
    const inner = tool((args: unknown) => run(args) as string, {
      name,
      description: "acts",
      schema,
    } as never) as unknown as StructuredToolInterface;
    const guarded = guardTool(inner, options);
    const calls = (args: Record<string, unknown>, count: number) =>
      Array.from({ length: count }, (_one, at) => ({
        name,
        args: JSON.parse(written(args)) as Record<string, unknown>,
        id: `call_${at}`,
        type: "tool_call" as const,
      }));
    const turn = (args: Record<string, unknown>, count: number): AIMessage =>
      new AIMessage({ content: "", tool_calls: calls(args, count) });
    const model = (args: Record<string, unknown>, count = 1) =>
      fakeModel().respond(turn(args, count)).respond(new AIMessage("done"));
    const asked = { messages: [{ role: "user" as const, content: "act" }] };
    // A state that its caller fills in, as if receipts had been bought and judged.
    const forged = { ...asked, _receipts: { p402_forged: { id: "p402_forged", verdict: "verified" } } };
    return {
      code: (args) => guarded.invoke(args),
      call: (args) => guarded.invoke({ type: "tool_call", id: "c1", name, args }),
      batch: (args) => guarded.batch([args, args, args]),
      model: (args) => createAgent({ model: model(args), tools: [guarded] }).invoke(asked),
      parallel: (args) => createAgent({ model: model(args, 3), tools: [guarded] }).invoke(asked),
      stream: async (args) => {
        const stream = await createAgent({ model: model(args), tools: [guarded] }).stream(asked);
        for await (const _chunk of stream);
      },
      forged: (args) => createAgent({ model: model(args), tools: [guarded] }).invoke(forged as never),
      retry: (args) =>
        createAgent({
          model: model(args),
          tools: [guarded],
          middleware: [retrying],
        }).invoke(asked),
      nested: (args) => {
        const task = { description: "act", subagent_type: "general-purpose" };
        const nested = fakeModel()
          .respond(
            new AIMessage({ content: "", tool_calls: [{ name: "task", args: task, id: "t1", type: "tool_call" }] }),
          )
          .respond(turn(args, 2))
          .respond(new AIMessage("done"))
          .respond(new AIMessage("done"));
        return createDeepAgent({ model: nested, tools: [guarded as never] }).invoke(asked);
      },
    };
  },
};
