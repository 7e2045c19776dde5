import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { groth16 } from "snarkjs";
import { createPublicClient, http, type PublicClient } from "viem";
import { startAnvil } from "../../src/devnet/anvil.ts";
import { openBank } from "../../src/devnet/bank.ts";
import { openVerifiers } from "../../src/devnet/groth16-contracts.ts";
import { fromHex } from "../../src/evidence/bytes.ts";
import { canonicalJson } from "../../src/evidence/canonical.ts";
import { encodeProofRecord } from "../../src/chain/owner/proof-calls.ts";
import { isProved } from "../../src/verify/computation/groth16.ts";
import { compileModel, type CompiledModel, type CompileOptions } from "../../src/node/zk/compile.ts";
import { createProver, type Prover } from "../../src/node/zk/prover.ts";
import { perceptron, seeded } from "../support/onnx-files.ts";
import { MODELS, proveFor, readModel, snarkjsForm, type Proof } from "../support/proof.ts";
import { benchEzkl } from "./ezkl.ts";
import { interleaved, median, row, type Line } from "./measure.ts";

const COLD = fileURLToPath(new URL("./verify-cold.js", import.meta.url));
const COLD_ROUNDS = 5;

/** What is proved, how fast it should be warm (ms), and how its weights stand in the circuit. */
type Subject = { name: string; model: Uint8Array; options: CompileOptions; target?: number };

async function subjects(): Promise<Subject[]> {
  const perceptronModel = perceptron([64, 256, 128, 10], seeded(402));
  return [
    ...(await Promise.all(
      MODELS.map(async (name) => ({
        name,
        model: await readModel(name),
        options: {},
        ...(name === "eth-risk" ? { target: 500 } : {}),
      })),
    )),
    { name: "64-256-128-10 perceptron", model: perceptronModel, options: { weights: "constant" }, target: 2500 },
  ];
}

/** Setup, proving, verification (beside snarkjs'), sizes and gas of each model. */
export async function benchProofs(rounds: number): Promise<Line[]> {
  const directory = await mkdtemp(join(tmpdir(), "proof402-bench-proofs-"));
  const anvil = await startAnvil();
  try {
    const bank = await openBank(anvil);
    const client = createPublicClient({ transport: http(anvil.rpcUrl) });
    const gasOf = async (proof: Proof): Promise<bigint> => {
      const { contracts } = await openVerifiers(anvil, bank, [proof.key]);
      return recordGas(client, contracts[0]?.contract, proof);
    };
    const lines: Line[] = [];
    for (const subject of await subjects()) lines.push(...(await benchModel(subject, { rounds, directory, gasOf })));
    return [...lines, ...(await benchEzkl(rounds))];
  } finally {
    await anvil.stop();
    await rm(directory, { recursive: true, force: true });
  }
}

type Bench = { rounds: number; directory: string; gasOf: (proof: Proof) => Promise<bigint> };

async function benchModel({ name, model, options, target }: Subject, bench: Bench): Promise<Line[]> {
  const first = createProver();
  const began = performance.now();
  const made = await compileModel(model, first, options);
  const setup = performance.now() - began;
  await first.close();

  const load = { task: "load", name, model, options: made.options, zkey: made.zkey } as const;
  const input = Array.from({ length: made.key.input.count }, seeded(7));
  const prove = async (prover: Prover): Promise<Proof> => ({
    key: made.key,
    ...(await proveFor(prover, name, made, input)),
  });
  const prover = createProver();
  const started = performance.now();
  await prover.ask(load);
  const proof = await prove(prover);
  const cold = performance.now() - started;
  const proofRounds = Math.max(5, Math.min(bench.rounds, 20));
  const { warm } = await interleaved(
    { warm: async () => void (await prove(prover)) },
    { rounds: proofRounds, warmup: 2 },
  );
  await prover.close();

  const form = snarkjsForm(proof);
  const times = await interleaved(
    {
      ours: () => Promise.resolve(must(isProved(proof))),
      snarkjs: async () => must(await groth16.verify(...form)),
    },
    { rounds: proofRounds, warmup: 3 },
  );
  const ms = (arm: string): number => times[arm] ?? Number.NaN;
  const firstVerify = await verifyCold(bench.directory, proof);
  const gas = await bench.gasOf(proof);
  return [
    `  ${name}: ${made.constraints} constraints, weights ${made.options.weights}, scale 2^${made.options.scale}; ${sizes(made, proof)}; ${gas} gas to check and record`,
    row("development setup, with its process", setup),
    row("prove, first (process, keys, proof)", cold),
    row("prove, warm", warm ?? Number.NaN, { base: { name: "first", ms: cold }, under: target }),
    row("verify, first in a new process, code loaded", firstVerify, { under: 600 }),
    row("verify, warm", ms("ours"), { base: { name: "snarkjs", ms: ms("snarkjs") }, under: 90 }),
    "",
  ];
}

const sizes = (made: CompiledModel, { proof, signals }: Proof): string =>
  [
    `proof ${fromHex(proof).length} B and ${signals.length} signals`,
    `key ${kilobytes(canonicalJson(made.key))}`,
    `proving key ${kilobytes(made.zkey)}`,
  ].join(", ");
const kilobytes = (bytes: Uint8Array): string => `${(bytes.length / 1024).toFixed(1)} KiB`;

async function recordGas(client: PublicClient, contract: string | undefined, proof: Proof): Promise<bigint> {
  const address = contract as `0x${string}`;
  const { to, data } = await encodeProofRecord({ kind: "proof-record", contract: address, ...proof });
  return client.estimateGas({ account: "0x00000000000000000000000000000000000000aa", to, data });
}

/** The median of processes that each verify once, ms. */
async function verifyCold(directory: string, proof: Proof): Promise<number> {
  const file = join(directory, "proof.json");
  await writeFile(file, JSON.stringify(proof));
  const times: number[] = [];
  for (let round = 0; round < COLD_ROUNDS; round += 1) {
    const { stdout } = await promisify(execFile)(process.execPath, [COLD, file]);
    times.push(Number(stdout));
  }
  return median(times);
}

function must(holds: boolean): void {
  if (!holds) throw new Error("the proof did not verify");
}
