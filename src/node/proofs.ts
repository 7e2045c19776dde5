import { readFile } from "node:fs/promises";
import * as z from "zod";
import { Proof402Error, type ErrorCode } from "../errors.ts";
import { fromBase64, sha256, toBase64, toHex, type Bytes, type Hex } from "../evidence/bytes.ts";
import { canonicalSha256 } from "../evidence/canonical.ts";
import { oip } from "../evidence/exchange/oip.ts";
import type { Tensor } from "../evidence/exchange/tensors.ts";
import { quantiseInput, requestSignals, type Groth16Key } from "../evidence/groth16.ts";
import { differenceFromProved, provedNumbers } from "../evidence/proved-answer.ts";
import type { Shelf } from "./shelf.ts";
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
  /**
   * There will be none: of this input none can be made, fixed point strays too far for it, the prover was busy or failed, or
   * the node no longer has the key of the order.
   */
  | { state: "failed"; code: FailureCode };

type FailureCode =
  | ErrorCode
  | "beyond_tolerance"
  | "prover_busy"
  | "other_inputs"
  | "not_one_row"
  | "input_too_large"
  | "key_gone";

export type Proofs = {
  /** Model name -> sha256(JCS(key)), hex. */
  keys: Record<string, string>;
  /** Has an answer proved, where its model is: one row of numbers. For every other order it keeps why there will be no proof. */
  add(model: string, exchange: { request: Bytes; inputs: readonly Tensor[]; response: Bytes }): Promise<void>;
  /** By the SHA-256 of the request's bytes, hex. Null where none is kept. */
  get(id: string): Published | null;
  /** Answers that wait for their proof. */
  pending(): number;
  /** What becomes of a proof from now on is not kept: its answer is proved by the next process. */
  close(): void;
};

/** The statement to prove, as it is kept until then: the model under this key gives this response for this request. */
const answerSchema = z.object({
  model: z.string(),
  key: z.string(),
  input: z.array(z.string().regex(/^-?[0-9]+$/)),
  request: z.base64(),
  response: z.base64(),
});
type Answer = z.infer<typeof answerSchema>;
/** What is kept under a request's id. */
export type Kept = { published: Published; answer: Answer | null };

const hex = z.custom<Hex>((value) => typeof value === "string" && value.startsWith("0x"));
const publishedSchema: z.ZodType<Published> = z.discriminatedUnion("state", [
  z.object({ state: z.literal("pending") }),
  z.object({
    state: z.literal("proved"),
    key: z.custom<Groth16Key>((value) => typeof value === "object" && value !== null),
    proof: z.string(),
    signals: z.array(z.string()),
    recorded: z.object({ transaction: hex, gasUsed: z.string() }).exactOptional(),
  }),
  z.object({ state: z.literal("failed"), code: z.custom<FailureCode>((value) => typeof value === "string") }),
]);
/** Reads what a node keeps of its proofs. */
export const keptSchema: z.ZodType<Kept> = z.object({ published: publishedSchema, answer: answerSchema.nullable() });

/** Proofs kept for buyers to fetch, about 2 kB each. */
const KEPT = 10_000;
/** An answer is still to be signed, settled and sent when its proof is ordered, and a proof takes what processors there are. */
const HEAD_START_MS = 100;
/** More answers than this wait for the prover: a later one is not proved. */
const MOST_WAITING = 256;

/**
 * Loads the models into the prover, and proves what an earlier process on the shelf left unproved. Throws Proof402Error
 * `proof_key_of_another_model`, or what the prover throws.
 */
export async function createProofs(
  { prover, models, record }: NodeProving,
  served: readonly { name: string; sha256: string; path: string }[],
  shelf: Shelf<Kept>,
  most = KEPT,
): Promise<Proofs> {
  const kept = new Map<string, Published>();
  const keys: Record<string, string> = {};
  let waiting = 0;
  let closed = false;
  for (const { name, sha256: digest, path } of served) {
    const files = Object.hasOwn(models, name) ? models[name] : undefined;
    if (files === undefined) continue;
    if (files.key.modelSha256 !== digest)
      throw new Proof402Error(
        "proof_key_of_another_model",
        `The proving files of "${name}" are of another model file.`,
        {
          next: "Compile the model again.",
        },
      );
    const { key, ...proving } = files;
    keys[name] = toHex(canonicalSha256(key));
    await prover.ask({ task: "load", name, model: new Uint8Array(await readFile(path)), ...proving });
  }

  const show = (id: string, published: Published): void => {
    kept.set(id, published);
    const oldest = kept.keys().next();
    if (kept.size <= most || oldest.done) return;
    kept.delete(oldest.value);
    if (!closed) void shelf.drop([oldest.value]).catch(() => undefined);
  };

  const keep = async (id: string, published: Published, answer: Answer | null = null): Promise<void> => {
    show(id, published);
    // Shown from memory all the same: a database that fails now costs the proof only if the process ends, too.
    if (!closed) await shelf.put(id, { published, answer }).catch(() => undefined);
  };

  const prove = async (id: string, answer: Answer, key: Groth16Key): Promise<void> => {
    const { model: name, request, response } = answer;
    try {
      const input = answer.input.map(BigInt);
      const { proof, signals } = await prover.ask({
        task: "prove",
        name,
        input,
        request: requestSignals(fromBase64(request)),
      });
      const results = provedNumbers(signals, key);
      const outputs = oip.readTensors(fromBase64(response), "response");
      // Far from the sampled inputs rounding may stray: a proof that contradicts an honest answer would condemn it.
      if (results === null || !outputs.ok || differenceFromProved(outputs.tensors, results, key) !== null)
        return await keep(id, { state: "failed", code: "beyond_tolerance" });
      const proved = { key, proof, signals };
      await keep(id, { state: "proved", ...proved });
      // A proof is worth the same where no contract has checked it, and the next one does not wait for a chain.
      record?.(proved).then(
        (recorded) => keep(id, { state: "proved", ...proved, recorded }),
        () => undefined,
      );
    } catch (error) {
      const code = Proof402Error.isInstance(error) ? error.code : "prover_failed";
      // A prover that ended has not judged the answer: the node's next process proves it.
      if (code === "prover_failed") show(id, { state: "failed", code });
      else await keep(id, { state: "failed", code });
    } finally {
      waiting -= 1;
    }
  };

  const order = (id: string, answer: Answer, key: Groth16Key): void => {
    waiting += 1;
    setTimeout(() => void prove(id, answer, key), HEAD_START_MS).unref();
  };

  for (const [id, { published, answer }] of await shelf.load()) {
    const key = answer === null ? undefined : models[answer.model]?.key;
    if (answer === null) show(id, published);
    // It stays as it is on the shelf: another node may share the file, and a key that was put back proves what it owes.
    else if (key === undefined || keys[answer.model] !== answer.key) show(id, { state: "failed", code: "key_gone" });
    else {
      show(id, published);
      order(id, answer, key);
    }
  }

  return {
    keys,
    async add(model, { request, inputs, response }) {
      const key = Object.hasOwn(models, model) ? models[model]?.key : undefined;
      const id = toHex(sha256(request));
      if (key === undefined || kept.has(id)) return;
      const input = provableInput(inputs, key);
      if ("code" in input) return keep(id, { state: "failed", code: input.code });
      if (waiting >= MOST_WAITING) return keep(id, { state: "failed", code: "prover_busy" });
      const answer = {
        model,
        key: keys[model] ?? "",
        input: input.row.map(String),
        request: toBase64(request),
        response: toBase64(response),
      };
      order(id, answer, key);
      await keep(id, { state: "pending" }, answer);
    },
    get: (id) => kept.get(id) ?? null,
    pending: () => waiting,
    close() {
      closed = true;
    },
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
