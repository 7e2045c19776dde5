import { verifyNitroDocument } from "../../src/verify/nitro.ts";

/** What a verifier says of one piece of evidence at a time: accepted, or the stable name of the check that refused it. */
export type Outcome = { pass: true } | { pass: false; check: string; message: string };

/** One verifier under test: bytes of the file and the evaluation time in, outcome out. */
export type ConformanceVerifier = (file: Uint8Array, at: Date) => Promise<Outcome>;

/** Verifiers by the evidence kind that a manifest names. A new verifier is one more row. */
export const VERIFIERS: Readonly<Record<string, ConformanceVerifier>> = {
  // AWS's root is pinned in the verifier; nothing a manifest says can add one.
  "tee.nitro": async (file, at) => {
    const result = await verifyNitroDocument({ document: file, evaluateAt: at, simulatedRoots: [] });
    return result.ok ? { pass: true } : { pass: false, check: result.check, message: result.message };
  },
};
