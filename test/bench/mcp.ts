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
  const megabytes = (values: number[]): string => `${(median(values) / 1024).toFixed(0)} MB`;
  return [
    row("MCP stdio, bare SDK server: start to tools/list", bare),
    row("MCP stdio, proof402 mcp: start to tools/list", ours, { base: { name: "bare", ms: bare, target: 1.5 } }),
    `  resident memory then: bare ${megabytes(memory.bare)}, proof402 ${megabytes(memory.ours)}`,
  ];
}
