import { readFile } from "node:fs/promises";
import { Proof402Error, type ErrorCode } from "../errors.ts";
import { sha256, toHex, type Bytes, type Hex } from "../evidence/bytes.ts";
import { canonicalSha256 } from "../evidence/canonical.ts";
import type { Tensor } from "../evidence/exchange/tensors.ts";
import { quantiseInput, requestSignals, type Groth16Key } from "../evidence/groth16.ts";
import { differenceFromProved, provedNumbers } from "../evidence/proved-answer.ts";
import type { ProvingFiles } from "./zk/proving-files.ts";
import type { Prover } from "./zk/prover.ts";

/** How a node proves its answers. The caller made the prover and closes it. */
export type NodeProving = {
  prover: Prover;
  /** Model name -> what its compilation made. Models that are not named are not proved. */
  models: Readonly<Record<string, ProvingFiles>>;
  /** Has a contract check each proof, where the node's operator wants that: tried once, and published with the proof. */
  record?: (proved: { key: Groth16Key; proof: string; signals: string[] }) => Promise<Recorded>;
};

/** A contract's word for a proof: the transaction that it did not revert, and its gas, decimal. */
export type Recorded = { transaction: Hex; gasUsed: string };

/** A proof as it is published. `proof` and `signals` as in `zk.groth16` evidence. */
type Published =
  | { state: "pending" }
  | { state: "proved"; key: Groth16Key; proof: string; signals: string[]; recorded?: Recorded }
  /** There will be none: of this input none can be made, fixed point strays too far for it, or the prover was busy or failed. */
  | { state: "failed"; code: FailureCode };

type FailureCode = ErrorCode | "beyond_tolerance" | "prover_busy" | "other_inputs" | "not_one_row" | "input_too_large";

export type Proofs = {
  /** Model name -> sha256(JCS(key)), hex. */
  keys: Record<string, string>;
  /** Has an answer proved, where its model is: one row of numbers. For every other order it keeps why there will be no proof. */
  add(model: string, exchange: { request: Bytes; inputs: readonly Tensor[]; outputs: readonly Tensor[] }): void;
  /** By the SHA-256 of the request's bytes, hex. Null where none is kept. */
  get(id: string): Published | null;
  /** Answers that wait for their proof. */
  pending(): number;
};

/** The statement to prove: this model gives these outputs for this request. */
type Answer = { name: string; request: Bytes; outputs: readonly Tensor[] };

/** Proofs kept for buyers to fetch, about 2 kB each; they are lost with the process. */
const KEPT = 10_000;
/** An answer is still to be signed, settled and sent when its proof is ordered, and a proof takes what processors there are. */
const HEAD_START_MS = 100;
/** More answers than this wait for the prover: a later one is not proved. */
const MOST_WAITING = 256;

/**
 * Loads the models into the prover. Throws Proof402Error `proof_key_of_another_model`, or what the prover throws.
 */
export async function createProofs(
  { prover, models, record }: NodeProving,
  served: readonly { name: string; sha256: string; path: string }[],
): Promise<Proofs> {
  const kept = new Map<string, Published>();
  let waiting = 0;
  const keep = (id: string, published: Published): void => {
    kept.set(id, published);
    const oldest = kept.keys().next();
    if (kept.size > KEPT && !oldest.done) kept.delete(oldest.value);
  };
  const proved = served.filter(({ name }) => Object.hasOwn(models, name));
  for (const { name, sha256: digest, path } of proved) {
    const files = models[name];
    if (files === undefined) continue;
    if (files.key.modelSha256 !== digest)
      throw new Proof402Error(
        "proof_key_of_another_model",
        `The proving files of "${name}" are of another model file.`,
        {
          next: "Compile the model again.",
        },
      );
    const { key: _key, ...proving } = files;
    await prover.ask({ task: "load", name, model: new Uint8Array(await readFile(path)), ...proving });
  }

  const prove = async (
    id: string,
    { name, key, input, request, outputs }: Answer & { key: Groth16Key; input: bigint[] },
  ): Promise<void> => {
    try {
      const { proof, signals } = await prover.ask({ task: "prove", name, input, request: requestSignals(request) });
      const results = provedNumbers(signals, key);
      // Far from the sampled inputs rounding may stray: a proof that contradicts an honest answer would condemn it.
      if (results === null || differenceFromProved(outputs, results, key) !== null) {
        kept.set(id, { state: "failed", code: "beyond_tolerance" });
        return;
      }
      const proved = { key, proof, signals };
      kept.set(id, { state: "proved", ...proved });
      // A proof is worth the same where no contract has checked it, and the next one does not wait for a chain.
      record?.(proved).then(
        (recorded) => void kept.set(id, { state: "proved", ...proved, recorded }),
        () => undefined,
      );
    } catch (error) {
      kept.set(id, { state: "failed", code: Proof402Error.isInstance(error) ? error.code : "prover_failed" });
    } finally {
      waiting -= 1;
    }
  };

  return {
    keys: Object.fromEntries(
      proved.flatMap(({ name }) => {
        const files = models[name];
        return files === undefined ? [] : [[name, toHex(canonicalSha256(files.key))]];
      }),
    ),
    add(name, { request, inputs, outputs }) {
      const files = Object.hasOwn(models, name) ? models[name] : undefined;
      const id = toHex(sha256(request));
      if (files === undefined || kept.has(id)) return;
      const { key } = files;
      const input = provableInput(inputs, key);
      if ("code" in input) return keep(id, { state: "failed", code: input.code });
      if (waiting >= MOST_WAITING) return keep(id, { state: "failed", code: "prover_busy" });
      waiting += 1;
      keep(id, { state: "pending" });
      const answer = { name, key, input: input.row, request, outputs };
      setTimeout(() => void prove(id, answer), HEAD_START_MS).unref();
    },
    get: (id) => kept.get(id) ?? null,
    pending: () => waiting,
  };
}

/** The one row that a circuit takes, in fixed point, or why it takes none of these inputs. */
function provableInput(inputs: readonly Tensor[], key: Groth16Key): { row: bigint[] } | { code: FailureCode } {
  const [tensor, ...more] = inputs;
  if (tensor === undefined || more.length > 0 || tensor.name !== key.input.name) return { code: "other_inputs" };
  if (tensor.shape.join() !== `1,${key.input.count}`) return { code: "not_one_row" };
  const row = tensor.data.map((value) => quantiseInput(Number(value), key.scale)).filter((value) => value !== null);
  return row.length === tensor.data.length ? { row } : { code: "input_too_large" };
}
