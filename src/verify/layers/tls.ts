import { toHex, type Bytes } from "../../evidence/bytes.ts";
import type { Evidence, LayerResult } from "../../receipts/schema.ts";
import { onlyOne } from "../find-evidence.ts";
import { fail, skip } from "../types.ts";

/** An attestation's word about TLS, and whether the connection agrees with it. */
export type TlsAppraisal = {
  /** SHA-256 of the certificate that it names, hex; null where it names none. */
  named: string | null;
  /** Why the connection is not shown to have ended there, one sentence; null where it is. */
  notShown: string | null;
  /** Replaces the key's own result: by a contradiction, or by the missing evidence of one. */
  wrong: LayerResult | null;
};

/** In place of a digest where a seller's enclave serves no TLS of its own. */
const NONE = "00".repeat(32);

/** The certificate that an attested digest names, SHA-256 hex, or null where it names none. */
export function namedCertificate(attested: Bytes): string | null {
  const digest = toHex(attested);
  return digest === NONE ? null : digest;
}

/**
 * Compares the certificate in the attested `user_data` with the buyer's own sight of the connection. Which one it saw
 * is its own word, so this shows nothing to others; but a difference contradicts, and the buyer pays on no such
 * connection.
 */
export function judgeTls(attested: Bytes, evidence: readonly Evidence[], origin: string | undefined): TlsAppraisal {
  const named = namedCertificate(attested);
  const isPlain = origin?.startsWith("http:") === true;
  const seen = onlyOne(evidence, "tls.peer");
  const about = (notShown: string | null, wrong: LayerResult | null = null): TlsAppraisal => ({
    named,
    notShown,
    wrong,
  });
  if (seen.kind === "many") {
    const note = "There is more than one TLS certificate of the connection.";
    return about(note, fail("ambiguous_evidence", note));
  }
  if (named === null)
    return about(`The attestation names no TLS certificate${isPlain ? ", and the connection had no TLS" : ""}.`);
  if (seen.kind === "none" && isPlain) return about("The connection had no TLS.");
  if (seen.kind === "none") {
    const note = "The attestation names a TLS certificate, and the one that the connection had is not on record.";
    return about(note, skip("tls_not_recorded", note));
  }
  if (seen.evidence.certificateSha256 === named) return about(null);
  const note = "The connection's TLS certificate is not the one that the attestation names.";
  return about(note, fail("tls_mismatch", note));
}
