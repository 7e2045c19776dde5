import { Proof402Error } from "../errors.ts";

/**
 * Refuses an address that `fetch` would ask unchecked: it takes any certificate once the environment says so, and anyone on
 * the way could answer. Our own client of sellers always checks certificates. `whom` completes "anyone on the way could
 * answer as".
 *
 * Throws Proof402Error `tls_unchecked`; the address, which may hold a key, is not in it.
 */
export function requireCheckedTls(url: string, whom: string): void {
  if (process.env["NODE_TLS_REJECT_UNAUTHORIZED"] !== "0" || new URL(url).protocol !== "https:") return;
  throw new Proof402Error(
    "tls_unchecked",
    `NODE_TLS_REJECT_UNAUTHORIZED=0 is set: anyone on the way could answer as ${whom}.`,
    { next: "Start without it. Name a certificate of your own in NODE_EXTRA_CA_CERTS." },
  );
}
