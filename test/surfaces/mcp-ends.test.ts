import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, expect, test } from "vitest";
import { writeDevnet } from "../../src/devnet/index.ts";
import { loadConfig } from "../../src/config/load.ts";
import { readAttempts } from "../../src/payment/journal.ts";
import { openDatabase } from "../../src/storage/database.ts";
import { CLI } from "../support/cli.ts";
import { ETH_FEATURES, openMarket, type Market } from "../support/devnet.ts";

let market: Market;
let config: string;
beforeAll(async () => {
  market = await openMarket();
  ({ config } = await writeDevnet(market.devnet, market.directory));
});
afterAll(() => market.stop());

/** Starts a process with a purchase in it, and resolves once `reached` is so of what it wrote to the stream. */
async function buying(
  args: readonly string[],
  { lines, input, reached }: { lines: "stdout" | "stderr"; input: object[]; reached: (line: string) => boolean },
) {
  const child = spawn(process.execPath, [CLI, "--config", config, ...args], { env: { PATH: process.env["PATH"] } });
  const ended = once(child, "exit");
  let stderr = "";
  child.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
  // The end it is about may close any of its streams while it is being written to.
  child.stdin.on("error", () => undefined);
  const there = new Promise<void>((resolve, reject) => {
    createInterface({ input: child[lines] }).on("line", (line) => reached(line) && resolve());
    child.on("exit", () => reject(new Error(`ended before it came so far: ${stderr}`)));
  });
  for (const message of input) child.stdin.write(`${JSON.stringify({ jsonrpc: "2.0", ...message })}\n`);
  await there;
  return { child, ended, stderr: () => stderr };
}

const serving = (key: string, step: number) =>
  buying(["mcp"], {
    lines: "stdout",
    input: [
      {
        id: 0,
        method: "initialize",
        params: { protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name: "test", version: "1" } },
      },
      { method: "notifications/initialized" },
      {
        id: 1,
        method: "tools/call",
        params: {
          name: "buy_inference",
          arguments: {
            model: "eth-risk",
            input: ETH_FEATURES,
            seller: "honest",
            wait: "verified",
            idempotency_key: key,
          },
          _meta: { progressToken: "t" },
        },
      },
    ],
    reached: (line) => (JSON.parse(line) as { params?: { progress?: number } }).params?.progress === step,
  });

/** Attempts of the call whose payment may be out, and those of them whose answer is stored. */
async function paidAndStored(key: string): Promise<{ paid: number; stored: number }> {
  const db = await openDatabase((await loadConfig({ path: config })).database);
  try {
    const attempts = await readAttempts(db, key);
    const paid = attempts.filter(({ state }) => ["sent", "answered", "settled"].includes(state));
    return { paid: paid.length, stored: paid.filter(({ receiptId }) => receiptId !== null).length };
  } finally {
    await db.destroy();
  }
}

type Running = Awaited<ReturnType<typeof buying>>["child"];
const ENDS: Record<string, (child: Running) => void> = {
  "closes its end": ({ stdin }) => void stdin.end(),
  "sends SIGTERM": (child) => void child.kill("SIGTERM"),
  "sends SIGTERM twice": (child) => void (child.kill("SIGTERM"), child.kill("SIGTERM")),
  "reads no more and closes its end": ({ stdin, stdout }) => void (stdout.destroy(), stdin.end()),
};
/** At this step the payment goes out; at the one after the last a settlement has landed. */
const PAID = 5;
const AFTER_LAST = 8;
const STEPS = Array.from({ length: AFTER_LAST }, (_, at) => at + 1);

test.each([
  ...STEPS.map((step) => ["closes its end", step] as const),
  ...STEPS.map((step) => ["sends SIGTERM", step] as const),
  ["sends SIGTERM twice", PAID] as const,
  ["reads no more and closes its end", PAID] as const,
])(
  "T33: a client that asked for progress and %s at step %i ends the server, and a paid answer is stored",
  async (end, step) => {
    const key = crypto.randomUUID();
    const { child, ended, stderr } = await serving(key, step);
    ENDS[end]?.(child);
    expect(await ended).toEqual([0, null]);
    expect(stderr()).toBe("");
    const { paid, stored } = await paidAndStored(key);
    expect(stored).toBe(paid);
    expect(paid).toBeGreaterThanOrEqual(step >= PAID ? 1 : 0);
  },
);

test.each(["authorization sent", "answer received"])(
  "a purchase whose progress is read no more after %j is stored",
  async (line) => {
    const key = crypto.randomUUID();
    const args = ["eth-risk", "--input", JSON.stringify(ETH_FEATURES), "--seller", "honest", "--key", key];
    const { child, ended } = await buying(["buy", ...args], {
      lines: "stderr",
      input: [],
      reached: (text) => text.includes(line),
    });
    child.stderr.destroy();
    child.stdout.destroy();
    expect(await ended).toEqual([0, null]);
    expect(await paidAndStored(key)).toEqual({ paid: 1, stored: 1 });
  },
);
