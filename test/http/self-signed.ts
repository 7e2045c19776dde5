import "reflect-metadata"; // oxlint-disable-line import/no-unassigned-import -- @peculiar/x509 wants its metadata global
import { webcrypto } from "node:crypto";
import { cryptoProvider, SubjectAlternativeNameExtension, X509CertificateGenerator } from "@peculiar/x509";

/** A fresh key and a certificate for 127.0.0.1 that only itself vouches for, good until that time: PEM, and the certificate's DER. */
export async function selfSigned(
  notAfter = new Date(Date.now() + 86_400_000),
): Promise<{ key: string; cert: string; der: Uint8Array }> {
  cryptoProvider.set(webcrypto as Crypto);
  const keys = await webcrypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, ["sign", "verify"]);
  const certificate = await X509CertificateGenerator.createSelfSigned({
    // A name of its own, so that of several that are trusted none is looked up for another.
    name: `CN=127.0.0.1, O=${crypto.randomUUID()}`,
    keys,
    notBefore: new Date(notAfter.getTime() - 2 * 86_400_000),
    notAfter,
    signingAlgorithm: { name: "ECDSA", hash: "SHA-256" },
    extensions: [new SubjectAlternativeNameExtension([{ type: "ip", value: "127.0.0.1" }])],
  });
  const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey("pkcs8", keys.privateKey)).toString("base64");
  return {
    key: `-----BEGIN PRIVATE KEY-----\n${pkcs8}\n-----END PRIVATE KEY-----\n`,
    cert: `${certificate.toString("pem")}\n`,
    der: new Uint8Array(certificate.rawData),
  };
}
