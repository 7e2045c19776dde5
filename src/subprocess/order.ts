import { text } from "node:stream/consumers";
import { Worker, workerData } from "node:worker_threads";

/** How often the guard looks whether its process is still wanted, ms. */
const LOOK_MS = 250;

/**
 * Reads the one order of a process started by `runApart`. The work blocks its thread, so a watchdog thread of the same
 * file kills the process when the parent dies.
 */
export async function readOrder<T>(file: string): Promise<T> {
  const { parent, order } = JSON.parse(await text(process.stdin)) as { parent: number; order: T };
  new Worker(new URL(file), { workerData: parent }).unref();
  return order;
}

/** The file's work as that thread. */
export function guard(): void {
  setInterval(() => {
    if (process.ppid !== workerData) process.kill(process.pid, "SIGKILL");
  }, LOOK_MS);
}
