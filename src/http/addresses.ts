import { BlockList, isIP } from "node:net";

/**
 * IPv4 addresses that are not the public internet: the IANA special-purpose registry (RFC 6890 and updates), multicast
 * and reserved space. A seller named by one of these, directly or through DNS, could make us reach into the machine or
 * network we run on.
 */
const NOT_PUBLIC_V4: readonly (readonly [net: string, prefix: number])[] = [
  ["0.0.0.0", 8], // this network
  ["10.0.0.0", 8], // private
  ["100.64.0.0", 10], // shared address space (CGNAT)
  ["127.0.0.0", 8], // loopback
  ["169.254.0.0", 16], // link-local, cloud metadata
  ["172.16.0.0", 12], // private
  ["192.0.0.0", 24], // protocol assignments
  ["192.0.2.0", 24], // documentation
  ["192.88.99.0", 24], // 6to4 relay
  ["192.168.0.0", 16], // private
  ["198.18.0.0", 15], // benchmarking
  ["198.51.100.0", 24], // documentation
  ["203.0.113.0", 24], // documentation
  ["224.0.0.0", 4], // multicast
  ["240.0.0.0", 4], // reserved and broadcast
];

/** All IPv6 addresses given out so far are global unicast (RFC 4291 §2.4); these parts of it are not the public internet. */
const GLOBAL_UNICAST_V6 = ["2000::", 3] as const;
const NOT_PUBLIC_V6: readonly (readonly [net: string, prefix: number])[] = [
  ["2001::", 23], // protocol assignments, Teredo, ORCHID
  ["2001:db8::", 32], // documentation
  ["2002::", 16], // 6to4: embeds any IPv4 address, and is withdrawn (RFC 7526)
  ["3fff::", 20], // documentation
];

/** Prefixes of 96 bits in front of an IPv4 address that is where the traffic goes: IPv4-mapped, and NAT64 (RFC 6052). */
const EMBEDDING: readonly string[] = ["::ffff:", "64:ff9b::"];

const notPublicV4 = blockList("ipv4", NOT_PUBLIC_V4);
const notPublicV6 = blockList("ipv6", NOT_PUBLIC_V6);
const globalUnicastV6 = blockList("ipv6", [GLOBAL_UNICAST_V6]);

/**
 * Whether an IP address literal, in any spelling, is on the public internet. Judges addresses with an IPv4 address
 * inside (IPv4-mapped, NAT64) by that one. A malformed address is not public.
 */
export function isPublicAddress(address: string): boolean {
  const bare = address.replace(/%.*$/, "");
  const version = isIP(bare);
  if (version === 4) return !notPublicV4.check(bare);
  if (version !== 6) return false;
  const embedded = embeddedV4(bare);
  if (embedded !== null) return !notPublicV4.check(embedded);
  return globalUnicastV6.check(bare, "ipv6") && !notPublicV6.check(bare, "ipv6");
}

/** Whether a URL's host is written as an address that is not on the public internet, or is this machine's own name. */
export const isLocalHost = (hostname: string): boolean => {
  const bare = hostname.replace(/^\[(.*)\]$/, "$1");
  return hostname === "localhost" || (isIP(bare) !== 0 && !isPublicAddress(bare));
};

/** The IPv4 address inside an IPv6 address, dotted, or null. */
function embeddedV4(address: string): string | null {
  // The URL parser writes every spelling in the one short form (RFC 5952), with the last 32 bits in hexadecimal.
  const short = new URL(`http://[${address}]/`).hostname.slice(1, -1);
  const prefix = EMBEDDING.find((one) => short.startsWith(one));
  const groups = prefix === undefined ? [] : short.slice(prefix.length).split(":");
  if (prefix === undefined || groups.length > 2) return null;
  const [low = "", high = "0"] = groups.toReversed();
  const bits = Number.parseInt(high || "0", 16) * 65_536 + Number.parseInt(low || "0", 16);
  return [24, 16, 8, 0].map((shift) => Math.floor(bits / 2 ** shift) % 256).join(".");
}

function blockList(type: "ipv4" | "ipv6", ranges: readonly (readonly [string, number])[]): BlockList {
  const list = new BlockList();
  for (const [net, prefix] of ranges) list.addSubnet(net, prefix, type);
  return list;
}
