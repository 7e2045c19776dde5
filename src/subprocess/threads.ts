import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";

/** Runs orders on several threads, each answered in its turn. */
export type Threads<Order, Answer> = {
  /** Orders that are worth being under way at once. */
  width: number;
  run(order: Order): Promise<Answer>;
  close(): Promise<void>;
};

/** Bounds the threads, and a thread's memory in megabytes. */
const MOST = 16;
const MEGABYTES = { maxOldGenerationSizeMb: 96, maxYoungGenerationSizeMb: 16 };

/** A thread and the orders that it has not answered. */
type Thread = { worker: Worker; open: Map<number, (answer: { said: unknown } | null) => void> };

/**
 * Opens as many threads as the machine runs at once, each with the built file at `file`: it takes `{ id, order }` and posts
 * `{ id, answer }`. An order of a thread that broke, or of a file that is not there (in a bundle), runs `here` instead.
 */
export function openThreads<Order, Answer>(
  file: string,
  here: (order: Order) => Answer | Promise<Answer>,
): Threads<Order, Answer> {
  const threads: Thread[] = [];
  let [last, isClosed] = [0, false];
  const drop = (thread: Thread): void => {
    if (threads.includes(thread)) threads.splice(threads.indexOf(thread), 1);
    for (const answer of thread.open.values()) answer(null);
    thread.open.clear();
  };
  for (let count = Math.min(MOST, availableParallelism()); count > 0; count -= 1) {
    const thread: Thread = { worker: new Worker(file, { resourceLimits: MEGABYTES }), open: new Map() };
    thread.worker.on("message", ({ id, answer }: { id: number; answer: unknown }) => {
      thread.open.get(id)?.({ said: answer });
      thread.open.delete(id);
    });
    thread.worker.on("error", () => drop(thread));
    thread.worker.on("exit", () => drop(thread));
    threads.push(thread);
  }
  return {
    width: threads.length * 2,
    async run(order) {
      const [idlest] = threads.toSorted((a, b) => a.open.size - b.open.size);
      if (idlest === undefined) return here(order);
      last += 1;
      const id = last;
      const answered = new Promise<{ said: unknown } | null>((resolve) => idlest.open.set(id, resolve));
      // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, which has no origin
      idlest.worker.postMessage({ id, order });
      const answer = await answered;
      if (answer !== null) return answer.said as Answer;
      // Its caller closed the threads and is gone.
      if (isClosed) throw new Error("the threads were closed");
      return here(order);
    },
    async close() {
      isClosed = true;
      await Promise.all(threads.map(({ worker }) => worker.terminate()));
    },
  };
}
