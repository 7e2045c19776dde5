import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { sha256, toHex } from "../evidence/bytes.ts";
import {
  compileModel,
  createProver,
  packageModelsDirectory,
  readCompiled,
  writeCompiled,
  type NodeProving,
  type Prover,
  type ProvingFiles,
} from "../node/index.ts";
import { VERSION } from "../version.ts";
import { forging, otherWeights } from "./dishonest.ts";

type Fetch = (request: Request) => Promise<Response>;

/** What the devnet's proving sellers share: one prover, and one development setup per model. */
export type Proving = {
  ready: Promise<NodeProving>;
  /** The disguise of the seller that lies in its proofs. */
  forging: (fetch: Fetch) => Fetch;
  close(): Promise<void>;
};

/** The development setup of a model. A folder that cannot be used is no reason not to start: the setup is made each time. */
async function setupOf(
  name: string,
  model: Uint8Array,
  { prover, folder }: { prover: Prover; folder: string | null },
): Promise<ProvingFiles> {
  if (folder === null) return compileModel(model, prover);
  const place = join(folder, VERSION);
  const kept = await readCompiled(place, name).catch(() => null);
  if (kept?.key.modelSha256 === toHex(sha256(model))) return kept;
  const made = await compileModel(model, prover);
  await writeCompiled(place, name, made).catch(() => undefined);
  return made;
}

const forgedName = (model: string): string => `forged ${model}`;

/** Compiles models in the prover's process, or reads what an earlier start of this version left in a folder. */
export function openProving(names: readonly string[], folder: string | null): Proving {
  const prover = createProver();
  const compile = async (): Promise<NodeProving> => {
    const directory = await packageModelsDirectory();
    const models: Record<string, ProvingFiles> = {};
    const loads: (() => Promise<unknown>)[] = [];
    for (const name of names) {
      const model = new Uint8Array(await readFile(join(directory, `${name}.onnx`)));
      const { options, key, zkey } = await setupOf(name, model, { prover, folder });
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
