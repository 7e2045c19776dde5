import { simulateReadableStream } from "ai";
import { MockLanguageModelV3 } from "ai/test";

const usage = {
  inputTokens: { total: 1, noCache: 1, cacheRead: 0, cacheWrite: 0 },
  outputTokens: { total: 1, text: 1, reasoning: 0 },
};

/** Calls of a tool, as a model gives them. */
export type ModelCall = { toolName: string; input: string };

/** A model that makes its calls, one list a step, and then says that it is done. */
export function scripted(...steps: ModelCall[][]): MockLanguageModelV3 {
  let step = 0;
  const next = () => {
    const calls = steps[step] ?? [];
    step += 1;
    const at = step;
    const made = calls.map((call, place) => ({
      type: "tool-call" as const,
      toolCallId: `call_${at}_${place}`,
      ...call,
    }));
    const finishReason = {
      unified: made.length === 0 ? ("stop" as const) : ("tool-calls" as const),
      raw: undefined,
    };
    return { made, finishReason };
  };
  return new MockLanguageModelV3({
    doGenerate: () => {
      const { made, finishReason } = next();
      const content = made.length === 0 ? [{ type: "text" as const, text: "done" }] : made;
      return Promise.resolve({ content, finishReason, usage, warnings: [] });
    },
    doStream: () => {
      const { made, finishReason } = next();
      const chunks = [
        { type: "stream-start" as const, warnings: [] },
        ...made,
        { type: "finish" as const, finishReason, usage },
      ];
      return Promise.resolve({
        stream: simulateReadableStream({ chunks, chunkDelayInMs: null, initialDelayInMs: null }),
      });
    },
  });
}
