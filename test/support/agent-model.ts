import {
  setTracingDisabled,
  Usage,
  type AgentOutputItem,
  type Model,
  type ModelResponse,
  type StreamEvent,
} from "@openai/agents";

setTracingDisabled(true);

/** Calls of a tool, as a model gives them. */
export type ModelCall = { name: string; arguments: string };

/** A model that makes its calls, one list a turn, and then says that it is done. */
export function scripted(...turns: ModelCall[][]): Model {
  let turn = 0;
  const next = (): ModelResponse => {
    const calls = turns[turn] ?? [];
    turn += 1;
    const output: AgentOutputItem[] = calls.map((call, at) => ({
      type: "function_call",
      callId: `call_${turn}_${at}`,
      status: "completed",
      ...call,
    }));
    if (output.length === 0)
      output.push({
        type: "message",
        role: "assistant",
        status: "completed",
        content: [{ type: "output_text", text: "done" }],
      });
    return { usage: new Usage(), output };
  };
  return {
    getResponse: () => Promise.resolve(next()),
    async *getStreamedResponse(): AsyncIterable<StreamEvent> {
      const { output } = next();
      yield await Promise.resolve({
        type: "response_done",
        response: { id: crypto.randomUUID(), output, usage: { inputTokens: 1, outputTokens: 1, totalTokens: 2 } },
      } as StreamEvent);
    },
  };
}
