import "reflect-metadata";
import {
  BasicConstraintsExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  X509CertificateGenerator,
  type X509Certificate,
} from "@peculiar/x509";
import { sha256, toHex } from "../evidence/bytes.ts";

/** P-384 with SHA-384: what every certificate of a Nitro chain uses. */
const ALGORITHM = { name: "ECDSA", namedCurve: "P-384", hash: "SHA-384" } as const;

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

type Authority = { certificate: X509Certificate; keys: CryptoKeyPair };

/** A root made on this machine. No authority vouches for it, so everything under it is simulated. */
export type SimulatedRoot = {
  /** SHA-256 hex of the DER certificate: what a policy names to accept it. */
  sha256: string;
  /** A new chain of the shape AWS's has (root, region, zone, instance, leaf), and the leaf's key. */
  issueLeaf(
    now: Date,
  ): Promise<{ cabundle: Uint8Array[]; certificate: Uint8Array; privateKey: CryptoKey; notAfter: Date }>;
};

const generateKeys = (): Promise<CryptoKeyPair> => crypto.subtle.generateKey(ALGORITHM, false, ["sign", "verify"]);
const serial = (): string =>
  toHex(crypto.getRandomValues(new Uint8Array(16)).map((byte, i) => (i === 0 ? byte & 0x7f : byte)));
const der = (certificate: X509Certificate): Uint8Array => new Uint8Array(certificate.rawData);

/**
 * Generates a self-signed P-384 root.
 *
 * @example
 * ```ts
 * import { createSimulatedEnclave, createSimulatedRoot } from "proof402/node";
 *
 * const enclave = await createSimulatedEnclave({ root: await createSimulatedRoot() });
 * ```
 */
export async function createSimulatedRoot(): Promise<SimulatedRoot> {
  const keys = await generateKeys();
  const now = Date.now();
  const certificate = await X509CertificateGenerator.createSelfSigned({
    serialNumber: serial(),
    name: "CN=proof402 simulated root, O=simulated (not hardware)",
    notBefore: new Date(now - DAY),
    notAfter: new Date(now + 3650 * DAY),
    keys,
    signingAlgorithm: ALGORITHM,
    extensions: [
      new BasicConstraintsExtension(true, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
    ],
  });
  const root = { certificate, keys };
  return { sha256: toHex(sha256(der(certificate))), issueLeaf: (at) => issueLeaf(root, at) };
}

async function issueLeaf(root: Authority, now: Date): ReturnType<SimulatedRoot["issueLeaf"]> {
  const region = await issueAuthority(root, "region", 2, now, 20 * DAY);
  const zone = await issueAuthority(region, "zone", 1, now, 6 * DAY);
  const instance = await issueAuthority(zone, "instance", 0, now, DAY);
  const keys = await generateKeys();
  const notAfter = new Date(now.getTime() + 3 * HOUR);
  const leaf = await X509CertificateGenerator.create({
    serialNumber: serial(),
    subject: "CN=proof402 simulated enclave",
    issuer: instance.certificate.subject,
    notBefore: new Date(now.getTime() - 60_000),
    notAfter,
    publicKey: keys.publicKey,
    signingKey: instance.keys.privateKey,
    signingAlgorithm: ALGORITHM,
    extensions: [
      new BasicConstraintsExtension(false, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
    ],
  });
  const cabundle = [root, region, zone, instance].map((authority) => der(authority.certificate));
  return { cabundle, certificate: der(leaf), privateKey: keys.privateKey, notAfter };
}

async function issueAuthority(
  issuer: Authority,
  name: string,
  pathLength: number,
  now: Date,
  lifetime: number,
): Promise<Authority> {
  const keys = await generateKeys();
  const certificate = await X509CertificateGenerator.create({
    serialNumber: serial(),
    subject: `CN=proof402 simulated ${name}`,
    issuer: issuer.certificate.subject,
    notBefore: new Date(now.getTime() - HOUR),
    notAfter: new Date(now.getTime() + lifetime),
    publicKey: keys.publicKey,
    signingKey: issuer.keys.privateKey,
    signingAlgorithm: ALGORITHM,
    extensions: [
      new BasicConstraintsExtension(true, pathLength, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
    ],
  });
  return { certificate, keys };
}
