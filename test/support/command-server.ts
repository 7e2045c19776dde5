import { Readable, Writable } from "node:stream";
import { pathToFileURL } from "node:url";

/** One run of the command line: its arguments, its whole environment, its folder. */
export type Order = { args: readonly string[]; env: Record<string, string | undefined>; cwd: string };
export type Ended = { code: number; stdout: string; stderr: string };

/**
 * Runs a command line again and again in this process, one run after another: the modules it loads are loaded once. The
 * entry itself is evaluated for each run, since a new query makes it another module to Node.
 */
const entry = pathToFileURL(process.argv[2] ?? "").href;
let runs = 0;

const captured = (write: (text: string) => void): Writable =>
  new Writable({
    write(chunk: Buffer, _encoding, done) {
      write(chunk.toString());
      done();
    },
  });
const replace = (name: "stdin" | "stdout" | "stderr", value: Readable | Writable): void =>
  void Object.defineProperty(process, name, { configurable: true, value });

async function run({ args, env, cwd }: Order): Promise<Ended> {
  const ended: Ended = { code: 0, stdout: "", stderr: "" };
  process.argv = [process.execPath, process.argv[1] ?? "", ...args];
  process.env = env;
  process.chdir(cwd);
  process.exitCode = undefined;
  replace("stdin", Readable.from([]));
  replace(
    "stdout",
    captured((text) => (ended.stdout += text)),
  );
  replace(
    "stderr",
    captured((text) => (ended.stderr += text)),
  );
  const held = process.getActiveResourcesInfo().length;
  runs += 1;
  await import(`${entry}?${runs}`);
  // A process of its own ends once nothing holds it: a command that leaves something open does not end here either.
  while (process.getActiveResourcesInfo().length > held)
    await new Promise<void>((resolve) => void setTimeout(resolve, 2).unref());
  process.removeAllListeners("exit");
  await closeConnections();
  return { ...ended, code: exitCode() };
}

const exitCode = (): number => Number(process.exitCode ?? 0);

/** Node's own `fetch` keeps connections for the next request; a process of its own has none at its start. */
async function closeConnections(): Promise<void> {
  const kept = globalThis as unknown as Record<symbol, { close(): Promise<void>; constructor: new () => never }>;
  const name = Symbol.for("undici.globalDispatcher.1");
  const agent = kept[name];
  if (agent === undefined) return;
  kept[name] = new agent.constructor();
  await agent.close();
}

process.on("message", (order: Order) => void run(order).then((ended) => process.send?.(ended)));
process.on("disconnect", () => process.exit());
