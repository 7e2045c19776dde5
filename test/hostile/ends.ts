import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Buyer } from "../../src/buyer/types.ts";
import { CLI } from "../support/cli.ts";
import { ETH_FEATURES, type Market } from "../support/devnet.ts";
import { openPurse } from "./purse.ts";
import { buyWith } from "../support/buy.ts";

/** The steps of a purchase that a caller hears of, in their order from 1. */
export const STEPS = ["chosen", "attested", "quoted", "reserved", "paid", "answered", "checked"] as const;
export type Step = (typeof STEPS)[number];

/** How a call over a surface ends: by `kill -9` or at the caller's wish; at a step, or so many ms after it began. */
export type End = { surface: "cli" | "mcp"; how: "kill" | "cancel"; at: Step | number };

/** What there is after the same call was made again by the next process. */
export type After = {
  /** Receipts stored, states of the journal that count money, authorizations used on chain, base units that left the wallet. */
  receipts: number;
  counted: number;
  used: number;
  left: bigint;
  /** The answer of the call made again. */
  answer: unknown;
  audited: boolean;
};

const CALL = { model: "eth-risk", input: ETH_FEATURES, seller: "honest" };

/** Makes a call by a process of its own, ends it, makes the call again by another buyer, and says what there is then. */
export async function endCall(market: Market, { surface, how, at }: End): Promise<After> {
  const purse = await openPurse(market);
  const { config, privateKey } = purse.orders({});
  const name = crypto.randomUUID();
  const file = join(market.directory, `${name}.json`);
  await writeFile(join(market.directory, `${name}.key`), privateKey, { mode: 0o600 });
  await writeFile(file, JSON.stringify({ ...config, wallet: { privateKeyFile: `${name}.key` } }), { mode: 0o600 });
  // A call that may have been told its outcome is found again by its key alone; any other also by what it asks.
  const key = typeof at === "number" || at === "answered" || at === "checked" ? `key-${name}` : undefined;
  await (surface === "cli" ? endCli(file, { how, at }, key) : endMcp(file, { how, at }, key));
  const buyer = await purse.open();
  try {
    const result = await buyWith(buyer, { ...CALL, ...(key === undefined ? {} : { idempotencyKey: key }) });
    return { answer: result.readable ? result.answer : null, ...(await bookOf(buyer, purse, result.receipt.id)) };
  } finally {
    await buyer.close();
  }
}

async function bookOf(
  buyer: Buyer,
  purse: Awaited<ReturnType<typeof openPurse>>,
  id: string,
): Promise<Omit<After, "answer">> {
  await buyer.getReceipt(id, { waitSeconds: 120 });
  const { left, nonces } = await purse.chain();
  const journal = await purse.journal();
  return {
    receipts: (await buyer.listReceipts()).length,
    counted: journal.filter(({ state }) => state !== "released").length,
    used: nonces.length,
    left,
    audited: (await buyer.audit()).ok,
  };
}

type Way = Pick<End, "how" | "at">;

const start = (args: readonly string[]): ChildProcess =>
  spawn(process.execPath, [CLI, ...args], {
    env: { PATH: process.env["PATH"], HOME: "/nonexistent", NO_COLOR: "1" },
    stdio: ["pipe", "pipe", "pipe"],
  });

/** Calls `end` at the step or the time, once. Returns what is to hear of steps reached. */
function ending({ at }: Way, end: () => void): (step: number) => void {
  if (typeof at === "number") {
    setTimeout(end, at);
    return () => undefined;
  }
  const wanted = STEPS.indexOf(at) + 1;
  let ended = false;
  return (step) => {
    if (ended || step < wanted) return;
    ended = true;
    end();
  };
}

async function endCli(file: string, way: Way, key: string | undefined): Promise<void> {
  const input = JSON.stringify(CALL.input);
  const args = ["--config", file, "buy", CALL.model, "--input", input, "--seller", CALL.seller];
  const child = start([...args, ...(key === undefined ? [] : ["--key", key])]);
  const exited = once(child, "exit");
  const reached = ending(way, () => child.kill(way.how === "kill" ? "SIGKILL" : "SIGINT"));
  child.stdout?.resume();
  if (child.stderr === null) throw new Error("it has a standard error");
  createInterface(child.stderr).on("line", (line) => {
    const step = /^\[(\d)\/\d\]/.exec(line)?.[1];
    if (step !== undefined) reached(Number(step));
  });
  await exited;
}

async function endMcp(file: string, way: Way, key: string | undefined): Promise<void> {
  const child = start(["--config", file, "mcp"]);
  const { stdin, stdout } = child;
  if (stdin === null || stdout === null) throw new Error("it has standard streams");
  stdin.on("error", () => undefined);
  child.stderr?.resume();
  const exited = once(child, "exit");
  const send = (message: object): void => void stdin.write(`${JSON.stringify({ jsonrpc: "2.0", ...message })}\n`);
  const heard = { reached: (_step: number): void => undefined };
  const call = (): void => {
    heard.reached = ending(way, () => {
      if (way.how === "kill") {
        child.kill("SIGKILL");
        return;
      }
      send({ method: "notifications/cancelled", params: { requestId: 2 } });
      stdin.end();
    });
    const args = { ...CALL, ...(key === undefined ? {} : { idempotency_key: key }) };
    const params = { name: "buy_inference", arguments: args, _meta: { progressToken: 1 } };
    send({ id: 2, method: "tools/call", params });
  };
  createInterface(stdout).on("line", (line) => {
    const message = JSON.parse(line) as { id?: number; method?: string; params?: { progress?: number } };
    if (message.id === 1) {
      send({ method: "notifications/initialized" });
      call();
    } else if (message.id === 2) {
      // It was answered before its end came.
      stdin.end();
    } else if (message.method === "notifications/progress") heard.reached(message.params?.progress ?? 0);
  });
  const client = { protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name: "test", version: "1" } };
  send({ id: 1, method: "initialize", params: client });
  await exited;
}
