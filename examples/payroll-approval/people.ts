import { readFile } from "node:fs/promises";
import { createInterface } from "node:readline/promises";
import type { Absent, Answer, Question } from "./graph.ts";

/** Puts questions to people, one after another. */
export type Ask = (question: Question) => Promise<Answer | Absent>;

/** Answers from a file, by line, in their order. */
export async function askFile(path: string): Promise<Ask> {
  const file = JSON.parse(await readFile(path, "utf8")) as Record<string, Answer[]>;
  const left = new Map(Object.entries(file).map(([line, answers]) => [line, [...answers]]));
  return ({ line }) => Promise.resolve(left.get(line)?.shift() ?? "absent");
}

/** Answers typed at the terminal. An empty name leaves the line for later: it is held. */
export async function askTerminal({ line, employee, gross, why, person, of }: Question): Promise<Answer | Absent> {
  const terminal = createInterface({ input: process.stdin, output: process.stdout });
  try {
    const place = of > 1 ? ` (person ${person} of ${of})` : "";
    const name = await terminal.question(`Line ${line}, ${employee}, ${gross}: ${why}${place}. Your name: `);
    if (name.trim() === "") return "absent";
    const word = await terminal.question("approve or reject: ");
    const reason = await terminal.question("Reason: ");
    // Whatever is not a clear yes is a no.
    return { person: name.trim(), answer: word.trim() === "approve" ? "approve" : "reject", reason };
  } finally {
    terminal.close();
  }
}
