import { sha256, toHex } from "../../evidence/bytes.ts";
import { decodeNitroDocument, type NitroPayload } from "../../evidence/nitro.ts";
import { isIssuedBy, maySignDocuments, parseCertificate, verifyEs384, type ParsedCertificate } from "./certificates.ts";

/** SHA-256 of the DER of AWS's Nitro Enclaves root G1 (CN=aws.nitro-enclaves, published by AWS). */
export const AWS_NITRO_ROOT = "641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b";

/** The check that refused a document. Stable names; conformance manifests use them. */
export type NitroCheck =
  | "malformed"
  | "algorithm"
  | "trust-anchor"
  | "certificate-chain"
  | "certificate-validity"
  | "signature"
  | "debug"
  | "measurements";

/** A document with valid chain, signature and measurements, or the first failed check. */
export type NitroResult =
  | { ok: true; payload: NitroPayload; simulated: boolean }
  | { ok: false; check: NitroCheck; message: string };

/** What does not depend on the time of evaluation, and is costly: kept by a session. */
export type NitroFacts =
  | { ok: true; payload: NitroPayload; simulated: boolean; notBefore: number; notAfter: number }
  | { ok: false; check: NitroCheck; message: string };

/**
 * Verifies a Nitro attestation document: AWS's root, or one that the policy names (then `simulated`), is the only
 * trust anchor; every certificate of the chain must be valid at `evaluateAt`. Never throws.
 */
export async function verifyNitroDocument(options: {
  document: Uint8Array;
  evaluateAt: Date;
  /** SHA-256 hex of the DER of further accepted roots. */
  simulatedRoots: readonly string[];
}): Promise<NitroResult> {
  return nitroResultAt(await readNitroFacts(options.document, options.simulatedRoots), options.evaluateAt);
}

/** Judges kept facts at a time. */
export function nitroResultAt(facts: NitroFacts, evaluateAt: Date): NitroResult {
  if (!facts.ok) return facts;
  const at = evaluateAt.getTime();
  // Written so that a time which cannot be read, here or in a certificate, is never within.
  if (!(at >= facts.notBefore && at <= facts.notAfter)) {
    return refuse(
      "certificate-validity",
      `a certificate of the chain is not valid at ${Number.isNaN(at) ? "an unknown time" : evaluateAt.toISOString()}`,
    );
  }
  return { ok: true, payload: facts.payload, simulated: facts.simulated };
}

/** The part of the verification that no clock can change. */
export async function readNitroFacts(document: Uint8Array, simulatedRoots: readonly string[]): Promise<NitroFacts> {
  const decoded = decodeNitroDocument(document);
  if (!decoded.ok) return decoded;
  const { payload, sigStructure, signature } = decoded.document;
  const root = payload.cabundle[0];
  const fingerprint = root === undefined ? "" : toHex(sha256(root));
  const simulated = fingerprint !== AWS_NITRO_ROOT;
  if (simulated && !simulatedRoots.includes(fingerprint))
    return refuse("trust-anchor", "the chain does not start at AWS's root");
  const leaf = parseCertificate(payload.certificate);
  if (leaf === null) return refuse("certificate-chain", "the document's certificate is malformed or of another kind");
  // Neither rests on the other, and WebCrypto runs all of it side by side.
  const [signed, chain] = await Promise.all([
    verifyEs384(leaf.point, signature, sigStructure),
    readChain([...payload.cabundle.map(parseCertificate), leaf]),
  ]);
  // The signature covers the chain too: judged first, it tells an altered document from one that was made of a bad chain.
  if (!signed) return refuse("signature", "the document is not signed by its certificate's key");
  if (typeof chain === "string") return refuse("certificate-chain", chain);
  const measured = checkMeasurements(payload);
  if (measured !== null) return measured;
  return {
    ok: true,
    payload,
    simulated,
    notBefore: Math.max(...chain.map((c) => c.notBefore.getTime())),
    notAfter: Math.min(...chain.map((c) => c.notAfter.getTime())),
  };
}

/** Gives the chain if each certificate was issued by the one above it, else names the first fault. */
async function readChain(parsed: readonly (ParsedCertificate | null)[]): Promise<ParsedCertificate[] | string> {
  const chain = parsed.filter((certificate) => certificate !== null);
  if (chain.length !== parsed.length) return "a certificate is malformed or of another kind";
  const last = chain.length - 1;
  const issued = await Promise.all(
    // The root's signature over itself covers its bytes like any other link.
    chain.map((certificate, index) =>
      isIssuedBy(certificate, chain[index - 1] ?? certificate, Math.max(0, last - Math.max(1, index))),
    ),
  );
  const broken = issued.indexOf(false);
  if (broken !== -1) return `certificate ${broken} of the chain was not issued by the one above it`;
  const leaf = chain[last];
  return leaf !== undefined && maySignDocuments(leaf) ? chain : "the last certificate may not sign documents";
}

/** A debug enclave's PCR0 is zero; one repeated byte measures nothing either. */
function checkMeasurements(payload: NitroPayload): Extract<NitroFacts, { ok: false }> | null {
  for (const index of [0, 1, 2]) {
    const pcr = payload.pcrs.get(index);
    if (pcr === undefined) return refuse("measurements", `PCR${index} is missing`);
    if (pcr.every((byte) => byte === 0)) return refuse("debug", `PCR${index} is zero: a debug enclave`);
    if (pcr.every((byte) => byte === pcr[0])) return refuse("measurements", `PCR${index} is one repeated byte`);
  }
  return null;
}

const refuse = (check: NitroCheck, message: string): { ok: false; check: NitroCheck; message: string } => ({
  ok: false,
  check,
  message,
});
