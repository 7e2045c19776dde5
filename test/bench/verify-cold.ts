/** Verifies the proof in a file once, in a process that has done nothing before, and prints how long that took, ms. */
import { readFile } from "node:fs/promises";
import type { Proof } from "../support/proof.ts";

const proof = JSON.parse(await readFile(process.argv[2] ?? "", "utf8")) as Proof;
const began = performance.now();
const { isProved } = await import("../../src/verify/computation/groth16.ts");
if (!isProved(proof)) throw new Error("the proof did not verify");
process.stdout.write(String(performance.now() - began));
