import { BlockList, isIP } from "node:net";

/**
 * Addresses that are not the public internet: IANA special-purpose registries (RFC 6890 and updates). A seller named
 * by one of these, directly or through DNS, could make us reach into the machine or network we run on (threat T12).
 */
const refused = new BlockList();
const V4_RANGES: readonly (readonly [string, number])[] = [
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
const V6_RANGES: readonly (readonly [string, number])[] = [
  ["::", 96], // unspecified, loopback, IPv4-compatible
  ["64:ff9b::", 96], // NAT64: may lead to any IPv4 address
  ["64:ff9b:1::", 48], // local NAT64
  ["100::", 64], // discard
  ["2001::", 23], // protocol assignments, Teredo
  ["2001:db8::", 32], // documentation
  ["2002::", 16], // 6to4: embeds any IPv4 address
  ["3fff::", 20], // documentation
  ["5f00::", 16], // segment routing
  ["fc00::", 7], // unique local
  ["fe80::", 10], // link-local
  ["fec0::", 10], // site-local
  ["ff00::", 8], // multicast
];
for (const [net, prefix] of V4_RANGES) refused.addSubnet(net, prefix, "ipv4");
for (const [net, prefix] of V6_RANGES) refused.addSubnet(net, prefix, "ipv6");

/** Whether an IP address literal is public. IPv4-mapped IPv6 (`::ffff:a.b.c.d`) is judged as IPv4; what is no address is not public. */
export function isPublicAddress(address: string): boolean {
  const bare = address.replace(/%.*$/, "");
  const version = isIP(bare);
  if (version === 0) return false;
  // BlockList judges IPv4-mapped IPv6 addresses by its IPv4 rules.
  return !refused.check(bare, version === 4 ? "ipv4" : "ipv6");
}
