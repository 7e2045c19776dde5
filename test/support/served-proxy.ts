import { createProxy, type ProxyOptions } from "../../src/proxy/proxy.ts";
import { serveProxy, type ServedProxy } from "../../src/proxy/serve.ts";

/** The token of every proxy of the tests. */
export const PROXY_TOKEN = `p402_proxy_${"a".repeat(43)}`;

/** Serves a proxy on a free port of this machine. Its caller stops it. */
export const servedProxy = (
  options: Pick<ProxyOptions, "buyer" | "bounds"> & Partial<ProxyOptions>,
): Promise<ServedProxy> =>
  serveProxy(createProxy({ strict: false, clock: () => new Date(), ...options }), {
    host: "127.0.0.1",
    port: 0,
    token: PROXY_TOKEN,
    allowHosts: [],
    allowOrigins: [],
  });
