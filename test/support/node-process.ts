import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { onTestFinished } from "vitest";
import { CLI } from "./cli.ts";

/** A node's process, once it listens. */
export type NodeProcess = { origin: string; process: ChildProcess; ended: Promise<number | null>; said: string[] };

/** Runs `proof402 node serve`, at the longest until the test ends. Rejects with its complaint if it ends before it listens. */
export async function serveNode(path: string, cwd = process.cwd()): Promise<NodeProcess> {
  const child = spawn(process.execPath, [CLI, "node", "serve", path], { cwd, stdio: ["ignore", "pipe", "pipe"] });
  const said: string[] = [];
  const ended = once(child, "close").then(([code]) => code as number | null);
  onTestFinished(async () => {
    child.kill("SIGKILL");
    await ended;
  });
  let text = "";
  const origin = await new Promise<string>((resolve, reject) => {
    let complaint = "";
    child.stderr.on("data", (chunk: Buffer) => (complaint += chunk.toString()));
    child.stdout.on("data", (chunk: Buffer) => {
      text += chunk.toString();
      const lines = text.split("\n");
      text = lines.pop() ?? "";
      for (const line of lines) {
        said.push(line);
        const event = JSON.parse(line) as { event: string; address?: string };
        if (event.address !== undefined) resolve(event.address);
      }
    });
    child.once("close", () => reject(new Error(complaint)));
  });
  return { origin, process: child, ended, said };
}
