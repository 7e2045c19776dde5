/** The prover's own process: the only place that loads the GPL engine, and where proving takes the time it takes. */
import { constants, setPriority } from "node:os";
import type { Curve } from "snarkjs";
import { Proof402Error } from "../../errors.ts";
import { howToInstall } from "../../peers.ts";
import { toField } from "../../evidence/groth16.ts";
import { toWitness } from "./binary.ts";
import { buildCircuit, fillCircuit, type Circuit } from "./circuit.ts";
import { openingOf } from "./commitment.ts";
import { readProgram } from "./program.ts";
import type { ProverAnswer, ProverResults, ProverTask, VerificationPoints } from "./prover-messages.ts";
import { coordinatesHex, developmentSetup } from "./groth16-setup.ts";

type Loaded = { circuit: Circuit; zkey: Uint8Array };
const loaded = new Map<string, Loaded>();

const engine = import("snarkjs").catch((error: unknown) => {
  throw new Proof402Error("snarkjs_missing", "Proving needs the package snarkjs, which is not installed.", {
    next: howToInstall(["snarkjs"]),
    cause: error,
  });
});
// Awaited by each task; until then a missing package is no crash.
engine.catch(() => undefined);

/**
 * Answers go first: a proof has time, and the engine's threads take their priority from this one. A setup starts none and
 * keeps its priority: a seller starts after it, which on a busy machine would be never.
 */
const giveWay = (): void => setPriority(constants.priority.PRIORITY_BELOW_NORMAL);
let setupCurve: Promise<Curve> | null = null;

const memory = (data: Uint8Array): { type: "mem"; data: Uint8Array } => ({ type: "mem", data });
const circuitOf = (task: Extract<ProverTask, { task: "setup" | "load" }>): Circuit =>
  buildCircuit(readProgram(task.model), task.options, openingOf(task.opening));

async function run(task: ProverTask): Promise<ProverResults[ProverTask["task"]]> {
  const { curves, groth16, zKey } = await engine;
  if (task.task !== "setup") giveWay();
  switch (task.task) {
    case "setup":
      setupCurve ??= curves.getCurveFromName("bn128", { singleThread: true });
      return developmentSetup(await setupCurve, circuitOf(task));
    case "read":
      return { verification: readVerification(await zKey.exportVerificationKey(memory(task.zkey))) };
    case "load":
      loaded.set(task.name, { circuit: circuitOf(task), zkey: task.zkey });
      // The curve's start-up is paid here and not by the first buyer.
      await curves.getCurveFromName("bn128");
      return null;
    case "prove": {
      const one = loaded.get(task.name);
      if (one === undefined) throw new Error(`no model "${task.name}" is loaded`);
      const { circuit, zkey } = one;
      const values = fillCircuit(circuit, task.input, task.request);
      const { proof } = await groth16.prove(memory(zkey), memory(toWitness(values)));
      const own = circuit.publics - circuit.weights.length;
      return {
        proof: proofHex(proof),
        signals: values.slice(1, 1 + own).map((value) => String(toField(value))),
      };
    }
    default:
      return task satisfies never;
  }
}

type Pair = readonly string[];
const pair = ([a = "0", b = "0"]: Pair): [bigint, bigint] => [BigInt(a), BigInt(b)];
const g1 = (point: Pair): string => coordinatesHex(pair(point));
const g2 = ([x = [], y = []]: readonly Pair[]): string => coordinatesHex([pair(x), pair(y)]);
const proofHex = ({ pi_a, pi_b, pi_c }: { pi_a: string[]; pi_b: string[][]; pi_c: string[] }): string =>
  g1(pi_a) + g2(pi_b) + g1(pi_c);

function readVerification(key: Record<string, unknown>): VerificationPoints {
  const at = <T>(name: string): T => key[name] as T;
  return {
    alpha1: g1(at<Pair>("vk_alpha_1")),
    beta2: g2(at<Pair[]>("vk_beta_2")),
    gamma2: g2(at<Pair[]>("vk_gamma_2")),
    delta2: g2(at<Pair[]>("vk_delta_2")),
    ic: at<Pair[]>("IC").map(g1),
  };
}

// One after the other: a proof takes all cores.
let last: Promise<unknown> = Promise.resolve();
process.on("message", ({ number, task }: { number: number; task: ProverTask }) => {
  last = last.then(async () => {
    const answer = await run(task).then(
      (result): ProverAnswer => ({ number, result }),
      (error: unknown): ProverAnswer => ({
        number,
        error: Proof402Error.isInstance(error)
          ? { code: error.code, message: error.message }
          : { code: "prover_failed", message: error instanceof Error ? error.message : String(error) },
      }),
    );
    process.send?.(answer);
  });
});
// The parent is gone.
process.on("disconnect", () => process.exit(0));
