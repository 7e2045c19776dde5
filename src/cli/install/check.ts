import { spawn } from "node:child_process";
import { homedir } from "node:os";
import { createInterface } from "node:readline";
import { isRecord } from "../../evidence/record.ts";
import { Proof402Error } from "../../errors.ts";
import type { Server } from "./clients.ts";

const LIMIT_MS = 30_000;
/** The part of a user's environment handed to a server by clients, besides its entry's. */
const INHERITED = ["HOME", "USER", "LOGNAME", "LANG", "APPDATA", "LOCALAPPDATA", "USERPROFILE", "SYSTEMROOT", "TEMP"];
/** The search path of a program started from a desktop. */
const DESKTOP_PATH = "/usr/bin:/bin:/usr/sbin:/sbin";

const REQUESTS = [
  {
    id: 1,
    method: "initialize",
    params: {
      protocolVersion: "2025-11-25",
      capabilities: {},
      clientInfo: { name: "proof402-install", version: "1" },
    },
  },
  { method: "notifications/initialized" },
  { id: 2, method: "tools/list" },
  { id: 3, method: "tools/call", params: { name: "spending", arguments: {} } },
];

/**
 * Starts the server as a client would: without this shell's environment, away from this folder. It must list its tools
 * and open configuration, key and database. Returns the number of tools. Throws Proof402Error `client_check_failed` with
 * the server's own words.
 */
export async function checkServer({ command, args, env }: Server): Promise<number> {
  const inherited = Object.fromEntries(
    INHERITED.flatMap((name) => (process.env[name] ? [[name, process.env[name]]] : [])),
  );
  const path = process.platform === "win32" ? (process.env["PATH"] ?? "") : DESKTOP_PATH;
  const child = spawn(command, args, {
    cwd: homedir(),
    env: { ...inherited, PATH: path, ...env },
    stdio: ["pipe", "pipe", "pipe"],
    timeout: LIMIT_MS,
  });
  const said: string[] = [];
  createInterface({ input: child.stderr }).on("line", (line) => said.push(line));
  const ended = new Promise<void>((resolve) => {
    child.once("error", (error) => {
      said.push(error.message);
      resolve();
    });
    child.once("close", () => resolve());
  });
  child.stdin.on("error", () => undefined);
  for (const request of REQUESTS) child.stdin.write(`${JSON.stringify({ jsonrpc: "2.0", ...request })}\n`);
  const results = new Map<unknown, Record<string, unknown>>();
  for await (const line of createInterface({ input: child.stdout })) {
    const answer = answerIn(line);
    if (answer === null) continue;
    results.set(answer.id, answer.result);
    if (results.has(3)) break;
  }
  // The end of its input ends the server.
  child.stdin.end();
  await ended;
  const tools = results.get(2)?.["tools"];
  if (!Array.isArray(tools) || tools.length === 0)
    throw failed("The server did not list its tools.", said.slice(-5).join("\n"));
  const spending = results.get(3);
  if (spending === undefined || spending["isError"] === true)
    throw failed("The server starts, and cannot buy as a client starts it.", textOf(spending));
  return tools.length;
}

function answerIn(line: string): { id: unknown; result: Record<string, unknown> } | null {
  try {
    const message: unknown = JSON.parse(line);
    if (!isRecord(message) || message["id"] === undefined) return null;
    return { id: message["id"], result: isRecord(message["result"]) ? message["result"] : {} };
  } catch {
    return null;
  }
}

function textOf(result: Record<string, unknown> | undefined): string {
  const [first] = Array.isArray(result?.["content"]) ? (result["content"] as unknown[]) : [];
  return isRecord(first) ? String(first["text"]) : "";
}

const failed = (message: string, words: string): Proof402Error =>
  new Proof402Error("client_check_failed", words === "" ? message : `${message} It said:\n${words}`, {
    next: "Nothing was written. Mend what it says, or add --no-check to write the entry all the same.",
  });
