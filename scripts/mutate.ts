import { spawn } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { instrumented, mutationsOf, type Mutation } from "./mutations.ts";

/**
 * Changes the code of money, judges and guards one small thing at a time and runs what has to notice: quick unit tests, and,
 * for the money, the sequences of the plain model for what is left. Prints what was not noticed, with its reason in
 * `scripts/surviving-mutants.json`, and the share that was. Ends with status 1 where that is too little, or a reason is missing.
 *
 * Arguments: source files; all of them where none is named. Needs a build.
 */
const TESTS: Readonly<Record<string, readonly string[]>> = {
  "src/payment/caps.ts": ["test/payment/bounds.test.ts", "test/payment/caps.test.ts"],
  "src/payment/journal.ts": ["test/payment/marks.test.ts", "test/payment/journal.test.ts"],
  "src/payment/plan.ts": ["test/payment/plan.test.ts"],
  "src/payment/judge.ts": ["test/payment/judge.test.ts", "test/payment/caps.test.ts"],
  "src/payment/reserve.ts": ["test/payment/reserve.test.ts", "test/payment/journal.test.ts"],
  "src/payment/clocks.ts": ["test/payment/plan.test.ts"],
  "src/payment/policy.ts": ["test/payment/policy.test.ts"],
  "src/payment/voucher-sum.ts": ["test/payment/voucher-sum.test.ts"],
  "src/payment/methods/eip3009.ts": ["test/payment/methods.test.ts", "test/payment/offers.test.ts"],
  "src/payment/methods/methods.ts": ["test/payment/methods.test.ts"],
  "src/payment/methods/permits.ts": ["test/payment/methods.test.ts", "test/evidence/permit2.test.ts"],
  "src/payment/methods/upto.ts": ["test/payment/methods.test.ts", "test/payment/plan.test.ts"],
  "src/payment/methods/voucher.ts": ["test/payment/methods.test.ts"],
  "src/buyer/approve.ts": ["test/buyer/approve.test.ts"],
  "src/buyer/ask-chain.ts": ["test/buyer/taken-up.test.ts"],
  "src/buyer/resume.ts": ["test/buyer/take-up.test.ts", "test/buyer/one-key.test.ts", "test/buyer/taken-up.test.ts"],
  "src/buyer/calls.ts": ["test/buyer/open-calls.test.ts"],
  "src/buyer/money.ts": ["test/buyer/with-money.test.ts"],
  "src/buyer/payment-refused.ts": [
    "test/buyer/voucher-refused.test.ts",
    "test/buyer/turned-down.test.ts",
    "test/buyer/taken-up.test.ts",
  ],
};
const verifying = (...names: string[]): string[] => names.map((name) => `test/verify/${name}.test.ts`);
const guarding = (...names: string[]): string[] => names.map((name) => `test/guard/${name}.test.ts`);
/** What judges evidence and guards actions: the money's model cannot see it, and its own tests have to notice alone. */
const JUDGES: typeof TESTS = {
  "src/evidence/methods/eip3009.ts": ["test/evidence/methods.test.ts", ...verifying("payment-rules")],
  "src/evidence/methods/methods.ts": ["test/evidence/methods.test.ts", ...verifying("payment-rules")],
  "src/evidence/methods/permit2.ts": verifying("payment-rules"),
  "src/evidence/methods/permits.ts": ["test/evidence/methods.test.ts", ...verifying("payment-rules")],
  "src/evidence/methods/transfers.ts": ["test/evidence/methods.test.ts", ...verifying("payment-rules")],
  "src/evidence/methods/upto.ts": ["test/evidence/methods.test.ts", ...verifying("payment-rules", "terms")],
  "src/evidence/methods/voucher.ts": ["test/evidence/methods.test.ts", ...verifying("payment-rules", "terms")],
  "src/receipts/disputed.ts": ["test/receipts/disputed.test.ts", ...verifying("disputed-alone")],
  "src/verify/layers/answer.ts": verifying("replay-rules", "exchange-rules"),
  "src/verify/appraise.ts": verifying("appraisal-rules", "proved", "disputed-alone"),
  "src/verify/layers/attestation.ts": verifying("attestation"),
  "src/verify/tee/certificates.ts": verifying("certificates", "nitro"),
  "src/verify/contradiction-codes.ts": verifying("appraisal-rules"),
  "src/verify/contradictions.ts": verifying("appraisal-rules", "disputed-alone", "disputed"),
  "src/verify/find-evidence.ts": verifying("appraisal-rules"),
  "src/verify/layers/exchange.ts": verifying("exchange-rules"),
  "src/verify/computation/ezkl.ts": verifying("ezkl-rules"),
  "src/verify/facts.ts": verifying("facts", "unused"),
  "src/verify/computation/groth16.ts": verifying("groth16-rules"),
  "src/verify/computation/proofs.ts": verifying("disputed-alone"),
  "src/verify/layers/inclusion.ts": verifying("inclusion"),
  "src/verify/tee/manifest.ts": verifying("attestation"),
  "src/verify/tee/nitro.ts": verifying("nitro"),
  "src/verify/not-proven.ts": verifying("limits-of-verdict"),
  "src/verify/layers/payment.ts": verifying("payment-rules"),
  "src/verify/policy.ts": verifying("policy"),
  "src/verify/computation/replay.ts": verifying("replay-rules"),
  "src/verify/verification-cache.ts": verifying("facts"),
  "src/verify/layers/signature-tee.ts": verifying("exchange-rules"),
  "src/verify/layers/terms.ts": verifying("terms", "exchange-rules"),
  "src/verify/layers/tls.ts": verifying("tls"),
  "src/verify/unused.ts": verifying("limits-of-verdict"),
  "src/verify/verdict.ts": verifying("verdict"),
  "src/verify/verify-receipt.ts": verifying("facts", "proved"),
  "src/guard/arguments.ts": guarding("fixed"),
  "src/guard/fields.ts": guarding("named"),
  "src/guard/guard.ts": guarding("rules"),
  "src/guard/signed-time.ts": guarding("rules"),
};
/** Longest that a test may take to be run under the mutants of a judge, ms of the processor. The quick ones are to notice. */
const LONGEST_MS = 300;
const WANTED = 0.9;
/** A trial that tells nothing for so long hangs, ms; its tests take seconds. */
const PATIENCE_MS = 180_000;
/** How a trial ends whose tests fail without a mutant. */
const FAILS_UNCHANGED = 3;

type Survivor = { file: string; line: string; change: string; reason: string };
/** A script with its arguments, to which the numbers of mutants are added. */
type Trial = readonly [script: string, ...args: string[]];

const print = (line: string): void => void process.stdout.write(`${line}\n`);

const directory = mkdtempSync(join(tmpdir(), "proof402-mutants-"));
const log = join(directory, "log");
let running: number | undefined;
const stop = (): void => {
  if (running !== undefined) process.kill(-running, "SIGKILL");
};
process.on("exit", () => {
  stop();
  rmSync(directory, { recursive: true, force: true });
});
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(1));

/** Runs a trial in a group of processes of its own until it ends or hangs. Resolves how it ended and what it noted. */
async function attempt(
  [script, ...args]: Trial,
  mutant: number | null,
): Promise<{ status: number | null; notes: string[] }> {
  writeFileSync(log, "");
  const env = { ...process.env, PROOF402_MUTANT_LOG: log, PROOF402_MUTANT: String(mutant), NODE_NO_WARNINGS: "1" };
  const child = spawn(process.execPath, [script, ...args], {
    env,
    detached: true,
    stdio: ["ignore", "ignore", "inherit"],
  });
  running = child.pid;
  let size = 0;
  let heard = performance.now();
  const watch = setInterval(() => {
    const { length } = readFileSync(log);
    if (length !== size) [size, heard] = [length, performance.now()];
    else if (performance.now() - heard > PATIENCE_MS) stop();
  }, 1000);
  const status = await new Promise<number | null>((resolve) => void child.once("close", resolve));
  clearInterval(watch);
  running = undefined;
  return { status, notes: readFileSync(log, "utf8").split("\n").filter(Boolean) };
}

const numberIn = (one: string): number => Number.parseInt(one, 10);

/** Of these mutants those that a trial does not notice. One under which it hangs or dies is noticed. */
async function surviving(trial: Trial, numbers: readonly number[]): Promise<number[]> {
  let left = [...numbers];
  while (left.length > 0) {
    const { status, notes } = await attempt([...trial, ...left.map(String)], null);
    const killed = new Set(notes.filter((one) => one.endsWith(" killed")).map(numberIn));
    const before = left.length;
    left = left.filter((number) => !killed.has(number));
    const spoilt = notes.some((one) => one.endsWith(" spoiled"));
    if (status === 0 && !spoilt) return left;
    const begun = notes.filter((one) => one.endsWith(" begun")).map(numberIn);
    const last = begun.at(-1);
    if ((status === FAILS_UNCHANGED && !spoilt) || last === undefined)
      throw new Error(`${trial.join(" ")} fails without a mutant`);
    // What broke may be left over from the mutant before: the same again as the first of a process is its own.
    if (last === begun[0]) left = left.filter((number) => number !== last);
    else if (left.includes(last)) left = [last, ...left.filter((number) => number !== last)];
    else if (left.length === before) throw new Error(`${trial.join(" ")} comes to no end`);
  }
  return left;
}

/** Of these mutants, which take effect as their module is loaded, those that a trial does not notice. */
async function survivingLoad(trial: Trial, numbers: readonly number[]): Promise<number[]> {
  const left: number[] = [];
  for (const number of numbers) if ((await attempt(trial, number)).status === 0) left.push(number);
  return left;
}

/** The mutations of one file that nothing notices, and how many there are. */
async function trialsOf(file: string): Promise<{ made: number; survivors: Mutation[] }> {
  process.env["PROOF402_LONGEST_MS"] = String(file in JUDGES ? LONGEST_MS : Infinity);
  const name = file.replace(/\.ts$/, ".js");
  const text = readFileSync(resolve("dist", name), "utf8");
  const mutations = mutationsOf(text);
  for (const needed of ["dist", "package.json"]) cpSync(needed, join(directory, needed), { recursive: true });
  if (!existsSync(join(directory, "node_modules")))
    symlinkSync(resolve("node_modules"), join(directory, "node_modules"));
  const program = join(directory, "dist", name);
  writeFileSync(program, instrumented(text, mutations));
  const trials: Trial[] = (TESTS[file] ?? JUDGES[file] ?? []).map((test) => [
    "dist/scripts/mutate-tests.js",
    file,
    program,
    test,
  ]);
  if (file in TESTS) trials.push([join(directory, "dist/scripts/mutate-model.js")]);
  const numbers = [...mutations.keys()];
  let later = numbers.filter((number) => mutations[number]?.atLoad === false);
  let atLoad = numbers.filter((number) => mutations[number]?.atLoad === true);
  print(`${file}: ${mutations.length} mutants`);
  for (const trial of trials) {
    later = await surviving(trial, later);
    atLoad = await survivingLoad(trial, atLoad);
    print(`  ${later.length + atLoad.length} left after ${trial[3] ?? "the sequences of the model"}`);
  }
  // What works as the module is loaded, in a function, was not there for the switch: it is tried once more from the start.
  for (const trial of file in JUDGES ? trials : []) later = await survivingLoad(trial, later);
  return { made: mutations.length, survivors: [...later, ...atLoad].flatMap((number) => mutations[number] ?? []) };
}

const explained = JSON.parse(readFileSync("scripts/surviving-mutants.json", "utf8")) as Survivor[];
let [made, survived, unexplained] = [0, 0, 0];
const named = process.argv.slice(2);
for (const file of named.length > 0 ? named : Object.keys({ ...TESTS, ...JUDGES })) {
  const { made: here, survivors } = await trialsOf(file);
  for (const { line, change } of survivors) {
    const known = explained.find((one) => one.file === file && one.line === line && one.change === change);
    print(`  ${line}\n    ${change}\n    ${known?.reason ?? "NOT EXPLAINED"}`);
    if (known === undefined) unexplained += 1;
  }
  made += here;
  survived += survivors.length;
  print(`${file}: ${here - survivors.length} of ${here} killed`);
}
const share = 1 - survived / made;
print(`${made - survived} of ${made} mutants killed (${(share * 100).toFixed(1)} %)`);
process.exit(share < WANTED || unexplained > 0 ? 1 : 0);
