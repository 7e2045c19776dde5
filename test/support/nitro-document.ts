import "reflect-metadata";
import {
  BasicConstraintsExtension,
  Extension,
  KeyUsageFlags,
  KeyUsagesExtension,
  X509CertificateGenerator,
} from "@peculiar/x509";
import { sha256, sha384, toHex, utf8 } from "../../src/evidence/bytes.ts";
import { encodeNitroDocument, type NitroPayload } from "../../src/evidence/nitro.ts";

const HOUR = 3_600_000;

/** One certificate of a chain as a test wants it; what is left out is as it should be. */
export type CertificateChange = {
  notBefore?: Date;
  notAfter?: Date;
  isAuthority?: boolean;
  pathLength?: number | undefined;
  usage?: KeyUsageFlags;
  curve?: "P-256" | "P-384";
  hash?: "SHA-256" | "SHA-384";
  /** The issuer that the certificate names. */
  issuerName?: string;
  /** The index of the certificate whose key signs it. */
  signedBy?: number;
  extensions?: Extension[];
  withoutBasicConstraints?: boolean;
  withoutKeyUsage?: boolean;
  /** Changes the finished DER. */
  der?: (der: Uint8Array) => Uint8Array;
};

/** Root, two intermediates, leaf: what to change in which of them. */
export type ChainChanges = Partial<Record<0 | 1 | 2 | 3, CertificateChange>>;

export type Chain = { ders: Uint8Array[]; keys: CryptoKeyPair[]; rootSha256: string; at: Date };

const NAMES = ["CN=test root", "CN=test region", "CN=test zone", "CN=test leaf"] as const;
const LEAF = 3;

/** Bits of a certificate's key usage. Named here, where the library that has them is loaded as it wants to be. */
export const USAGE = KeyUsageFlags;

/** A certificate extension of a private kind. */
export const privateExtension = (critical: boolean): Extension =>
  new Extension("1.3.6.1.4.1.55555.1", critical, new Uint8Array([0x05, 0x00]));

/** Name constraints (RFC 5280 §4.2.1.10) that name nothing. */
export const nameConstraints = (): Extension => new Extension("2.5.29.30", true, new Uint8Array([0x30, 0x00]));

/** Makes a chain of four certificates, each valid for an hour around now but for what is changed. */
export async function makeChain(changes: ChainChanges = {}): Promise<Chain> {
  const at = new Date();
  const change = (index: number): CertificateChange => changes[index as 0 | 1 | 2 | 3] ?? {};
  const keys = await Promise.all(
    NAMES.map((_, index) =>
      crypto.subtle.generateKey({ name: "ECDSA", namedCurve: change(index).curve ?? "P-384" }, true, [
        "sign",
        "verify",
      ]),
    ),
  );
  const ders = await Promise.all(
    NAMES.map(async (name, index) => {
      const c = change(index);
      const isLeaf = index === LEAF;
      const signer = keys[c.signedBy ?? Math.max(0, index - 1)];
      const own = keys[index];
      if (signer === undefined || own === undefined) throw new Error("no such key");
      const pathLength = "pathLength" in c ? c.pathLength : isLeaf || index === 0 ? undefined : LEAF - 1 - index;
      const certificate = await X509CertificateGenerator.create({
        serialNumber: `0${index + 1}`,
        subject: name,
        issuer: c.issuerName ?? NAMES[Math.max(0, index - 1)] ?? name,
        notBefore: c.notBefore ?? new Date(at.getTime() - HOUR),
        notAfter: c.notAfter ?? new Date(at.getTime() + HOUR),
        publicKey: own.publicKey,
        signingKey: signer.privateKey,
        signingAlgorithm: { name: "ECDSA", hash: c.hash ?? "SHA-384" },
        extensions: [
          ...(c.withoutBasicConstraints === true
            ? []
            : [new BasicConstraintsExtension(c.isAuthority ?? !isLeaf, pathLength, true)]),
          ...(c.withoutKeyUsage === true
            ? []
            : [
                new KeyUsagesExtension(
                  c.usage ?? (isLeaf ? KeyUsageFlags.digitalSignature : KeyUsageFlags.keyCertSign),
                  true,
                ),
              ]),
          ...(c.extensions ?? []),
        ],
      });
      const der = new Uint8Array(certificate.rawData);
      return c.der === undefined ? der : c.der(der);
    }),
  );
  return { ders, keys, rootSha256: toHex(sha256(ders[0] ?? new Uint8Array(0))), at };
}

/** PCRs that measure something. */
export const MEASURED: readonly (readonly [number, Uint8Array])[] = [0, 1, 2].map(
  (index) => [index, sha384(utf8(`pcr ${index}`))] as const,
);

/** A payload over a chain, as it should be but for what is changed. */
export const payloadOf = (chain: Chain, changes: Partial<NitroPayload> = {}): NitroPayload => ({
  moduleId: "i-test",
  digest: "SHA384",
  timestamp: chain.at.getTime(),
  pcrs: new Map(MEASURED),
  certificate: chain.ders[LEAF] ?? new Uint8Array(0),
  cabundle: chain.ders.slice(0, LEAF),
  publicKey: null,
  userData: null,
  nonce: null,
  ...changes,
});

/** Signs a payload with a key of the chain: the leaf's, unless another index is named. */
export const signDocument = (chain: Chain, payload: NitroPayload, signedBy: number = LEAF): Promise<Uint8Array> =>
  encodeNitroDocument({ payload, sign: (bytes) => signEs384(chain, bytes, signedBy) });

/** The ES384 signature of one of the chain's keys. */
export async function signEs384(chain: Chain, bytes: Uint8Array, signedBy: number = LEAF): Promise<Uint8Array> {
  const key = chain.keys[signedBy]?.privateKey;
  if (key === undefined) throw new Error("no such key");
  const signature = await crypto.subtle.sign({ name: "ECDSA", hash: "SHA-384" }, key, new Uint8Array(bytes));
  return new Uint8Array(signature);
}
