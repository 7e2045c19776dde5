import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createVitest } from "vitest/node";
import { instrumented, mutated, mutationsOf, type Mutation } from "./mutations.ts";

/**
 * Changes the money's code one small thing at a time and runs what has to notice: the sequences of the plain model, then the
 * unit tests. Ends with the share that was noticed; what was not is printed, with the reason where
 * `scripts/surviving-mutants.json` gives one.
 *
 * Arguments: source files; all of them where none is named. Needs a build.
 */
const MODEL = "test/buyer/money-model.test.ts";
const JOURNAL = ["test/payment/journal.test.ts", "test/payment/caps.test.ts"];
const TESTS: Readonly<Record<string, readonly string[]>> = {
  "src/payment/caps.ts": JOURNAL,
  "src/payment/reserve.ts": JOURNAL,
  "src/payment/judge.ts": JOURNAL,
  "src/payment/journal.ts": JOURNAL,
  "src/payment/plan.ts": ["test/payment/plan.test.ts", "test/payment/permit2.test.ts"],
  "src/buyer/resume.ts": ["test/buyer/one-key.test.ts"],
  "src/buyer/money.ts": ["test/buyer/with-money.test.ts"],
  "src/buyer/calls.ts": ["test/buyer/one-key.test.ts"],
  "src/buyer/payment-refused.ts": ["test/buyer/refusal.test.ts"],
};
const WANTED = 0.9;

type Survivor = { file: string; line: string; change: string; reason: string };

const print = (line: string): void => void process.stdout.write(`${line}\n`);
const compiled = (file: string): string => resolve("dist", file.replace(/\.ts$/, ".js"));

/** The numbers of the mutants under which every sequence of the plain model held. */
function surviveModel(file: string, text: string, mutations: readonly Mutation[]): number[] {
  const directory = mkdtempSync(join(tmpdir(), "proof402-mutants-"));
  try {
    for (const needed of ["dist", "package.json"]) cpSync(needed, join(directory, needed), { recursive: true });
    symlinkSync(resolve("node_modules"), join(directory, "node_modules"));
    writeFileSync(join(directory, "dist", file.replace(/\.ts$/, ".js")), instrumented(text, mutations));
    const left = mutations.flatMap(({ atLoad }, number) => (atLoad ? [] : [number]));
    const survived = mutations.flatMap(({ atLoad }, number) => (atLoad ? [number] : []));
    while (left.length > 0) {
      const child = join(directory, "dist/scripts/mutate-model.js");
      const { stdout, stderr, status } = spawnSync(process.execPath, [child, ...left.map(String)], {
        encoding: "utf8",
      });
      const outcomes = stdout.trim().split("\n").filter(Boolean);
      if (outcomes.length === 0) throw new Error(`the model holds for no mutant of ${file} (${status}): ${stderr}`);
      for (const outcome of outcomes) {
        const [number, end] = outcome.split(" ");
        left.splice(left.indexOf(Number(number)), 1);
        if (end === "survived") survived.push(Number(number));
      }
    }
    return survived;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Of these mutants those that the unit tests do not notice either. */
async function surviveTests(file: string, text: string, suspects: readonly Mutation[]): Promise<Mutation[]> {
  let current = text;
  const path = resolve(file);
  const vitest = await createVitest(
    "test",
    {
      watch: false,
      bail: 1,
      maxWorkers: 1,
      reporters: [{}],
      api: false,
      testTimeout: 30_000,
      env: { PROOF402_MODEL_SEQUENCES: "25", PROOF402_MODEL_SEED: "402" },
    },
    { plugins: [{ name: "mutant", enforce: "pre", load: (id) => (id === path ? current : undefined) }] },
  );
  const holds = async (tests: readonly string[]): Promise<boolean> => {
    vitest.invalidateFile(path);
    for (const test of tests) {
      const specifications = await vitest.globTestSpecifications([test]);
      const { testModules, unhandledErrors } = await vitest.runTestSpecifications(specifications);
      if (unhandledErrors.length > 0 || !testModules.every((one) => one.ok())) return false;
    }
    return true;
  };
  try {
    const tests = TESTS[file] ?? [];
    if (!(await holds(tests))) throw new Error(`the tests of ${file} fail without any change`);
    const survivors: Mutation[] = [];
    for (const mutation of suspects) {
      current = mutated(text, mutation);
      if (await holds(mutation.atLoad ? [...tests, MODEL] : tests)) survivors.push(mutation);
    }
    return survivors;
  } finally {
    await vitest.close();
  }
}

const explained = JSON.parse(readFileSync("scripts/surviving-mutants.json", "utf8")) as Survivor[];
let [made, survived] = [0, 0];
const named = process.argv.slice(2);
for (const file of named.length > 0 ? named : Object.keys(TESTS)) {
  const text = readFileSync(compiled(file), "utf8");
  const mutations = mutationsOf(text);
  const suspects = surviveModel(file, text, mutations).flatMap((number) => mutations[number] ?? []);
  print(`${file}: ${mutations.length} mutants, ${suspects.length} not noticed by the model alone`);
  const survivors = await surviveTests(file, text, suspects);
  for (const { line, change } of survivors) {
    const known = explained.find((one) => one.file === file && one.line === line && one.change === change);
    print(`  ${line}\n    ${change}\n    ${known?.reason ?? "NOT EXPLAINED"}`);
  }
  made += mutations.length;
  survived += survivors.length;
  print(`${file}: ${survivors.length} survived`);
}
const share = 1 - survived / made;
print(`${made - survived} of ${made} mutants killed (${(share * 100).toFixed(1)} %)`);
if (share < WANTED) process.exitCode = 1;
