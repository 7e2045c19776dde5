import { readFile } from "node:fs/promises";
import { join } from "node:path";
import {
  compileModel,
  createProver,
  packageModelsDirectory,
  type NodeProving,
  type ProvingFiles,
} from "../node/index.ts";
import { forging, otherWeights } from "./dishonest.ts";

type Fetch = (request: Request) => Promise<Response>;

/** What the devnet's proving sellers share: one prover, and one development setup per model. */
export type Proving = {
  ready: Promise<NodeProving>;
  /** The disguise of the seller that lies in its proofs. */
  forging: (fetch: Fetch) => Fetch;
  close(): Promise<void>;
};

const forgedName = (model: string): string => `forged ${model}`;

/** Compiles models in the prover's process. */
export function openProving(names: readonly string[]): Proving {
  const prover = createProver();
  const compile = async (): Promise<NodeProving> => {
    const directory = await packageModelsDirectory();
    const models: Record<string, ProvingFiles> = {};
    const loads: (() => Promise<unknown>)[] = [];
    for (const name of names) {
      const model = new Uint8Array(await readFile(join(directory, `${name}.onnx`)));
      const { options, key, zkey } = await compileModel(model, prover);
      models[name] = { options, key, zkey };
      loads.push(() => prover.ask({ task: "load", name: forgedName(name), model: otherWeights(model), options, zkey }));
    }
    // After the setups, as the prover has a low priority once it has loaded what it proves.
    for (const load of loads) await load();
    return { prover, models };
  };
  return {
    ready: compile(),
    forging: (fetch) => forging(fetch, { prover, nameOf: forgedName }),
    close: () => prover.close(),
  };
}
