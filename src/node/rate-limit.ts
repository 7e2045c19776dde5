import type { IncomingMessage } from "node:http";
import { isIP } from "node:net";
import * as z from "zod";
import { PEERS, requirePeers } from "../peers.ts";

/** So many in so many seconds. */
export const rateSchema = z.strictObject({
  most: z.int().min(1).max(1_000_000),
  seconds: z.int().min(1).max(86_400),
});
export type Rate = z.infer<typeof rateSchema>;

/** Counts one for a key: null, or the seconds until there is room again. */
export type RateLimit = (key: string) => Promise<number | null>;

/** Kept in memory, by key, for one window. Throws Proof402Error `peers_missing`. */
export async function openRateLimit({ most, seconds }: Rate): Promise<RateLimit> {
  requirePeers(PEERS.limits);
  const { RateLimiterMemory, RateLimiterRes } = await import("rate-limiter-flexible");
  const limiter = new RateLimiterMemory({ points: most, duration: seconds });
  return async (key) => {
    try {
      await limiter.consume(key);
      return null;
    } catch (refusal) {
      if (!(refusal instanceof RateLimiterRes)) throw refusal;
      return Math.max(1, Math.ceil(refusal.msBeforeNext / 1000));
    }
  };
}

/** What a request over a limit is told (RFC 6585 §4). */
export const tooMany = (error: string, seconds: number, headers: Record<string, string> = {}): Response =>
  Response.json({ error }, { status: 429, headers: { "retry-after": String(seconds), ...headers } });

/**
 * The client behind a connection. A proxy in front appends the address of its caller to `x-forwarded-for`. The caller wrote
 * all that stands before.
 */
export function clientOf({ socket, headers }: IncomingMessage, behindProxy: boolean): string {
  const forwarded = behindProxy
    ? String(headers["x-forwarded-for"] ?? "")
        .split(",")
        .at(-1)
        ?.trim()
    : undefined;
  return networkOf(withoutPort(forwarded ?? "")) ?? networkOf(socket.remoteAddress ?? "") ?? "unknown";
}

/** Some proxies write the port, too: `203.0.113.7:443`, `[2001:db8::1]:443`. */
const withoutPort = (text: string): string => text.replace(/^(?:\[([^\]]*)\]|([0-9.]+))(?::[0-9]+)?$/, "$1$2");

/** An address as it is counted: of IPv6 the first 64 bits, since one subscriber has all addresses behind them. */
function networkOf(text: string): string | null {
  const address = text.replace(/%.*$/, "").replace(/^::ffff:(?=[0-9.]+$)/i, "");
  const version = isIP(address);
  if (version !== 6) return version === 4 ? address : null;
  // The URL parser writes every spelling in the one short form (RFC 5952).
  const [head = "", tail = ""] = new URL(`http://[${address}]/`).hostname.slice(1, -1).split("::");
  const [first, last] = [head, tail].map((part) => (part === "" ? [] : part.split(":")));
  const zeros = Array.from({ length: 8 - (first?.length ?? 0) - (last?.length ?? 0) }, () => "0");
  return `${[...(first ?? []), ...zeros, ...(last ?? [])].slice(0, 4).join(":")}::/64`;
}
