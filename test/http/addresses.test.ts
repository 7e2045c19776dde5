import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isPublicAddress } from "../../src/http/addresses.ts";

/** First and last address of every IPv4 range that is not the public internet, with its public neighbours where there are any. */
const V4_RANGES = [
  ["0.0.0.0", "0.255.255.255", null, "1.0.0.0"],
  ["10.0.0.0", "10.255.255.255", "9.255.255.255", "11.0.0.0"],
  ["100.64.0.0", "100.127.255.255", "100.63.255.255", "100.128.0.0"],
  ["127.0.0.0", "127.255.255.255", "126.255.255.255", "128.0.0.0"],
  ["169.254.0.0", "169.254.255.255", "169.253.255.255", "169.255.0.0"],
  ["172.16.0.0", "172.31.255.255", "172.15.255.255", "172.32.0.0"],
  ["192.0.0.0", "192.0.0.255", "191.255.255.255", "192.0.1.0"],
  ["192.0.2.0", "192.0.2.255", "192.0.1.255", "192.0.3.0"],
  ["192.88.99.0", "192.88.99.255", "192.88.98.255", "192.88.100.0"],
  ["192.168.0.0", "192.168.255.255", "192.167.255.255", "192.169.0.0"],
  ["198.18.0.0", "198.19.255.255", "198.17.255.255", "198.20.0.0"],
  ["198.51.100.0", "198.51.100.255", "198.51.99.255", "198.51.101.0"],
  ["203.0.113.0", "203.0.113.255", "203.0.112.255", "203.0.114.0"],
  ["224.0.0.0", "255.255.255.255", "223.255.255.255", null],
] as const;

const PRIVATE_V6 = [
  "::",
  "::1",
  "::7f00:1",
  "::8.8.8.8",
  "100::1",
  "2001::1",
  "2001:0:4136:e378:8000:63bf:3fff:fdd2",
  "2001:10::1",
  "2001:db8::1",
  "2002:7f00:1::",
  "2002:808:808::1",
  "3fff::1",
  "4000::1",
  "5f00::1",
  "64:ff9b:1::8.8.8.8",
  "fc00::1",
  "fd00:ec2::254",
  "fe80::1",
  "fe80::1%eth0",
  "febf::1",
  "fec0::1",
  "ff02::1",
  "::ffff:0:8.8.8.8",
  "1fff:ffff::1",
];
const PUBLIC_V6 = ["2606:4700:4700::1111", "2001:200::1", "2a00:1450::1", "2003::1", "2620:fe::fe", "3ffe::1"];

/** The same IPv6 address with no shortening. */
const spellOut = (prefix: string, dotted: string): string => {
  const [a = 0, b = 0, c = 0, d = 0] = dotted.split(".").map(Number);
  const group = (high: number, low: number): string => (high * 256 + low).toString(16).padStart(4, "0");
  return `${prefix}:${group(a, b)}:${group(c, d)}`;
};

describe("which addresses are the public internet", () => {
  it.each(V4_RANGES)("%s to %s is not, its neighbours are", (first, last, below, above) => {
    expect([first, last].map(isPublicAddress)).toEqual([false, false]);
    expect([below, above].filter((one) => one !== null).every(isPublicAddress)).toBe(true);
  });

  it.each(PRIVATE_V6)("%s is not", (address) => {
    expect(isPublicAddress(address)).toBe(false);
  });

  it.each(PUBLIC_V6)("%s is", (address) => {
    expect(isPublicAddress(address)).toBe(true);
  });

  it.each(["", "localhost", "seller.example", "127.1", "0x7f000001", "2130706433", "8.8.8.8.8", "[::1]", "1.2.3.4/8"])(
    "%j is no address, so it is not",
    (text) => {
      expect(isPublicAddress(text)).toBe(false);
    },
  );

  it("an IPv4 address inside an IPv6 one is judged as itself, however it is written", () => {
    fc.assert(
      fc.property(fc.ipV4(), (dotted) => {
        const expected = isPublicAddress(dotted);
        const forms = [
          `::ffff:${dotted}`,
          `::FFFF:${dotted}`,
          `0:0:0:0:0:ffff:${dotted}`,
          spellOut("0000:0000:0000:0000:0000:ffff", dotted),
          `64:ff9b::${dotted}`,
          spellOut("0064:ff9b:0000:0000:0000:0000", dotted),
        ];
        expect(forms.map(isPublicAddress)).toEqual(forms.map(() => expected));
        expect([`::${dotted}`, spellOut("2002", dotted) + "::"].map(isPublicAddress)).toEqual([false, false]);
      }),
      { examples: V4_RANGES.map(([first]): [string] => [first]) },
    );
  });

  it("every address inside a private range is refused, whatever its last bits", () => {
    fc.assert(
      fc.property(
        fc.constantFrom("10", "127", "0", "240", "255"),
        fc.nat(255),
        fc.nat(255),
        fc.nat(255),
        (a, b, c, d) => {
          expect(isPublicAddress(`${a}.${b}.${c}.${d}`)).toBe(false);
        },
      ),
    );
  });
});
