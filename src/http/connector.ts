import { constants } from "node:crypto";
import { lookup as dnsLookup } from "node:dns";
import { isIP, type LookupFunction } from "node:net";
import { buildConnector } from "undici/index.js";
import { isPublicAddress } from "./addresses.ts";
import { certificateOf } from "./certificate.ts";
import { addressRefused, certificateRefused } from "./errors.ts";

/** Opens connections to checked addresses only. */
export type Connector = {
  connect: buildConnector.connector;
  /** When the connection was opened that broke with this error (`performance.now()`), or null for any other error. */
  openedAt: (error: Error) => number | null;
};

export function createConnector(options: {
  allowPrivateAddresses: boolean;
  connectSeconds: number;
  /** For tests; takes the place of the system's resolver. */
  lookup?: LookupFunction | undefined;
  /** For tests; takes the place of the authorities that the system trusts. PEM. */
  ca?: string | undefined;
  /** A certificate that stands in for the authorities: connections with any other are closed. SHA-256 of its DER, hex. */
  pin?: string | undefined;
}): Connector {
  const opened = new WeakMap<Error, number>();
  const { pin } = options;
  const connect = buildConnector({
    timeout: options.connectSeconds * 1000,
    lookup: guardedLookup(options.allowPrivateAddresses, options.lookup ?? dnsLookup),
    // Stated, because the environment could switch it off otherwise. A pin is stricter than any authority.
    rejectUnauthorized: pin === undefined,
    // A resumed session would show the certificate of an earlier connection, and a renegotiated one could change it.
    maxCachedSessions: 0,
    secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
    ca: options.ca,
  });
  return {
    connect: (target, callback) =>
      connect(target, (...result) => {
        const [, socket] = result;
        const at = performance.now();
        socket?.once("error", (error: Error) => opened.set(error, at));
        // Without a socket, in spite of the type, where it failed.
        if (socket == null || pin === undefined || certificateOf(socket) === pin) callback(...result);
        else {
          socket.destroy();
          callback(certificateRefused(target.hostname, false, "configured for it or named by its registry"), null);
        }
      }),
    openedAt: (error) => opened.get(error) ?? null,
  };
}

/** Resolves, refuses private answers, and hands the connector only checked addresses: no second look-up can differ (DNS rebinding). */
function guardedLookup(allowPrivateAddresses: boolean, lookup: LookupFunction): LookupFunction {
  return (hostname, options, callback) => {
    lookup(hostname, { ...options, all: true }, (error, answer) => {
      if (error) {
        callback(error, "", 0);
        return;
      }
      const addresses = Array.isArray(answer) ? answer : [{ address: answer, family: isIP(answer) }];
      const [first] = addresses;
      if (first === undefined || addresses.some((one) => !allowPrivateAddresses && !isPublicAddress(one.address))) {
        callback(addressRefused(hostname), "", 0);
      } else if (options.all === true) {
        callback(null, addresses);
      } else {
        callback(null, first.address, first.family);
      }
    });
  };
}
