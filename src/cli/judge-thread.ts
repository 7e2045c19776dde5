/** Judges files of a folder on a thread of its own: `openThreads` of `verify`. */
import { parentPort } from "node:worker_threads";
import { judgeFiles, type FilesToJudge } from "./judge-files.ts";

parentPort?.on("message", ({ id, order }: { id: number; order: FilesToJudge }) => {
  // An order that throws ends the thread: the caller does it itself then, and tells why.
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, which has no origin
  void judgeFiles(order).then((answer) => parentPort?.postMessage({ id, answer }));
});
