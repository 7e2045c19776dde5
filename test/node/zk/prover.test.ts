import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { utf8 } from "../../../src/evidence/bytes.ts";
import { isProved } from "../../../src/verify/computation/groth16.ts";
import { compileModel, type CompiledModel } from "../../../src/node/zk/compile.ts";
import { createProver, type Prover } from "../../../src/node/zk/prover.ts";
import { runCli } from "../../support/cli.ts";
import { perceptron, seeded } from "../../support/onnx-files.ts";
import { proveFor, readModel } from "../../support/proof.ts";

const FEATURES = [-0.012, -0.034, -0.081, 0.62, 0.74, -0.19, 1.8, 0.21];
let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "proof402-zk-"));
});
afterAll(() => rm(directory, { recursive: true, force: true }));

/** Processes whose command line names the prover and whose parent is this one. */
async function proverPids(): Promise<number[]> {
  const { stdout } = await promisify(execFile)("ps", ["-eo", "pid=,ppid=,args="]);
  return stdout
    .split("\n")
    .map((line) => /^\s*(\d+)\s+(\d+)\s.*prover-child/.exec(line))
    .flatMap((found) => (found !== null && Number(found[2]) === process.pid ? [Number(found[1])] : []));
}

describe("the prover's process", () => {
  /** Compiled once; another prover is told to load it. */
  let risk: CompiledModel;
  beforeAll(async () => {
    const prover = createProver();
    risk = await compileModel(await readModel("eth-risk"), prover);
    await prover.close();
  });
  const load = async (prover: Prover): Promise<void> => {
    const model = await readModel("eth-risk");
    await prover.ask({ task: "load", name: "eth-risk", model, options: risk.options, zkey: risk.zkey });
  };

  test("starts again after it was killed, and proves with what it was told before", async () => {
    const prover = createProver();
    await load(prover);
    const [pid] = await proverPids();
    const cut = proveFor(prover, "eth-risk", risk, FEATURES);
    process.kill(pid!, "SIGKILL");
    await expect(cut).rejects.toMatchObject({ code: "prover_failed" });
    const proof = await proveFor(prover, "eth-risk", risk, FEATURES);
    expect(isProved({ key: risk.key, ...proof })).toBe(true);
    await prover.close();
    expect(await proverPids()).toEqual([]);
    await expect(proveFor(prover, "eth-risk", risk, FEATURES)).rejects.toMatchObject({ code: "prover_failed" });
  });

  test("hears why a model is not proved", async () => {
    const prover = createProver();
    await expect(compileModel(utf8("no model"), prover)).rejects.toMatchObject({ code: "model_unreadable" });
    await load(prover);
    const large = FEATURES.map(() => 60_000);
    await expect(proveFor(prover, "eth-risk", risk, large)).rejects.toMatchObject({ code: "not_provable" });
    await prover.close();
  });

  test("models of one shape share a setup, and their keys differ", async () => {
    const prover = createProver();
    const model = await readModel("eth-risk");
    // The last byte of the last weight's mantissa: another model by the least there is.
    const weights = Buffer.from(model).lastIndexOf("hidden0_weight") + "hidden0_weight".length + 3;
    const other = model.with(weights + 2, model[weights + 2]! ^ 0x40);
    const proving = { zkey: risk.zkey, setup: "development" as const };
    const [again, changed] = [
      await compileModel(model, prover, { proving }),
      await compileModel(other, prover, { proving }),
    ];
    expect(again.keySha256).toBe(risk.keySha256);
    expect(again.r1cs).toEqual(changed.r1cs);
    expect(changed.key.ic[0]).not.toBe(risk.key.ic[0]);
    expect(changed.key.ic.slice(1)).toEqual(risk.key.ic.slice(1));
    await expect(compileModel(await readModel("supply-route"), prover, { proving })).rejects.toMatchObject({
      code: "model_not_provable",
    });
    await prover.close();
  });
});

describe("proof402 node zk compile", () => {
  test("writes key, circuit, proving key and constraints, and the hash to pin", async () => {
    const out = join(directory, "proving");
    const model = join(import.meta.dirname, "../../../models/payroll-check.onnx");
    const run = await runCli(["--json", "node", "zk", "compile", model, "--out", out, "--weights", "constant"]);
    expect(run.code).toBe(0);
    const told = JSON.parse(run.stdout) as { keySha256: string; key: unknown; files: string[] };
    expect(told.files).toHaveLength(4);
    expect(JSON.parse(await readFile(join(out, "payroll-check.key.json"), "utf8"))).toEqual(told.key);
    expect(told.key).toMatchObject({ setup: "development", outputs: [{ name: "score", head: "sigmoid" }] });
  });

  test("commits to secret weights, and makes the same key again from model, opening and proving key", async () => {
    const model = join(directory, "secret.onnx");
    await writeFile(model, perceptron([4, 3, 2], seeded(5)));
    const out = join(directory, "secret");
    const committed = ["--json", "node", "zk", "compile", model, "--weights", "committed"];
    const first = await runCli([...committed, "--out", out]);
    expect(first.code).toBe(0);
    expect(first.stdout).not.toContain((await readFile(join(out, "secret.opening"), "utf8")).trim());
    const same = [
      "--opening",
      join(out, "secret.opening"),
      "--zkey",
      join(out, "secret.zkey"),
      "--setup",
      "development",
    ];
    const again = await runCli([...committed, "--out", join(directory, "again"), ...same]);
    const opening = await readFile(join(out, "secret.opening"), "utf8");
    const over = await runCli([...committed, "--out", out]);
    expect([over.code, over.stdout]).toEqual([64, expect.stringContaining("file_exists")]);
    expect(await readFile(join(out, "secret.opening"), "utf8")).toBe(opening);
    const keyOf = ({ stdout }: { stdout: string }): string => (JSON.parse(stdout) as { keySha256: string }).keySha256;
    expect(keyOf(again)).toBe(keyOf(first));
  });

  test("says that a development setup is one, and what to do instead", async () => {
    const model = join(directory, "said.onnx");
    await writeFile(model, perceptron([4, 3, 2], seeded(6)));
    const run = await runCli(["node", "zk", "compile", model, "--out", join(directory, "said")]);
    expect(run.code).toBe(0);
    expect(run.stderr).toContain("Development setup");
    expect(run.stderr).toContain("ceremony");
  });

  test.each([
    ["a file that is no model", [join(import.meta.dirname, "../../../package.json")], 64, "model_unreadable"],
    ["a file that does not exist", ["missing.onnx"], 64, "file_unreadable"],
    [
      "an opening of weights that are public",
      [join(import.meta.dirname, "../../../models/eth-risk.onnx"), "--opening", import.meta.filename],
      64,
      "invalid_input",
    ],
    ["bits that are none", [join(import.meta.dirname, "../../../models/eth-risk.onnx"), "--scale", "x"], 64, "usage"],
  ])("refuses %s", async (_what, args, code, error) => {
    const run = await runCli(["node", "zk", "compile", ...args, "--out", join(directory, "none")]);
    expect([run.code, run.stderr]).toEqual([code, expect.stringContaining(error)]);
  });
});
