import { fork, type ChildProcess } from "node:child_process";
import { builtFile } from "../../subprocess/run.ts";
import { Proof402Error, type ErrorCode } from "../../errors.ts";
import { howToInstall } from "../../peers.ts";
import type { ProverAnswer, ProverResults, ProverTask } from "./prover-messages.ts";

/** Proves in a process of its own, one task after the other. */
export type Prover = {
  /** Throws Proof402Error `snarkjs_missing`, `prover_failed`, `model_not_provable` or `not_provable`. */
  ask<T extends ProverTask["task"]>(task: Extract<ProverTask, { task: T }>): Promise<ProverResults[T]>;
  close(): Promise<void>;
};

type Waiting = { resolve: (result: never) => void; reject: (error: Error) => void };

/**
 * Starts nothing yet: the process starts at the first task, starts again after a crash, and never keeps its parent
 * alive.
 *
 * @example
 * ```ts
 * import { createProver } from "proof402/node";
 *
 * const prover = createProver();
 * await prover.close();
 * ```
 */
export function createProver(): Prover {
  let child: ChildProcess | null = null;
  let number = 0;
  let closed = false;
  const waiting = new Map<number, Waiting>();
  /** What a new process has to be told again. */
  const models = new Map<string, Extract<ProverTask, { task: "load" }>>();

  const start = (): ChildProcess => {
    // Nothing of the parent's environment: it may hold keys.
    const started = fork(builtFile(import.meta.url, "prover-child"), {
      env: {},
      execArgv: [],
      serialization: "advanced",
      stdio: "ignore",
    });
    started.on("message", (answer: ProverAnswer) => {
      const one = waiting.get(answer.number);
      waiting.delete(answer.number);
      if (waiting.size === 0) rest(started);
      if (one === undefined) return;
      if ("error" in answer) one.reject(failure(answer.error.code, answer.error.message));
      else one.resolve(answer.result as never);
    });
    const ended = (): void => {
      if (child === started) child = null;
      for (const one of waiting.values()) one.reject(failure("prover_failed", "The prover's process ended."));
      waiting.clear();
    };
    started.once("exit", ended);
    started.once("error", ended);
    for (const task of models.values()) send(started, task).catch(() => undefined);
    return started;
  };
  const send = (to: ChildProcess, task: ProverTask): Promise<unknown> =>
    new Promise((resolve, reject) => {
      number += 1;
      waiting.set(number, { resolve, reject });
      to.ref();
      to.channel?.ref();
      to.send({ number, task });
    });
  const rest = (idle: ChildProcess): void => {
    idle.unref();
    idle.channel?.unref();
  };

  return {
    async ask(task) {
      if (closed) throw failure("prover_failed", "The prover is closed.");
      child ??= start();
      const told: ProverTask = task;
      if (told.task === "load") models.set(told.name, told);
      return (await send(child, task)) as never;
    },
    async close() {
      closed = true;
      const ending = child;
      if (ending === null || ending.exitCode !== null) return;
      const ended = new Promise((resolve) => ending.once("exit", resolve));
      // An idle process is unref'd, so without this the loop would have nothing to wait for.
      ending.ref();
      ending.kill("SIGKILL");
      await ended;
    },
  };
}

const failure = (code: ErrorCode, message: string): Proof402Error =>
  new Proof402Error(code, message, {
    next: code === "snarkjs_missing" ? howToInstall(["snarkjs"]) : "Correct what the message names, and try again.",
  });
