import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { openBuyer } from "proof402";
import { createBot } from "./bot.ts";
import { serveMetrics } from "./metrics.ts";
import { openPool } from "./pool.ts";
import { readSettings } from "./settings.ts";
import { openStore } from "./store.ts";
import { supervise } from "./supervise.ts";

/** `node run.js bot.json`: the bot. With `--supervised` another process of this file is the bot, and is started again. */
const [file = "bot.json", ...flags] = process.argv.slice(2);
const ending = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => ending.abort());

if (flags.includes("--supervised")) {
  const args = [import.meta.filename, file, ...flags.filter((flag) => flag !== "--supervised")];
  process.exitCode = await supervise(args, { signal: ending.signal, say: (line) => console.log(line) });
} else {
  await runBot();
}

async function runBot(): Promise<void> {
  const say = (line: string): void => console.log(line);
  const settings = await readSettings(file);
  const store = openStore(settings.database);
  store.count("starts");
  await using buyer = await openBuyer();
  const key = (await readFile(settings.traderKeyFile, "utf8")).trim() as `0x${string}`;
  const pool = await openPool(settings, key);
  const bot = createBot({ settings, buyer, store, pool, say });
  if (flags.includes("--dry-run")) {
    const day = (store.lastDay() ?? settings.firstDay - 1) + 1;
    await bot.dryRun(day);
  } else {
    const metrics = await serveMetrics(settings.metricsPort, { store, health: bot.health });
    say(`metrics: ${metrics.url}`);
    const lastDay = settings.rounds === undefined ? Infinity : settings.firstDay + settings.rounds - 1;
    const isOver = (): boolean => store.open() === null && (store.lastDay() ?? -1) >= lastDay;
    while (!ending.signal.aborted && !isOver()) {
      const hasMoved = await bot.step();
      if (!hasMoved || store.open() === null) await pause(settings.everySeconds);
    }
    metrics.close();
  }
  store.close();
}

/** Sleeps, or is woken by the end. */
async function pause(seconds: number): Promise<void> {
  await sleep(seconds * 1000, undefined, { signal: ending.signal }).catch(() => undefined);
}
