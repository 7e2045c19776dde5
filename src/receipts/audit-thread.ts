/** Compares receipts with the log on a thread of its own: `openThreads` of the audit. */
import { parentPort } from "node:worker_threads";
import { alteredParts, type ComparedPage } from "./altered-part.ts";

parentPort?.on("message", ({ id, order }: { id: number; order: ComparedPage }) =>
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, which has no origin
  parentPort?.postMessage({ id, answer: alteredParts(order) }),
);
