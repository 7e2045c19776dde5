import { AsnConvert } from "@peculiar/asn1-schema";
import {
  BasicConstraints,
  Certificate,
  id_ce_basicConstraints,
  id_ce_keyUsage,
  KeyUsage,
  KeyUsageFlags,
} from "@peculiar/asn1-x509";
import { equalBytes, fromHex, type Bytes } from "../../evidence/bytes.ts";

/** What a chain check needs of a certificate (RFC 5280 §4.1). */
export type ParsedCertificate = {
  der: Uint8Array;
  tbs: Bytes;
  /** The key as an uncompressed point (SEC 1 §2.3.3), not yet known to be on the curve. */
  point: Bytes;
  issuer: Bytes;
  subject: Bytes;
  notBefore: Date;
  notAfter: Date;
  /** r ‖ s of the ECDSA-SHA-384 signature over `tbs`. */
  signature: Bytes;
  isAuthority: boolean;
  pathLength: number | null;
  usage: number;
};

const ECDSA_WITH_SHA384 = "1.2.840.10045.4.3.3";
/** DER of the AlgorithmIdentifier of a P-384 key (RFC 5480 §2.1.1): id-ecPublicKey with secp384r1. */
const P384_KEY = fromHex("301006072a8648ce3d020106052b81040022");
const POINT_BYTES = 97;
const UNCOMPRESSED = 0x04;
const UNDERSTOOD = new Set<string>([id_ce_basicConstraints, id_ce_keyUsage]);

/**
 * Parses a DER certificate with a P-384 key and an ECDSA-SHA-384 signature, as every certificate of a Nitro chain has.
 * Null for anything else, for critical extensions we do not judge, and for bytes that are not exactly one DER certificate.
 */
export function parseCertificate(der: Uint8Array): ParsedCertificate | null {
  try {
    const certificate = AsnConvert.parse(der, Certificate);
    const { tbsCertificate } = certificate;
    const tbsRaw = certificate.tbsCertificateRaw;
    if (tbsRaw === undefined) return null;
    // What the parser normalises away would be bytes an attacker could change for free.
    if (!equalBytes(new Uint8Array(AsnConvert.serialize(certificate)), der)) return null;
    const inner = tbsCertificate.signature.algorithm;
    const key = tbsCertificate.subjectPublicKeyInfo;
    if (certificate.signatureAlgorithm.algorithm !== ECDSA_WITH_SHA384 || inner !== ECDSA_WITH_SHA384) return null;
    if (!equalBytes(new Uint8Array(AsnConvert.serialize(key.algorithm)), P384_KEY)) return null;
    const point = new Uint8Array(key.subjectPublicKey);
    if (point.length !== POINT_BYTES || point[0] !== UNCOMPRESSED) return null;
    const extensions = tbsCertificate.extensions ?? [];
    const ids = extensions.map((extension) => extension.extnID);
    if (new Set(ids).size !== ids.length) return null;
    if (extensions.some((extension) => extension.critical && !UNDERSTOOD.has(extension.extnID))) return null;
    const valueOf = (id: string): ArrayBuffer | undefined => extensions.find((e) => e.extnID === id)?.extnValue.buffer;
    const constraints = valueOf(id_ce_basicConstraints);
    const usage = valueOf(id_ce_keyUsage);
    const basic = constraints === undefined ? null : AsnConvert.parse(constraints, BasicConstraints);
    const signature = toP1363(new Uint8Array(certificate.signatureValue));
    if (signature === null) return null;
    return {
      der,
      tbs: new Uint8Array(tbsRaw),
      point,
      issuer: new Uint8Array(AsnConvert.serialize(tbsCertificate.issuer)),
      subject: new Uint8Array(AsnConvert.serialize(tbsCertificate.subject)),
      notBefore: tbsCertificate.validity.notBefore.getTime(),
      notAfter: tbsCertificate.validity.notAfter.getTime(),
      signature,
      isAuthority: basic?.cA === true,
      pathLength: basic?.pathLenConstraint ?? null,
      usage: usage === undefined ? 0 : AsnConvert.parse(usage, KeyUsage).toNumber(),
    };
  } catch {
    return null;
  }
}

/** The DER ECDSA-Sig-Value (RFC 3279 §2.2.3) as r ‖ s of 48 bytes each, or null unless it is strict DER. */
function toP1363(der: Uint8Array): Bytes | null {
  const out = new Uint8Array(96);
  if (der[0] !== 0x30 || der[1] !== der.length - 2) return null;
  let offset = 2;
  for (const end of [48, 96]) {
    const length = der[offset + 1];
    if (der[offset] !== 0x02 || length === undefined || length === 0) return null;
    const integer = der.subarray(offset + 2, offset + 2 + length);
    const [first = 0, second = 0] = integer;
    if (integer.length !== length || first >= 0x80) return null;
    if (first === 0 && length > 1 && second < 0x80) return null;
    const magnitude = first === 0 ? integer.subarray(1) : integer;
    if (magnitude.length > 48) return null;
    out.set(magnitude, end - magnitude.length);
    offset += 2 + length;
  }
  return offset === der.length ? out : null;
}

/** Whether `issuer` may and did sign `subject`: names, CA bit, path length, key usage and signature. */
export async function isIssuedBy(
  subject: ParsedCertificate,
  issuer: ParsedCertificate,
  intermediatesBelow: number,
): Promise<boolean> {
  if (!equalBytes(subject.issuer, issuer.subject)) return false;
  if (!issuer.isAuthority || (issuer.usage & KeyUsageFlags.keyCertSign) === 0) return false;
  if (issuer.pathLength !== null && intermediatesBelow > issuer.pathLength) return false;
  return verifyEs384(issuer.point, subject.signature, subject.tbs);
}

/** Whether a leaf may sign documents: an end entity whose key usage is digitalSignature. */
export const maySignDocuments = (leaf: ParsedCertificate): boolean =>
  !leaf.isAuthority && (leaf.usage & KeyUsageFlags.digitalSignature) !== 0;

/**
 * ECDSA P-384 with SHA-384 over `data`; false for a point that cannot be imported. The curve's cofactor is 1 (SEC 2
 * §2.5.1), so each of its points is a key but infinity, and importing one shows that it is on the curve. Importing a
 * SubjectPublicKeyInfo would try the point's order, too, which costs more than it shows.
 */
export async function verifyEs384(point: Bytes, signature: Bytes, data: Bytes): Promise<boolean> {
  try {
    const key = await crypto.subtle.importKey("raw", point, { name: "ECDSA", namedCurve: "P-384" }, false, ["verify"]);
    return await crypto.subtle.verify({ name: "ECDSA", hash: "SHA-384" }, key, signature, data);
  } catch {
    return false;
  }
}
