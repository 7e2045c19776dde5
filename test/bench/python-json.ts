import { dumpPythonJson, readPythonJson } from "../../src/evidence/exchange/python-json.ts";
import { interleaved, row, type Arm, type Line } from "./measure.ts";

const PROSE = 'She said: "a fox jumps over the lazy dog." Then nothing.\n'.repeat(30);
const TARGET = 50;

/** A megabyte of chat, as a request has it: prose, characters beyond ASCII, and tools with numbers. */
const bodyOf = (text: string): string =>
  JSON.stringify({
    model: "m",
    messages: Array.from({ length: Math.floor(1e6 / Buffer.byteLength(JSON.stringify(text))) }, () => ({
      role: "user",
      content: text,
    })),
    tools: Array.from({ length: 16 }, (_, at) => ({
      type: "function",
      function: {
        name: `f${at}`,
        parameters: { type: "object", properties: { a: { minimum: at / 7, maximum: 1e16 } } },
      },
    })),
    temperature: 0.7,
  });

/** Python's form of a request of 1 MB, from its text to the bytes that are hashed. */
export async function benchPythonJson(rounds: number): Promise<Line[]> {
  const bodies = { "prose in ASCII": bodyOf(PROSE), "Japanese and emoji": bodyOf("日本語の文章です😀".repeat(90)) };
  const arms = Object.entries(bodies).map(([name, body]): [string, Arm] => [
    name,
    () => {
      dumpPythonJson(readPythonJson(body) ?? null);
      return Promise.resolve();
    },
  ]);
  const times = await interleaved(Object.fromEntries(arms), { rounds, warmup: 5 });
  return Object.entries(bodies).map(([name, body]) =>
    row(name, times[name] ?? Number.NaN, { reads: { bytes: Buffer.byteLength(body), target: TARGET } }),
  );
}
