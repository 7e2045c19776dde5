import { text } from "node:stream/consumers";
import { Worker, workerData } from "node:worker_threads";

/** How often the guard looks whether its process is still wanted, ms. */
const LOOK_MS = 250;

/**
 * Reads the one order of a process that `runApart` started, and has a thread of the same file guard it: what is run blocks
 * the thread it runs on, so that only another one can end it when whoever wanted it is gone.
 */
export async function readOrder<T>(file: string): Promise<T> {
  const { parent, order } = JSON.parse(await text(process.stdin)) as { parent: number; order: T };
  new Worker(new URL(file), { workerData: parent }).unref();
  return order;
}

/** What the file does where it is run as that thread. */
export function guard(): void {
  setInterval(() => {
    if (process.ppid !== workerData) process.kill(process.pid, "SIGKILL");
  }, LOOK_MS);
}
