import { verifyNitroDocument } from "../../src/verify/tee/nitro.ts";

/** What a verifier says of one piece of evidence at a time: accepted, or the stable name of the check that refused it. */
export type Outcome = { pass: true } | { pass: false; check: string; message: string };

/**
 * One verifier under test: bytes of the file and the evaluation time in, outcome out. `testRoots` are SHA-256 of the DER of
 * roots that a manifest says are a test's own; most have none.
 */
export type ConformanceVerifier = (file: Uint8Array, at: Date, testRoots: readonly string[]) => Promise<Outcome>;

/** Verifiers by the evidence kind that a manifest names. A new verifier is one more row. */
export const VERIFIERS: Readonly<Record<string, ConformanceVerifier>> = {
  "tee.nitro": async (file, at, testRoots) => {
    const result = await verifyNitroDocument({ document: file, evaluateAt: at, simulatedRoots: testRoots });
    return result.ok ? { pass: true } : { pass: false, check: result.check, message: result.message };
  },
};
