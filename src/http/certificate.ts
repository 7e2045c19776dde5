import type { Socket } from "node:net";
import { TLSSocket } from "node:tls";

/** SHA-256 of a server's leaf certificate (DER), hex; null where there is no TLS. */
export type Certificate = string | null;

/** Node 20 takes the leaf out of a connection's chain when it is read: a second read would find none. */
const read = new WeakMap<TLSSocket, Certificate>();

/** Reads the certificate of an open connection's server. */
export function certificateOf(socket: Socket | null): Certificate {
  if (!(socket instanceof TLSSocket)) return null;
  const known = read.get(socket);
  if (known !== undefined) return known;
  // Node writes the digest as AB:CD:...
  const certificate = socket.getPeerX509Certificate()?.fingerprint256.replaceAll(":", "").toLowerCase() ?? null;
  read.set(socket, certificate);
  return certificate;
}
