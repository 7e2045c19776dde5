import { spawn } from "node:child_process";
import { cp, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { fromUtf8, utf8 } from "../../src/evidence/bytes.ts";
import { ezklInstance } from "../../src/evidence/ezkl.ts";
import { kzgVerifierParams } from "../../src/evidence/kzg.ts";
import { builtFile } from "../../src/subprocess/run.ts";
import { createEzklEngine } from "../../src/ezkl/engine.ts";
import type { EzklCheck } from "../../src/verify/types.ts";
import { childrenOf, firstChildOf, statOf, isRunning } from "../support/children.ts";
import { cases } from "../support/campaign.ts";
import { eventually } from "../support/eventually.ts";
import { engine, engineHere, prove, setUp, sG2Of, SECRET, type EzklFiles } from "../support/ezkl.ts";

const ROOT = new URL("../..", import.meta.url).pathname;
let directory: string;
let check: EzklCheck;
let files: EzklFiles;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "proof402-ezkl-"));
  files = setUp({
    weights: [[0.5], [-0.25]],
    logrows: 6,
    visibility: { inputs: "Public", outputs: "Public", weights: "Fixed" },
  });
  const { key, settings } = files;
  check = { key, settings, proof: prove(files, [1, 2]).proof, srs: kzgVerifierParams(sG2Of(SECRET))! };
});
afterAll(() => rm(directory, { recursive: true, force: true }));

const readProof = (): { instances: string[][]; proof: number[] } =>
  JSON.parse(fromUtf8(check.proof)) as { instances: string[][]; proof: number[] };
const withProof = (proof: number[]): EzklCheck => ({
  ...check,
  proof: utf8(JSON.stringify({ ...readProof(), proof })),
});
const turned = (bytes: Uint8Array, at: number): Uint8Array => bytes.map((byte, k) => (k === at ? byte ^ 1 : byte));

const engineThat = (verifies: string): string =>
  ["vkValidation", "settingsValidation", "srsValidation"]
    .map((name) => `module.exports.${name} = () => true;`)
    .join("") + `module.exports.verify = () => ${verifies};`;
const ENDLESS = engineThat("{ for (;;); }");

/** The built process that checks, in a house with another engine, or none. */
async function houseWith(code: string | null, version = "v21.0.0"): Promise<string> {
  const house = await mkdtemp(join(directory, "house-"));
  const packages = join(house, "node_modules");
  await mkdir(packages);
  for (const name of ["@noble", "@scure", "zod"]) await symlink(join(ROOT, "node_modules", name), join(packages, name));
  for (const room of ["ezkl", "subprocess", "evidence"])
    await cp(join(ROOT, "dist/src", room), join(house, "src", room), { recursive: true });
  await writeFile(join(house, "package.json"), `{"type":"module"}`);
  const engineHome = join(packages, "@ezkljs/engine");
  if (code !== null) {
    await mkdir(engineHome, { recursive: true });
    await writeFile(join(engineHome, "package.json"), JSON.stringify({ version, main: "engine.js" }));
    await writeFile(join(engineHome, "engine.js"), code);
  }
  return join(house, "src/ezkl/engine-child.js");
}

/** A program in place of the process that checks. */
async function program(text: string): Promise<string> {
  const file = join(directory, `${crypto.randomUUID()}.mjs`);
  await writeFile(file, text);
  return file;
}

describe("the engine, in a process of its own", () => {
  const apart = createEzklEngine();

  test("verifies what EZKL made, with the whole setup or with [s]G2 alone", async () => {
    expect(await apart(check)).toBe("valid");
    expect(await apart({ ...check, srs: files.srs })).toBe("valid");
  });

  test("refuses a proof with anything behind it, which the engine itself does not", async () => {
    const { proof } = readProof();
    for (const more of [[0], [1, 2, 3]]) {
      expect(await engineHere(withProof([...proof, ...more]))).toBe("valid");
      expect(await apart(withProof([...proof, ...more]))).toBe("refused");
    }
    expect(await apart(withProof(proof.slice(0, -1)))).toBe("refused");
  });

  test("refuses another setup's parameters and another proof, and outlives a panic", async () => {
    const { proof } = readProof();
    const wrong: EzklCheck[] = [
      { ...check, srs: kzgVerifierParams(sG2Of(SECRET + 1n))! },
      withProof(proof.with(7, proof[7]! ^ 1)),
      { ...check, proof: utf8("{}") },
      // Reads, and has the engine panic over it.
      { ...check, key: turned(check.key, 3) },
    ];
    for (const one of wrong) expect(await apart(one)).toBe("refused");
  });

  test("tells what it cannot read from what it refuses", async () => {
    const wrong: EzklCheck[] = [
      { ...check, srs: check.srs.subarray(0, 100) },
      { ...check, srs: new Uint8Array() },
      { ...check, settings: utf8("[]") },
      { ...check, key: check.key.subarray(0, 100) },
      { ...check, key: new Uint8Array() },
    ];
    for (const one of wrong) expect(await apart(one)).toBe("unreadable");
  });

  test("gives no key a second form that counts: of turned bytes of it the engine takes none", async () => {
    // Bytes 1 to 4 are how large the circuit is: a panic of its own, above.
    for (let at = 5; at < check.key.length; at += cases(68, 1, 17))
      expect(await engineHere({ ...check, key: turned(check.key, at) }), `byte ${at}`).toBe("refused");
  });

  test("is killed at its time limit, however deep in the engine, and leaves no process", async () => {
    expect(await createEzklEngine({ milliseconds: 1500, entry: await houseWith(ENDLESS) })(check)).toBe("timeout");
    expect(await createEzklEngine({ milliseconds: 1 })(check)).toBe("timeout");
    expect(await childrenOf(process.pid, "engine-child")).toEqual([]);
  });

  test("that ends, babbles or is not there has crashed", async () => {
    const babble = `setInterval(() => process.stdout.write("valid"), 1)`;
    for (const text of ["process.exit(1)", "process.abort()", "", `process.stdout.write("valid?")`, babble])
      expect(await createEzklEngine({ entry: await program(text) })(check)).toBe("crashed");
    expect(await createEzklEngine({ entry: join(directory, "none.mjs") })(check)).toBe("crashed");
    // In a bundle of CommonJS modules do not know where they are.
    expect(await createEzklEngine({ entry: builtFile(undefined, "engine-child") })(check)).toBe("crashed");
    const validThenFailed = await program(`process.stdout.write("valid", () => process.exit(1))`);
    expect(await createEzklEngine({ entry: validThenFailed })(check)).toBe("crashed");
  });

  test("that is not installed, or of another version, is missing", async () => {
    const yes = engineThat("true");
    expect(await createEzklEngine({ entry: await houseWith(null) })(check)).toBe("missing");
    expect(await createEzklEngine({ entry: await houseWith(yes, "v22.0.0") })(check)).toBe("missing");
    // Takes a proof with its last byte gone, too.
    expect(await createEzklEngine({ entry: await houseWith(yes) })(check)).toBe("refused");
  });

  test("ends when the process that wanted it is killed", async () => {
    const order = await program(`
      import { createEzklEngine } from ${JSON.stringify(new URL("../../dist/src/ezkl/engine.js", import.meta.url).href)};
      const empty = new Uint8Array();
      const proof = new TextEncoder().encode(${JSON.stringify(fromUtf8(check.proof))});
      await createEzklEngine({ entry: ${JSON.stringify(await houseWith(ENDLESS))} })({ proof, key: empty, settings: empty, srs: empty });`);
    const caller = spawn(process.execPath, [order], { stdio: "ignore" });
    const child = await firstChildOf(caller.pid, "engine-child");
    await eventually(async () => expect(await isBusy(child)).toBe(true));
    caller.kill("SIGKILL");
    await eventually(async () => expect(await isRunning(child)).toBe(false));
  });
});

describe("numbers", () => {
  test("are quantised as the engine does it", () => {
    const values = [
      0, 1, -1, 0.5, -0.5, 0.1, -0.1, 0.0039062, 0.00390625, -0.00390625, 1.99609375, 12345.678, -98765.4321,
    ];
    for (const scale of [0, 1, 7, 13])
      for (const value of values) {
        const theirs = engine.floatToFelt(Math.fround(value), scale, "f32");
        const number = fromUtf8(Uint8Array.from(theirs)).replaceAll('"', "");
        const ours = ezklInstance(value, scale)!.toString(16).padStart(64, "0");
        expect(ours.match(/../g)!.toReversed().join(""), `${value} at ${scale}`).toBe(number);
      }
  });

  test("too large to be exact are none", () => {
    for (const value of [2 ** 52, -(2 ** 52), 1e30, Number.POSITIVE_INFINITY, Number.NaN])
      expect(ezklInstance(value, 0)).toBeNull();
    expect(ezklInstance(2 ** 46, 7)).toBeNull();
  });
});

/** Whether it has run for over a second: by then it is in the engine's loop, and its guard looks on. */
const isBusy = async (pid: string): Promise<boolean> => Number((await statOf(pid))[11]) > 100;
