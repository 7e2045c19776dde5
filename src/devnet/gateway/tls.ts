import "reflect-metadata"; // oxlint-disable-line import/no-unassigned-import -- @peculiar/x509 wants its metadata global
import { createServer } from "node:https";
import { getRequestListener } from "@hono/node-server";
import { SubjectAlternativeNameExtension, X509CertificateGenerator } from "@peculiar/x509";
import { sha256, toHex } from "../../evidence/bytes.ts";
import { portTaken } from "../port-taken.ts";
import type { Served } from "../serve.ts";

/** A key for TLS and the certificate that its holder alone vouches for: PEM, and the certificate's DER. */
export type TlsIdentity = { key: string; certificate: string; der: Uint8Array; sha256: string };

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
const DAY = 86_400_000;

/** Makes a self-signed certificate for 127.0.0.1, as an enclave's proxy makes one at its start. */
export async function makeTlsIdentity(): Promise<TlsIdentity> {
  const keys = await crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
  const certificate = await X509CertificateGenerator.createSelfSigned({
    name: `CN=127.0.0.1, O=${crypto.randomUUID()}`,
    keys,
    notBefore: new Date(Date.now() - DAY),
    notAfter: new Date(Date.now() + 365 * DAY),
    signingAlgorithm: ALGORITHM,
    extensions: [new SubjectAlternativeNameExtension([{ type: "ip", value: "127.0.0.1" }])],
  });
  const der = new Uint8Array(certificate.rawData);
  const pkcs8 = Buffer.from(await crypto.subtle.exportKey("pkcs8", keys.privateKey)).toString("base64");
  return {
    key: `-----BEGIN PRIVATE KEY-----\n${pkcs8}\n-----END PRIVATE KEY-----\n`,
    certificate: `${certificate.toString("pem")}\n`,
    der,
    sha256: toHex(sha256(der)),
  };
}

/** Serves over TLS on 127.0.0.1; port 0 takes a free one. Throws Proof402Error `port_taken`. */
export function serveTls(
  fetch: (request: Request) => Response | Promise<Response>,
  { key, certificate }: TlsIdentity,
  port = 0,
): Promise<Served> {
  return new Promise((resolve, reject) => {
    const listener = getRequestListener(fetch);
    const server = createServer({ key, cert: certificate }, (request, response) => void listener(request, response));
    server.once("error", (error: NodeJS.ErrnoException) =>
      reject(error.code === "EADDRINUSE" ? portTaken(port, error) : error),
    );
    server.listen(port, "127.0.0.1", () => {
      const address = server.address();
      resolve({
        origin: `https://127.0.0.1:${typeof address === "object" && address !== null ? address.port : port}`,
        stop: () =>
          new Promise((done) => {
            server.close(() => done());
            // Buyers keep connections alive; nothing is owed to them.
            server.closeAllConnections();
          }),
      });
    });
  });
}
