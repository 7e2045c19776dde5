import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Client } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { interleaved, median, row, type Line } from "./measure.ts";

const CLI = fileURLToPath(new URL("../../src/cli/main.js", import.meta.url));
const BARE = fileURLToPath(new URL("./bare-server.js", import.meta.url));

/** Process start to the answer of tools/list, and resident memory then (kilobytes, from /proc where there is one). */
async function startAndList(args: readonly string[], rss: number[]): Promise<void> {
  const transport = new StdioClientTransport({
    command: process.execPath,
    args: [...args],
    env: { PATH: process.env["PATH"] ?? "" },
  });
  const client = new Client({ name: "bench", version: "1" });
  await client.connect(transport);
  await client.listTools();
  rss.push(residentKilobytes(transport.pid));
  await client.close();
}

/** Runs a program of Node to its end. */
async function run(args: readonly string[]): Promise<void> {
  await once(spawn(process.execPath, args, { stdio: "ignore" }), "exit");
}

function residentKilobytes(pid: number | null): number {
  try {
    return Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? Number.NaN);
  } catch {
    return Number.NaN;
  }
}

/** Time to `tools/list` and memory, against a server of one tool on the bare SDK. */
export async function benchMcp(rounds: number): Promise<Line[]> {
  const memory = { bare: [] as number[], ours: [] as number[] };
  const times = await interleaved(
    {
      bare: () => startAndList([BARE], memory.bare),
      ours: () => startAndList([CLI, "mcp"], memory.ours),
    },
    { rounds, warmup: 2 },
  );
  const { bare = Number.NaN, ours = Number.NaN } = times;
  const megabytes = (values: number[]): number => median(values) / 1024;
  const help = await interleaved(
    { empty: () => run(["-e", "0"]), help: () => run([CLI, "--help"]) },
    { rounds, warmup: 2 },
  );
  return [
    row("MCP stdio, bare SDK server: start to tools/list", bare),
    row("MCP stdio, proof402 mcp: start to tools/list", ours, { base: { name: "bare", ms: bare, target: 1.2 } }),
    row("  bare SDK server: resident memory then", megabytes(memory.bare), { unit: "MB" }),
    row("  proof402 mcp: resident memory then", megabytes(memory.ours), { unit: "MB", under: 110 }),
    row("node -e 0", help["empty"] ?? Number.NaN),
    row("proof402 --help", help["help"] ?? Number.NaN, { under: 80 }),
  ];
}
